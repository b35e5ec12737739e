//! A compiled contract: the one thing the rest of the system sees of a bank's dialect.

use std::collections::BTreeMap;

use proto::v1::{Envelope, Exchange, OriginalFiling};

use crate::fault::Fault;

/// A contract, checked and compiled. Cheap to share; decoding and encoding take `&self`.
#[derive(Debug)]
pub struct Contract {}

/// Whether a bank is trying things out or doing business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An unknown leaf is a fault.
    Test,
    /// An unknown leaf is dropped and told in [`Decoded::dropped`].
    Production,
}

/// A message that was understood.
#[derive(Debug)]
pub struct Decoded {
    /// The message's name in the contract (`first`, `discharge`).
    pub message: String,
    /// What decoding alone gives; `application.idempotency_key` is built.
    pub envelope: Envelope,
    /// Places of leaves nobody reads, dropped in production mode.
    pub dropped: Vec<String>,
}

/// A message that was not understood, with what could be read for the answer.
#[derive(Debug)]
pub struct Undecoded {
    /// All faults, in order of offset; never empty.
    pub faults: Vec<Fault>,
    /// The message's name, where its kind was recognised.
    pub message: Option<String>,
    /// What could be read of the serials and codes the bank's own envelope gives back.
    pub exchange: Exchange,
}

/// Which of a message's answers to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The message itself, as the bank writes it (fake banks, round trips).
    Request,
    /// The answer that carries an outcome or a title answer.
    Outcome,
    /// The answer that carries a refusal.
    Refusal,
    /// A notice of an event.
    Notice,
}

/// Why a contract was not accepted: one complaint, placed in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// File of the contract, relative to its folder.
    pub file: String,
    /// Byte range in that file.
    pub span: std::ops::Range<usize>,
    /// What is wrong and what to do instead.
    pub message: String,
}

/// Why a canonical message could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotWrite {
    /// Canonical field; empty if no single one is to blame.
    pub field: String,
    /// Why: `CANNOT_CARRY`, a codec's or the charset's reason.
    pub reason: String,
}

impl Contract {
    /// Compiles a contract from its files (name relative to its folder → text): `contract.toml` and the templates it
    /// names.
    ///
    /// # Errors
    /// Everything `contract check` refuses, all at once.
    pub fn compile(files: &BTreeMap<String, String>) -> Result<Self, Vec<Complaint>> {
        let _ = files;
        Ok(Self {})
    }

    /// Reads one message as sent, framing included.
    ///
    /// # Errors
    /// All faults of the message at once.
    pub fn decode(&self, bytes: &[u8], mode: Mode) -> Result<Decoded, Box<Undecoded>> {
        let _ = (bytes, mode);
        Err(Box::new(Undecoded { faults: Vec::new(), message: None, exchange: Exchange::default() }))
    }

    /// Writes one message, framing included. `message` names the message answered; `None` where its kind was not
    /// recognised (then the contract's first refusal file is used).
    ///
    /// # Errors
    /// A set field that nothing writes, or a value that a codec or the charset cannot hold.
    pub fn encode(
        &self,
        message: Option<&str>,
        reply: Reply,
        envelope: &Envelope,
    ) -> Result<Vec<u8>, CannotWrite> {
        let _ = (message, reply, envelope);
        Ok(Vec::new())
    }

    /// Where canonical fields stand in a message that decodes: place and byte offset of each, as faults give them.
    /// A field that stands nowhere is told at what should hold it.
    pub fn locate(&self, bytes: &[u8], mode: Mode, fields: &[String]) -> Vec<(String, usize)> {
        let _ = (bytes, mode);
        fields.iter().map(|_| (String::new(), 0)).collect()
    }

    /// The idempotency key an earlier filing was sent under.
    ///
    /// # Errors
    /// A fault if no key can be built from what is given.
    pub fn key_of(&self, original: &OriginalFiling) -> Result<String, Fault> {
        let _ = original;
        Ok(String::new())
    }
}
