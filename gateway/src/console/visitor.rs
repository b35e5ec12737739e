//! Who looks at the pages, and what they may do: by the certificate they show, or by what a trusted proxy says of them.
//!
//! What a proxy says is believed from the proxy alone; whoever comes through it is who it says, and nobody by its
//! certificate. Where settings have nobody sign in, everybody who can reach the port looks, and nobody acts.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State, connect_info::Connected},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
    serve::IncomingStream,
};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use super::{Console, door::Doorway};
use crate::{
    identity::client_names,
    pages::Language,
    settings::{Console as Settings, Proxy, Role},
};

/// At the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// From where it came.
    pub(super) address: IpAddr,
    /// The certificate that it showed, as DER, its chain verified.
    pub(super) certificate: Option<Arc<[u8]>>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: stream.remote_addr().ip(), certificate: None }
    }
}

impl Connected<IncomingStream<'_, Doorway>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Doorway>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visitor {
    /// As they are called in the log of acts; empty where nobody signs in.
    pub(super) who: String,
    /// How they are known.
    pub(super) by: &'static str,
    pub(super) role: Role,
}

/// Who asks for a page, and in which language.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) language: Language,
    pub(super) visitor: Visitor,
}

impl Asker {
    pub(super) fn may_act(&self) -> bool {
        self.visitor.role == Role::Operator
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let Ok(language) = Language::from_request_parts(parts, state).await;
        let visitor = parts.extensions.get::<Visitor>().cloned().ok_or(StatusCode::FORBIDDEN)?;
        Ok(Self { language, visitor })
    }
}

/// Lets in whoever is known, and to acts whoever may act. What a page of ours sends brings a cookie that no other site can
/// have sent along (`SameSite=Strict`), besides what `pages` asks of where it comes from.
pub(super) async fn admit(
    State(console): State<Console>,
    language: Language,
    mut request: Request,
    next: Next,
) -> Response {
    let settings = &console.0.own;
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|it| it.0.clone());
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let visitor = peer.and_then(|peer| known(settings, &peer, request.headers(), now));
    let Some(visitor) = visitor else {
        tracing::warn!("somebody who is not known asked for the console");
        return console.stranger(language);
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        if visitor.role != Role::Operator {
            return (StatusCode::FORBIDDEN, "only operators may do that").into_response();
        }
        if !is_of_this_site(request.headers()) {
            return (StatusCode::FORBIDDEN, "only these pages may do that").into_response();
        }
    }
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    if settings.signs_in() {
        let secure = if settings.address.is_some() { "; Secure" } else { "" };
        let cookie = format!("{HERE}=yes; Path=/console/; SameSite=Strict; HttpOnly{secure}");
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// The cookie that comes along from these pages alone. It says nothing else.
const HERE: &str = "directlink_here";

fn is_of_this_site(headers: &HeaderMap) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs = cookies.flat_map(|it| it.split("; "));
    pairs.any(|pair| pair.split_once('=') == Some((HERE, "yes")))
}

/// Who it is; `None` if nobody knows. `now`: seconds since 1970.
fn known(settings: &Settings, peer: &Peer, headers: &HeaderMap, now: i64) -> Option<Visitor> {
    if !settings.signs_in() {
        return Some(Visitor { who: String::new(), by: "nothing", role: Role::Viewer });
    }
    let shown = peer.certificate.as_deref().and_then(|der| client_names(der, now));
    let is_known_by = |pin: &str| shown.as_ref().is_some_and(|shown| is_pinned(pin, shown));
    if let Some(proxy) = &settings.proxy {
        let calls_from = proxy.addresses.is_empty() || proxy.addresses.contains(&peer.address);
        if calls_from && proxy.certificate.as_ref().is_none_or(|pin| is_known_by(pin)) {
            return told_of(proxy, headers);
        }
    }
    let person = settings.people.iter().find(|person| is_known_by(&person.certificate))?;
    Some(Visitor { who: person.name.clone(), by: "certificate", role: person.role })
}

/// Whether a certificate is the one that settings name: by its digest, or by one of its names.
fn is_pinned(pin: &str, (names, sha256): &(Vec<String>, String)) -> bool {
    match pin.strip_prefix("sha256:") {
        Some(digest) => digest.replace(':', "").eq_ignore_ascii_case(sha256),
        None => names.iter().any(|name| name.eq_ignore_ascii_case(pin)),
    }
}

