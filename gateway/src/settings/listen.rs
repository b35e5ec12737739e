//! What the gateway listens on: the ports for banks, and the one for operators.

use std::{net::SocketAddr, path::PathBuf};

/// `[listen]`: where banks call. At least one of the two ports.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port for HTTPS (HTTP/1.1 and HTTP/2). Default: not opened.
    pub https: Option<SocketAddr>,
    /// Address and port for length-prefixed messages over TLS; the institution's contract says which prefix.
    /// Default: not opened.
    pub tcp: Option<SocketAddr>,
    /// PEM file: the gateway's certificate for banks, its chain after it. Required.
    pub certificate: PathBuf,
    /// PEM file: the private key of `certificate`. Required.
    pub key: PathBuf,
    /// PEM file: the authorities banks' certificates may be issued by. Required.
    pub client_ca: PathBuf,
}

/// `[admin]`: the port for `/live`, `/ready` and `/metrics`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port, without TLS. Nothing there asks who is asking: leave it on a loopback address unless the
    /// network keeps others away. Default: `127.0.0.1:9090`.
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}
