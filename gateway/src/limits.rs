//! What a bank may ask of the gateway: sizes, times and numbers, each a setting with a default that suits a province.
//!
//! A limit here bounds what one caller can cost the others; none of them says anything about business.

use std::{num::NonZeroU32, time::Duration};

use crate::settings::{Institution, seconds};

/// `[limits]`: what a bank may ask of the gateway.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Greatest message, in bytes, its length prefix left out. Default: 1,048,576 (1 MiB).
    pub body_bytes_max: usize,
    /// Greatest document of a registry that is passed on to a bank (a certificate, say), in bytes. One that is being passed
    /// on is held in memory until it is known to be whole. Default: 8,388,608 (8 MiB).
    pub document_bytes_max: usize,
    /// Greatest material inside a message, in bytes; larger ones are uploaded. Default: 262,144 (256 KiB).
    pub inline_material_bytes_max: usize,
    /// Greatest head of an HTTP request (request line and header fields), in bytes, at least 8,192. Default: 16,384.
    pub header_bytes_max: u32,
    /// `handshake_seconds_max`: how long a TLS handshake may take, in seconds. Default: 10.
    #[serde(rename = "handshake_seconds_max", deserialize_with = "seconds")]
    pub handshake_max: Duration,
    /// `first_byte_seconds_max`: how long a caller may take to begin its TLS handshake, in seconds. Default: 3.
    #[serde(rename = "first_byte_seconds_max", deserialize_with = "seconds")]
    pub first_byte_max: Duration,
    /// `header_seconds_max`: how long the head of an HTTP/1.1 request, or the prefix of a length-prefixed message, may
    /// take from its first byte on, in seconds; HTTP/1.1 is looked at as often, so it may take twice as long.
    /// Default: 10.
    #[serde(rename = "header_seconds_max", deserialize_with = "seconds")]
    pub header_max: Duration,
    /// `body_seconds_max`: how long the rest of a message may take, in seconds. Default: 30.
    #[serde(rename = "body_seconds_max", deserialize_with = "seconds")]
    pub body_max: Duration,
    /// `answer_seconds_max`: how long a bank may take to receive an answer, in seconds; then the HTTP/2 stream, or else the
    /// connection, ends. Default: 30.
    #[serde(rename = "answer_seconds_max", deserialize_with = "seconds")]
    pub answer_max: Duration,
    /// `idle_seconds_max`: how long a connection is kept on which nothing is asked, in seconds. Default: 300.
    #[serde(rename = "idle_seconds_max", deserialize_with = "seconds")]
    pub idle_max: Duration,
    /// Most connections of known banks, both ports together; further ones are closed after the handshake.
    /// Default: 4,096.
    pub connections_max: usize,
    /// Most of them that are of proxies, all together: others must find a place beside them. Default: 2048.
    pub proxy_connections_max: usize,
    /// Most messages of all institutions that are being answered at a time; further ones are refused before they are
    /// read. Default: 1,024.
    pub exchanges_max: usize,
    /// Most messages of one institution that are being answered at a time. Less than a registry has room for, so that
    /// no institution alone fills it. Default: 64.
    pub institution_exchanges_max: usize,
    /// Most connections of one institution, both ports together; further ones are closed after the handshake.
    /// Default: 256.
    pub institution_connections_max: usize,
    /// Most messages a second of one institution, over a while. Default: 200.
    pub institution_messages_per_second_max: NonZeroU32,
    /// Most messages of one institution at once, after a pause. Default: 400.
    pub institution_messages_burst_max: NonZeroU32,
    /// Most callers at a time on each port that have not yet proved who they are; further ones wait in the system's
    /// queue. Default: 256.
    pub handshakes_max: usize,
    /// Most of them from one IPv4 address, or from IPv6 addresses that begin with the same 64 bits; further ones are closed.
    /// Half a port, so that nobody shuts one alone, and not less, because many banks may come through one proxy or NAT.
    /// Default: 128.
    pub peer_handshakes_max: usize,
    /// Most requests at a time on one HTTP/2 connection. Default: 128.
    pub http2_streams_max: u32,
    /// Most HTTP/2 streams that a bank may have reset and that are not yet cleared away. Default: 32.
    pub http2_resets_max: usize,
    /// `shutdown_seconds_max`: how long what is in flight may take to finish once the process is told to stop, in
    /// seconds; longer than any registry's `deadline_seconds`. Default: 30.
    #[serde(rename = "shutdown_seconds_max", deserialize_with = "seconds")]
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
