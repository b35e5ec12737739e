//! The pages for operators: where they are, who signs in to them, and as what.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::reader;

/// `[console]`: pages for operators.
///
/// Under `/console/`; without the table there are none ([console.md](console.md)). Without `person` and `proxy`
/// nobody signs in: they are on the admin port, whose `address` must be on loopback then, and only read.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// `refresh_seconds`: how often an open page is told to look again, in seconds.
    #[serde(rename = "refresh_seconds", with = "reader::Seconds")]
    pub refresh: Duration,
    /// Where a trace is shown, with `{trace_id}` in the place of its id: `https://traces.example/{trace_id}`. Default:
    /// no links.
    pub trace_url: Option<String>,
    /// Address and port of the pages alone, with TLS, where everybody shows a certificate; needs the next three, and
    /// somebody who signs in. Default: the admin port.
    pub address: Option<SocketAddr>,
    /// PEM file: the certificate for `address`, its chain after it; looked at like that of `[listen]`, as
    /// the next three are, every `reload_seconds` there.
    pub certificate: Option<PathBuf>,
    /// PEM file: the private key of `certificate`.
    pub key: Option<PathBuf>,
    /// PEM file: the authorities that the certificates of people and of the proxy may be issued by.
    pub client_ca: Option<PathBuf>,
    /// Files of revocation lists, PEM or DER, as in `[listen]`. Default: none.
    pub client_crls: Vec<PathBuf>,
    /// Most connections of those who are known, at `address`; further ones are closed after the handshake. A browser has up to
    /// six. Default: 256.
    pub connections_max: usize,
    /// Host names under which the pages are asked for, besides loopback ones. Default: none.
    pub hosts: Vec<String>,
    /// `person`: who signs in with a certificate. Default: nobody.
    #[serde(rename = "person")]
    pub people: Vec<Person>,
    /// Who is believed about people who signed in elsewhere. Default: nobody.
    pub proxy: Option<Proxy>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(2),
            trace_url: None,
            address: None,
            certificate: None,
            key: None,
            client_ca: None,
            client_crls: Vec::new(),
            connections_max: 256,
            hosts: Vec::new(),
            people: Vec::new(),
            proxy: None,
        }
    }
}

/// `[[console.person]]`: somebody who signs in with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// What they are called in the log of their acts.
    pub name: String,
    /// `viewer`, who looks, or `operator`, who also unmasks and acts.
    pub role: Role,
    /// Their certificate: a DNS name, URI or e-mail address of its subject alternative names, or `sha256:` and the
    /// digest of its DER in hexadecimal.
    pub certificate: String,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at what is masked (查看).
    Viewer,
    /// That, unmask, and act (操作).
    Operator,
}

/// `[console.proxy]`: a reverse proxy where people sign in.
///
/// It says who asks in header fields; they are believed from it alone. It is known by address, by certificate, or
/// by both if both are named.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Addresses that it calls from; without `address` of `[console]` they must be loopback ones. Default: any, if it
    /// has a certificate.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Its certificate, as that of a person; needs `address` of `[console]`. Default: none.
    #[serde(default)]
    pub certificate: Option<String>,
    /// The field that says who asks; the proxy must take it out of what browsers send.
    #[serde(default = "Proxy::user_field_default")]
    pub user_field: String,
    /// The field that says which groups they are in, separated by commas.
    #[serde(default = "Proxy::groups_field_default")]
    pub groups_field: String,
    /// Groups whose people may look. Default: none.
    #[serde(default)]
    pub viewers: Vec<String>,
    /// Groups whose people may act. Default: none.
    #[serde(default)]
    pub operators: Vec<String>,
}

impl Proxy {
    fn user_field_default() -> String {
        "x-forwarded-user".to_owned()
    }

    fn groups_field_default() -> String {
        "x-forwarded-groups".to_owned()
    }
}

impl Console {
    /// Whether who looks has to sign in.
    pub fn signs_in(&self) -> bool {
        !self.people.is_empty() || self.proxy.is_some()
    }

    /// With paths that start from `folder`.
    pub(super) fn beside(mut self, folder: &Path) -> Self {
        let files = [&mut self.certificate, &mut self.key, &mut self.client_ca];
        for path in files.into_iter().flatten().chain(&mut self.client_crls) {
            *path = folder.join(&*path);
        }
        self
    }

    /// What is wrong with it, beside an admin port at `admin`: the key it is about, and words.
    pub(super) fn problems(&self, admin: SocketAddr) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut add = |key: &'static str, told: &str| problems.push((key, told.to_owned()));
        let files = [
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
            ("client_ca", self.client_ca.is_some()),
        ];
        for (key, named) in files {
            match (named, self.address) {
                (false, Some(_)) => add("address", &format!("needs `{key}`")),
                (true, None) => add(key, "only goes with `address`"),
                (true, Some(_)) | (false, None) => {}
            }
        }
        if self.address.is_some() && !self.signs_in() {
            add("address", "needs [[console.person]] or [console.proxy]: who looks there signs in");
        }
        if self.address.is_none() && !self.people.is_empty() {
            add("person", "needs `address`: certificates are shown in TLS");
        }
        if !self.signs_in() && !admin.ip().is_loopback() {
            add(
                "",
                "pages ask nobody who is asking: they need `address` of [admin] on loopback, or \
                 people who sign in",
            );
        }
        if self.connections_max == 0 || self.connections_max > reader::COUNT_MAX {
            add("connections_max", &format!("expected 1 to {}", reader::COUNT_MAX));
        }
        if self.people.iter().any(|it| it.name.trim().is_empty()) {
            add("person", "expected a name");
        }
        if let Some(url) = &self.trace_url
            && !(url.contains("{trace_id}")
                && (url.starts_with("https://") || url.starts_with("http://")))
        {
            add("trace_url", "expected https://… with {trace_id} in it");
        }
        if let Some(proxy) = &self.proxy {
            if proxy.addresses.is_empty() && proxy.certificate.is_none() {
                add("proxy", "expected `addresses` or `certificate`, or both: who is believed");
            }
            if self.address.is_some() && proxy.certificate.is_none() {
                let told = "`address` of [console] needs the proxy's `certificate`: whoever else calls \
                            from its address would be believed";
                add("proxy", told);
            }
            if self.address.is_none() && proxy.certificate.is_some() {
                add("proxy", "`certificate` needs `address` of [console]: it is shown in TLS");
            }
            if self.address.is_none() && !proxy.addresses.iter().all(IpAddr::is_loopback) {
                add(
                    "proxy",
                    "addresses that are not loopback need `address` of [console]: what they say \
                     and hear would be readable on the way",
                );
            }
            let fields = [&proxy.user_field, &proxy.groups_field];
            if fields.iter().any(|it| it.parse::<http::HeaderName>().is_err()) {
                add("proxy", "expected names of header fields");
            }
        }
        problems
    }
}
