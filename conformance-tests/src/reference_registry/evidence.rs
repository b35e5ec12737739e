//! What arrived, call by call: digests and metadata, never the content. Tests read it to see that a bank's trace,
//! key and certificate came through.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::faults::{Call, Fault};

/// One call as it arrived, written down before anything was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Which call.
    pub call: Call,
    /// Institution named in the request; empty if none.
    pub institution: String,
    /// Idempotency key, or the case number asked for; empty if none.
    pub key: String,
    /// SHA-256 of the request's protobuf encoding, lower-case hexadecimal.
    pub request_sha256: String,
    /// W3C `traceparent` metadata; empty if none.
    pub traceparent: String,
    /// W3C `tracestate` metadata; empty if none.
    pub tracestate: String,
    /// SHA-256 of the bank's certificate (`client-cert` metadata), lower-case hexadecimal; empty if none.
    pub bank_certificate_sha256: String,
    /// SHA-256 of the caller's own certificate, from the TLS handshake.
    pub gateway_certificate_sha256: String,
    /// The fault it met, if one was ordered.
    pub fault: Option<Fault>,
}

/// The last calls, oldest first.
#[derive(Debug, Default)]
pub(super) struct Log(VecDeque<Received>);

/// Enough for any test; a long benchmark must not fill the memory.
const CALLS_MAX: usize = 10_000;

impl Log {
    pub(super) fn note(&mut self, received: Received) {
        if self.0.len() == CALLS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(received);
    }

    pub(super) fn calls(&self) -> Vec<Received> {
        self.0.iter().cloned().collect()
    }
}
