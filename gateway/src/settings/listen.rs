//! What the gateway listens on: the ports for banks, and the one for operators.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::reader;

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
    /// Files of certificate revocation lists (证书吊销列表), PEM or DER. With any, each authority of `client_ca` needs one,
    /// and whoever is on it is not let in. Default: none, nobody is asked.
    #[serde(default)]
    pub client_crls: Vec<PathBuf>,
    /// What is done once a list's own time for the next has passed: `refuse` whoever it would speak for, or `accept` it on.
    /// Default: `refuse`.
    #[serde(default)]
    pub stale_crls: StaleCrls,
    /// `reload_seconds`: how often it is looked for certificates, keys and lists whose content has changed, and for
    /// connections whose certificate has run out, in seconds; a SIGHUP makes it look at once. Default: 10.
    #[serde(
        rename = "reload_seconds",
        default = "Listen::reload_default",
        deserialize_with = "reader::seconds"
    )]
    pub reload: Duration,
    /// `[[listen.proxy]]`: those in front of the HTTPS port at which banks' TLS ends. Default: none, nobody speaks for
    /// another.
    #[serde(rename = "proxy", default)]
    pub proxies: Vec<BankProxy>,
}

/// `[[listen.proxy]]`: one at which banks' TLS ends (前置代理), so that it tells of each request whose certificate was shown
/// to it: RFC 9440 `Client-Cert`. It is known by the one certificate it shows itself, and only on the HTTPS port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankProxy {
    /// Its name in logs. Required.
    pub name: String,
    /// The distinguished name its certificate is issued by, in the certificate's order: `C=CN, O=…, CN=…`. Required.
    pub certificate_issuer: String,
    /// The subject alternative name its certificate holds: a DNS name, a URI or an e-mail address. Required.
    pub certificate_san: String,
    /// Ids of the institutions it speaks for: a certificate is no secret, so that it could tell of any. Required.
    pub institutions: Vec<String>,
    /// Who says that a bank's certificate is by an authority and was not revoked: `verified`, the gateway, by `client_ca` and
    /// `client_crls`; or `vouched`, the proxy alone, as for 国密 TLCP, whose signatures the gateway cannot judge. Default:
    /// `verified`.
    #[serde(default)]
    pub chains: Chains,
}

/// Who judges the certificates that a proxy tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chains {
    /// The gateway.
    #[default]
    Verified,
    /// The proxy.
    Vouched,
}

impl Listen {
    fn reload_default() -> Duration {
        Duration::from_secs(10)
    }
}

/// What a revocation list is worth after its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StaleCrls {
    /// Nobody it would speak for is let in.
    #[default]
    Refuse,
    /// What it said last holds on.
    Accept,
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
