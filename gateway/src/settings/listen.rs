//! What the gateway listens on: the ports for banks, and the one for operators.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::reader;

/// `[listen]`: the ports for banks.
///
/// At least one of the two ports.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port for HTTPS, HTTP/1.1 and HTTP/2. Default: not opened.
    pub https: Option<SocketAddr>,
    /// Address and port for length-prefixed messages over TLS; the institution's contract says which prefix. Default:
    /// not opened.
    pub tcp: Option<SocketAddr>,
    /// PEM file: the gateway's certificate for banks, its chain after it.
    pub certificate: PathBuf,
    /// PEM file: the private key of `certificate`.
    pub key: PathBuf,
    /// PEM file: the authorities that banks' certificates may be issued by; those that issue, not only the root above
    /// them: nobody else can bear a name that is here.
    pub client_ca: PathBuf,
    /// Files of certificate revocation lists (证书吊销列表), PEM or DER. With any, each authority of `client_ca` needs one,
    /// and whoever is on it is not let in. Default: none.
    #[serde(default)]
    pub client_crls: Vec<PathBuf>,
    /// What is done once a list's own time for the next has passed: `refuse` whoever it would speak for, or `accept` it
    /// on.
    #[serde(default)]
    pub stale_crls: StaleCrls,
    /// `reload_seconds`: how often it is looked for certificates, keys and lists whose content has changed, and for
    /// connections whose certificate has run out, here and at the console's own port; a SIGHUP makes it look at once.
    #[serde(
        rename = "reload_seconds",
        default = "Listen::reload_default",
        with = "reader::Seconds"
    )]
    pub reload: Duration,
    /// `proxy`: those in front of the HTTPS port at which banks' TLS ends, a table for each. Default: none.
    #[serde(rename = "proxy", default)]
    pub proxies: Vec<BankProxy>,
}

/// `[[listen.proxy]]`: those in front of the HTTPS port at which banks' TLS ends.
///
/// A proxy (前置代理) tells of each request whose certificate was shown to it, in `Client-Cert` and, where there are
/// certificates between it and its authority, `Client-Cert-Chain` (RFC 9440). It has to take away what a caller
/// sends under these names. From anybody who is not named here they mean nothing. On the TCP port there are no
/// header fields, so no proxies.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BankProxy {
    /// Its name in logs and metrics: letters, digits, `-` and `_`, at most 64.
    pub name: String,
    /// The distinguished name its own certificate is issued by; written as an institution's. It has to be by an
    /// authority of `client_ca` too.
    pub certificate_issuer: String,
    /// The subject alternative name its certificate holds, of the kinds that an institution's is.
    pub certificate_san: String,
    /// Ids of the institutions it speaks for. A certificate is no secret: a proxy could tell of anybody's.
    pub institutions: Vec<String>,
    /// Who says that a bank's certificate is by an authority and was not revoked: `verified`, the gateway, by
    /// `client_ca` and `client_crls`; or `vouched`, the proxy alone, as for 国密 TLCP, whose SM2 signatures the gateway
    /// does not judge. Issuer, name, time and purpose are looked at either way.
    #[serde(default)]
    pub chains: Chains,
}

/// Who judges the certificates that a proxy tells of.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
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
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum StaleCrls {
    /// Nobody it would speak for is let in.
    #[default]
    Refuse,
    /// What it said last holds on.
    Accept,
}

/// `[admin]`: the port for operators.
///
/// `/live`, `/ready`, `/metrics`, `/evidence/checkpoint`, and the console where it has no port of its own.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port, without TLS. Nothing there asks who is asking: leave it on a loopback address unless the
    /// network keeps others away.
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}
