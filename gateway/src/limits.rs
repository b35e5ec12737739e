//! What a bank may ask of the ports: sizes, times and numbers, each a setting with a default that suits a province.
//!
//! A limit here bounds what one caller can cost the others; none of them says anything about business.

use std::time::Duration;

use crate::settings::seconds;

/// `[limits]`: what a bank may ask of the ports.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Greatest message, in bytes, its length prefix left out. Default: 1,048,576 (1 MiB).
    pub body_bytes_max: usize,
    /// Greatest head of an HTTP request (request line and header fields), in bytes, at least 8,192. Default: 16,384.
    pub header_bytes_max: u32,
    /// `handshake_seconds_max`: how long a TLS handshake may take, in seconds. Default: 10.
    #[serde(rename = "handshake_seconds_max", deserialize_with = "seconds")]
    pub handshake_max: Duration,
    /// `header_seconds_max`: how long the head of an HTTP/1.1 request, or the prefix of a length-prefixed message, may
    /// take from its first byte on, in seconds; HTTP/1.1 is looked at as often, so it may take twice as long.
    /// Default: 10.
    #[serde(rename = "header_seconds_max", deserialize_with = "seconds")]
    pub header_max: Duration,
    /// `body_seconds_max`: how long the rest of a message may take, in seconds. Default: 30.
    #[serde(rename = "body_seconds_max", deserialize_with = "seconds")]
    pub body_max: Duration,
    /// `answer_seconds_max`: how long a bank may take to receive an answer, in seconds. Default: 30.
    #[serde(rename = "answer_seconds_max", deserialize_with = "seconds")]
    pub answer_max: Duration,
    /// `idle_seconds_max`: how long a connection is kept on which nothing is asked, in seconds. Default: 300.
    #[serde(rename = "idle_seconds_max", deserialize_with = "seconds")]
    pub idle_max: Duration,
    /// Most connections of known banks, both ports together; further ones are closed after the handshake.
    /// Default: 4,096.
    pub connections_max: usize,
    /// Most callers at a time on each port that have not yet proved who they are; further ones wait in the system's
    /// queue. Default: 256.
    pub handshakes_max: usize,
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
            header_bytes_max: 16 * 1024,
            handshake_max: Duration::from_secs(10),
            header_max: Duration::from_secs(10),
            body_max: Duration::from_secs(30),
            answer_max: Duration::from_secs(30),
            idle_max: Duration::from_secs(300),
            connections_max: 4096,
            handshakes_max: 256,
            http2_streams_max: 128,
            http2_resets_max: 32,
            shutdown_max: Duration::from_secs(30),
        }
    }
}