/// Whom a proxy speaks of; nobody, if it names no one, or no group that may look.
fn told_of(proxy: &Proxy, headers: &HeaderMap) -> Option<Visitor> {
    let mut users = headers.get_all(&proxy.user_field).iter();
    let who = users.next().filter(|_| users.next().is_none())?.to_str().ok()?.trim();
    if who.is_empty() || who.len() > WHO_BYTES_MAX {
        return None;
    }
    // A second line may be the browser's own, to which the proxy has only added.
    let mut groups = headers.get_all(&proxy.groups_field).iter();
    let groups = groups.next().filter(|_| groups.next().is_none())?.to_str().ok()?;
    let groups: Vec<&str> = groups.split(',').map(str::trim).collect();
    let is_in = |wanted: &[String]| wanted.iter().any(|it| groups.contains(&it.as_str()));
    let role = match (is_in(&proxy.operators), is_in(&proxy.viewers)) {
        (true, _) => Role::Operator,
        (false, true) => Role::Viewer,
        (false, false) => return None,
    };
    Some(Visitor { who: who.to_owned(), by: "proxy", role })
}

/// Longer than anybody is called.
const WHO_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_673_154;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    fn peer(address: &str, certificate: Option<&[u8]>) -> Peer {
        Peer { address: address.parse().unwrap(), certificate: certificate.map(Arc::from) }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn certificate(name: &str) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + 60).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn where_nobody_signs_in_everybody_looks_and_nobody_acts() {
        let told = headers(&[("x-forwarded-user", "x"), ("x-forwarded-groups", "ops")]);
        let visitor = known(&settings(""), &peer("127.0.0.1", None), &told, NOW).unwrap();
        assert_eq!(visitor.role, Role::Viewer);
    }

    #[test]
    fn a_certificate_is_somebody_in_its_time_and_nobody_after_it() {
        let der = certificate("wang.ops.example");
        let pins = ["Wang.ops.example".to_owned(), {
            let (_, digest) = client_names(&der, NOW).unwrap();
            format!("sha256:{digest}")
        }];
        for pin in pins {
            let it = settings(&format!(
                "[[person]]\nname = \"wang\"\nrole = \"operator\"\ncertificate = \"{pin}\"\n"
            ));
            let at = |now| known(&it, &peer("10.0.0.7", Some(&der)), &HeaderMap::new(), now);
            let wang = Visitor { who: "wang".into(), by: "certificate", role: Role::Operator };
            assert_eq!(at(NOW), Some(wang), "{pin}");
            assert_eq!(at(NOW + 61), None);
            let other = certificate("li.ops.example");
            let other = peer("10.0.0.7", Some(&other));
            assert_eq!(known(&it, &other, &HeaderMap::new(), NOW), None);
        }
    }

    #[test]
    fn a_proxy_is_believed_from_its_address_alone_and_about_one_user() {
        let it = settings(
            "[proxy]\naddresses = [\"127.0.0.1\"]\nviewers = [\"look\"]\noperators = [\"ops\"]\n",
        );
        let says = |from: &str, fields: &[_]| known(&it, &peer(from, None), &headers(fields), NOW);
        let (wang, ops) = (("x-forwarded-user", "wang"), ("x-forwarded-groups", "look, ops"));
        let visitor = says("127.0.0.1", &[wang, ops]).unwrap();
        assert_eq!((visitor.who.as_str(), visitor.role), ("wang", Role::Operator));
        let looks = says("127.0.0.1", &[wang, ("x-forwarded-groups", "look")]).unwrap();
        assert_eq!(looks.role, Role::Viewer);
        assert_eq!(says("127.0.0.1", &[wang]), None, "in no group");
        assert_eq!(says("127.0.0.1", &[ops]), None, "nobody");
        assert_eq!(says("127.0.0.1", &[wang, ("x-forwarded-user", "li"), ops]), None, "two");
        let own = ("x-forwarded-groups", "ops");
        assert_eq!(
            says("127.0.0.1", &[wang, own, ("x-forwarded-groups", "look")]),
            None,
            "groups twice: one line may be the browser's"
        );
        assert_eq!(says("127.0.0.2", &[wang, ops]), None, "somebody else says so");
    }

    #[test]
    fn a_pinned_proxys_certificate_is_no_person_and_without_it_nobody_is_believed() {
        let der = certificate("proxy.example");
        let it = settings(
            "[[person]]\nname = \"p\"\nrole = \"operator\"\ncertificate = \"proxy.example\"\n\
             [proxy]\ncertificate = \"proxy.example\"\noperators = [\"ops\"]\n",
        );
        let told = headers(&[("x-forwarded-user", "wang"), ("x-forwarded-groups", "ops")]);
        let through = known(&it, &peer("10.1.1.1", Some(&der)), &told, NOW).unwrap();
        assert_eq!((through.who.as_str(), through.by), ("wang", "proxy"));
        assert_eq!(known(&it, &peer("10.1.1.1", Some(&der)), &HeaderMap::new(), NOW), None);
        assert_eq!(known(&it, &peer("10.1.1.1", None), &told, NOW), None);
    }
}
