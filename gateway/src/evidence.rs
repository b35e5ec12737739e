//! Evidence: a log of every exchange that nobody can change unseen, and what it proves to a third party years later.
//!
//! Each exchange leaves a leaf ([`leaf`]), and so does each act of an operator ([`act`]), in an append-only tree ([`tree`], RFC 6962), whose head is signed at an interval
//! ([`checkpoint`], C2SP). A bundle ([`bundle`]) carries leaves with their proofs to whoever is to be convinced, and is
//! judged without a ledger. These parts are pure; what waits on the ledger is [`sequencer`], which grows the tree, [`proving`],
//! which takes proofs out of it, [`published`], which hands checkpoints out, and [`audit`], which walks it. No leaf holds personal data: of messages it has digests alone, each with a salt that is
//! erased after its time. The formats, for whoever writes another verifier: docs/evidence.md.

pub mod act;
pub mod audit;
pub mod bundle;
pub mod checkpoint;
pub mod leaf;
pub mod lineage;
pub mod page;
pub mod proving;
pub mod published;
pub mod sequencer;
pub mod tree;
