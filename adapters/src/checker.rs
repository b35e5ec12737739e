//! What a contract must hold before it is used.

use crate::{
    contract::Complaint,
    template::{Leaf, Template},
};

/// The templates of one message.
pub(crate) struct Message<'c> {
    /// What it is about.
    pub(crate) subject: Option<&'c str>,
    /// Read, and in tests written.
    pub(crate) reads: Vec<&'c Template>,
    /// Only written.
    pub(crate) writes: Vec<&'c Template>,
}

/// Checks all messages and the key.
pub(crate) fn check_messages(
    messages: &[Message<'_>],
    key: Option<&Leaf>,
    complaints: &mut Vec<Complaint>,
) {
    let _ = (messages, key, complaints);
}
