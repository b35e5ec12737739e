//! Who looks at the pages, and what they may do: by the certificate they show, or by what a trusted proxy says of them.
//!
//! What a proxy says is believed from the proxy alone; whoever comes through it is who it says, and nobody by its
//! certificate. Where settings have nobody sign in, everybody who can reach the port looks, and nobody acts.

use std::net::IpAddr;

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State, connect_info::Connected},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
    serve::IncomingStream,
};
use tokio::net::TcpListener;

use super::{Console, Guest, Staff};
use crate::{
    pages::Language,
    settings::{Proxy, Role},
};

/// At the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// From where it came.
    pub(super) address: IpAddr,
    /// Who it is by the certificate that it showed.
    pub(super) guest: Option<Guest>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: stream.remote_addr().ip(), guest: None }
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
    let staff = console.0.staff.load_full();
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|it| it.0.clone());
    let visitor = peer.and_then(|peer| known(&staff, &peer, request.headers()));
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
    if staff.signs_in() {
        let secure = if console.address().is_some() { "; Secure" } else { "" };
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

/// Who it is; `None` if nobody knows.
fn known(staff: &Staff, peer: &Peer, headers: &HeaderMap) -> Option<Visitor> {
    if !staff.signs_in() {
        return Some(Visitor { who: String::new(), by: "nothing", role: Role::Viewer });
    }
    let calls_from =
        |proxy: &Proxy| proxy.addresses.is_empty() || proxy.addresses.contains(&peer.address);
    match &peer.guest {
        Some(Guest::Person(person)) => {
            Some(Visitor { who: person.name.clone(), by: "certificate", role: person.role })
        }
        Some(Guest::Proxy(proxy)) if calls_from(proxy) => told_of(proxy, headers),
        Some(Guest::Proxy(_)) => None,
        None => {
            // One that shows a certificate is nobody without it.
            let proxy = staff.proxy.as_ref().filter(|it| it.certificate.is_none());
            told_of(proxy.filter(|it| calls_from(it))?, headers)
        }
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
    use rustls::pki_types::CertificateDer;

    use super::*;
    use crate::entrance::Guests;

    fn staff(text: &str) -> Staff {
        Staff::of(&toml::from_str(text).unwrap())
    }

    /// Somebody at the other end who has shown a certificate, or none.
    fn peer(staff: &Staff, address: &str, shown: Option<&CertificateDer<'static>>) -> Peer {
        let guest = shown.and_then(|shown| staff.guest(std::slice::from_ref(shown)).ok());
        Peer { address: address.parse().unwrap(), guest }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn certificate(name: &str) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn where_nobody_signs_in_everybody_looks_and_nobody_acts() {
        let told = headers(&[("x-forwarded-user", "x"), ("x-forwarded-groups", "ops")]);
        let staff = staff("");
        let visitor = known(&staff, &peer(&staff, "127.0.0.1", None), &told).unwrap();
        assert_eq!(visitor.role, Role::Viewer);
    }

    #[test]
    fn a_certificate_is_somebody_by_its_name_or_its_digest() {
        let own = certificate("wang.ops.example");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &own);
        for pin in ["Wang.ops.example".to_owned(), format!("sha256:{}", hex::encode(digest))] {
            let it = staff(&format!(
                "[[person]]\nname = \"wang\"\nrole = \"operator\"\ncertificate = \"{pin}\"\n"
            ));
            let by = |shown| known(&it, &peer(&it, "10.0.0.7", Some(shown)), &HeaderMap::new());
            let wang = Visitor { who: "wang".into(), by: "certificate", role: Role::Operator };
            assert_eq!(by(&own), Some(wang), "{pin}");
            assert_eq!(by(&certificate("li.ops.example")), None);
        }
    }

    #[test]
    fn a_proxy_is_believed_from_its_address_alone_and_about_one_user() {
        let it = staff(
            "[proxy]\naddresses = [\"127.0.0.1\"]\nviewers = [\"look\"]\noperators = [\"ops\"]\n",
        );
        let says = |from: &str, fields: &[_]| known(&it, &peer(&it, from, None), &headers(fields));
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
        let own = certificate("proxy.example");
        let it = staff(
            "[[person]]\nname = \"p\"\nrole = \"operator\"\ncertificate = \"proxy.example\"\n\
             [proxy]\ncertificate = \"proxy.example\"\noperators = [\"ops\"]\n",
        );
        let told = headers(&[("x-forwarded-user", "wang"), ("x-forwarded-groups", "ops")]);
        let by = |shown, told: &HeaderMap| known(&it, &peer(&it, "10.1.1.1", shown), told);
        let through = by(Some(&own), &told).unwrap();
        assert_eq!((through.who.as_str(), through.by), ("wang", "proxy"));
        assert_eq!(by(Some(&own), &HeaderMap::new()), None);
        assert_eq!(by(None, &told), None);
        let person = certificate("li.ops.example");
        assert_eq!(by(Some(&person), &told), None, "whoever else says so");
    }
}
