//! What a bank may ask of the gateway: sizes, times and numbers, each a setting with a default that suits a province.
//!
//! A limit here bounds what one caller can cost the others; none of them says anything about business.

use std::{num::NonZeroU32, time::Duration};

use crate::settings::{Institution, Seconds};

/// `[limits]`: what a bank may ask of the gateway.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Greatest message, its length prefix left out.
    pub body_bytes_max: usize,
    /// Greatest document of a registry that is passed on to a bank (a certificate, say). One that is being passed on is
    /// held in memory until it is known to be whole.
    pub document_bytes_max: usize,
    /// Greatest material inside a message; larger ones are uploaded.
    pub inline_material_bytes_max: usize,
    /// Greatest head of an HTTP request (request line and header fields), at least 8,192.
    pub header_bytes_max: u32,
    /// `handshake_seconds_max`: how long a TLS handshake may take.
    #[serde(rename = "handshake_seconds_max", with = "Seconds")]
    pub handshake_max: Duration,
    /// `first_byte_seconds_max`: how long a caller may take to begin its TLS handshake.
    #[serde(rename = "first_byte_seconds_max", with = "Seconds")]
    pub first_byte_max: Duration,
    /// `header_seconds_max`: how long the head of an HTTP/1.1 request, or the prefix of a length-prefixed message, may
    /// take from its first byte on; HTTP/1.1 is looked at as often, so it may take twice as long.
    #[serde(rename = "header_seconds_max", with = "Seconds")]
    pub header_max: Duration,
    /// `body_seconds_max`: how long the rest of a message may take.
    #[serde(rename = "body_seconds_max", with = "Seconds")]
    pub body_max: Duration,
    /// `answer_seconds_max`: how long a bank may take to receive an answer, which keeps its place until then; an answer
    /// that is not taken ends its connection, over HTTP/2 its stream.
    #[serde(rename = "answer_seconds_max", with = "Seconds")]
    pub answer_max: Duration,
    /// `idle_seconds_max`: how long a connection is kept on which nothing is asked.
    #[serde(rename = "idle_seconds_max", with = "Seconds")]
    pub idle_max: Duration,
    /// Most connections of known banks and proxies, both ports together; further ones are closed after the handshake.
    pub connections_max: usize,
    /// Most of them that are of proxies, all together: others must find a place beside them.
    pub proxy_connections_max: usize,
    /// Most messages of all institutions that are being answered at a time; further ones are refused before they are
    /// read.
    pub exchanges_max: usize,
    /// Most messages of one institution that are being answered at a time. Less than a registry has room for, so that
    /// no institution alone fills it.
    pub institution_exchanges_max: usize,
    /// Most connections of one institution, both ports together; further ones are closed after the handshake.
    pub institution_connections_max: usize,
    /// Most messages a second of one institution, over a while.
    pub institution_messages_per_second_max: NonZeroU32,
    /// Most messages of one institution at once, after a pause.
    pub institution_messages_burst_max: NonZeroU32,
    /// Most callers at a time on each port that have not yet proved who they are; further ones wait in the system's
    /// queue.
    pub handshakes_max: usize,
    /// Most of them from one IPv4 address, or from IPv6 addresses with the same first 64 bits; further ones are closed. Half
    /// a port, so that nobody shuts one alone. Where all banks come from one address (a NAT, a load balancer) it may
    /// be as many as `handshakes_max`.
    pub peer_handshakes_max: usize,
    /// Most requests at a time on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// Most HTTP/2 streams that a bank has reset and that are not yet cleared away.
    pub http2_resets_max: usize,
    /// `shutdown_seconds_max`: how long what is in flight may take to finish once the process is told to stop; longer
    /// than any registry's `deadline_seconds`.
    #[serde(rename = "shutdown_seconds_max", with = "Seconds")]
    pub shutdown_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            document_bytes_max: 8 * 1024 * 1024,
            inline_material_bytes_max: 256 * 1024,
            header_bytes_max: 16 * 1024,
            handshake_max: Duration::from_secs(10),
            first_byte_max: Duration::from_secs(3),
            header_max: Duration::from_secs(10),
            body_max: Duration::from_secs(30),
            answer_max: Duration::from_secs(30),
            idle_max: Duration::from_secs(300),
            connections_max: 4096,
            proxy_connections_max: 2048,
            exchanges_max: 1024,
            institution_exchanges_max: 64,
            institution_connections_max: 256,
            institution_messages_per_second_max: PER_SECOND,
            institution_messages_burst_max: BURST,
            handshakes_max: 256,
            peer_handshakes_max: 128,
            http2_streams_max: 128,
            http2_resets_max: 32,
            shutdown_max: Duration::from_secs(30),
        }
    }
}

const PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(399);

/// What one institution may have of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Messages being answered at a time.
    pub exchanges_max: usize,
    /// Connections.
    pub connections_max: usize,
    /// Messages a second, over a while.
    pub messages_per_second_max: NonZeroU32,
    /// Messages at once, after a pause.
    pub messages_burst_max: NonZeroU32,
}

impl Limits {
    /// An institution's share: its own settings, or else those for all.
    pub fn share_of(&self, institution: &Institution) -> Share {
        Share {
            exchanges_max: institution.exchanges_max.unwrap_or(self.institution_exchanges_max),
            connections_max: institution
                .connections_max
                .unwrap_or(self.institution_connections_max),
            messages_per_second_max: institution
                .messages_per_second_max
                .unwrap_or(self.institution_messages_per_second_max),
            messages_burst_max: institution
                .messages_burst_max
                .unwrap_or(self.institution_messages_burst_max),
        }
    }
}
