//! What a step of traced work is. Nothing here costs anything before it is known that the step is kept.

use std::sync::Arc;

use http::Uri;

use super::{LedgerVerb, RegistryCall};

/// A step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Work of this process, by its name.
    Inner(&'static str),
    /// The ledger is asked to do something; `system` is what holds it.
    Ledger {
        /// By its name in OpenTelemetry's conventions.
        system: &'static str,
        /// What.
        verb: LedgerVerb,
    },
    /// A registry is called.
    Call {
        /// For what.
        call: RegistryCall,
        /// Which.
        peer: Arc<Peer>,
    },
    /// Something is posted over HTTPS.
    Post {
        /// To whom.
        peer: Arc<Peer>,
        /// Where, as settings have it.
        target: Uri,
    },
}

/// Somebody who is called: what settings say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name in settings.
    pub name: String,
    /// Its host, as settings have it.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Peer {
    /// A peer by `HOST:PORT`.
    pub fn at(name: &str, authority: &str) -> Self {
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let host = host.trim_matches(['[', ']']).to_owned();
        Self { name: name.to_owned(), host, port: port.parse().unwrap_or_default() }
    }
}
