//! Who comes to the banks' ports and to the console's own: connections, who is not let in or not heard, and certificates that run out.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;

use super::Metrics;
use crate::tls::Protocol;

impl Metrics {
    /// A known caller's connection stands until what is returned is dropped.
    pub fn connection(&self, port: Protocol) -> Connection {
        self.0.connections.add(1, &[port_label(port)]);
        Connection { metrics: self.clone(), port }
    }

    /// A caller was not let in.
    pub fn turned_away(&self, port: Protocol, why: TurnedAway) {
        self.0.turned_away.add(1, &[port_label(port), KeyValue::new("why", why.label())]);
    }

    /// A message of an institution was refused unread.
    pub fn turned_back(&self, institution: &str, why: TurnedBack) {
        let labels = [
            KeyValue::new("institution", institution.to_owned()),
            KeyValue::new("why", why.label()),
        ];
        self.0.turned_back.add(1, &labels);
    }

    /// When something that proves who somebody is runs out. `name`: the registry's or institution's, `console` for what is used
    /// at its port, else nothing.
    pub fn certificate_expires(&self, holder: Holder, name: &str, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let labels =
            [KeyValue::new("holder", holder.label()), KeyValue::new("name", name.to_owned())];
        self.0.certificate_expires.record(seconds, &labels);
    }
}

/// A standing connection, counted until it is dropped.
#[derive(Debug)]
pub struct Connection {
    metrics: Metrics,
    port: Protocol,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.0.connections.add(-1, &[port_label(self.port)]);
    }
}

/// Whose a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The gateway, towards banks or at the console's port.
    Gateway,
    /// An authority of callers' certificates.
    Authority,
    /// The revocation list that is to be followed first.
    RevocationList,
    /// The gateway, towards a registry.
    Registry,
    /// An institution, by the certificate it last came with.
    Institution,
    /// A proxy in front of the bank ports, by the certificate it last came with.
    Proxy,
}

impl Holder {
    fn label(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Authority => "authority",
            Self::RevocationList => "revocation_list",
            Self::Registry => "registry",
            Self::Institution => "institution",
            Self::Proxy => "proxy",
        }
    }
}

/// Why a caller was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedAway {
    /// The TLS handshake failed: no certificate, a bad one, or no TLS at all.
    HandshakeFailed,
    /// The TLS handshake was not done in time.
    HandshakeSlow,
    /// Its address has as many callers in their handshakes as it may.
    PeerFull,
    /// Nobody is known by its certificate.
    Unknown,
    /// As many connections stand as may.
    Full,
    /// The institution has as many connections as it may.
    InstitutionFull,
    /// Its contract does not use this port.
    WrongPort,
}

impl TurnedAway {
    fn label(self) -> &'static str {
        match self {
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeSlow => "handshake_slow",
            Self::PeerFull => "peer_full",
            Self::Unknown => "unknown",
            Self::Full => "full",
            Self::InstitutionFull => "institution_full",
            Self::WrongPort => "wrong_port",
        }
    }
}

/// Why a message was refused unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedBack {
    /// The institution sends faster than it may.
    TooFast,
    /// The institution has as many messages under way as it may.
    TooMany,
    /// All institutions together have.
    GatewayFull,
}

impl TurnedBack {
    fn label(self) -> &'static str {
        match self {
            Self::TooFast => "too_fast",
            Self::TooMany => "too_many",
            Self::GatewayFull => "gateway_full",
        }
    }
}

fn port_label(port: Protocol) -> KeyValue {
    KeyValue::new(
        "port",
        match port {
            Protocol::Https => "https",
            Protocol::Tcp => "tcp",
            Protocol::Pages => "console",
        },
    )
}
