//! Contract by example: a bank's bytes to the canonical model and back.
//!
//! Bytes in, bytes out. Nothing here knows a clock, a socket, a file after loading, or the name of any bank or
//! registry. The language is described in docs/contract-language.md.

pub mod codec;
pub mod contract;
pub mod fault;
pub mod tree;
pub mod wire;

pub use contract::{Contract, Decoded, Mode, Reply, Undecoded};
pub use fault::{Fault, FaultCode};
