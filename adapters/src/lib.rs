//! Contract by example: a bank's bytes to the canonical model and back.
//!
//! Bytes in, bytes out. Nothing here knows a clock, a socket, a file after loading, or the name of
//! any bank or registry. The language is described in docs/contract-language.md.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

pub mod cases;
mod checker;
pub mod codec;
pub mod contract;
pub mod difference;
pub mod draft;
pub mod explain;
mod fake;
pub mod fault;
mod fill;
pub mod openapi;
mod path;
mod template;
pub mod tree;
mod typed;
mod unify;
pub mod wire;

pub use contract::{
    CannotWrite, Complaint, Contract, Decoded, Mode, Origin, Place, Reply, Stood, Undecoded,
};
pub use fault::{Fault, FaultCode};
