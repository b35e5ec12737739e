//! What stands before every page: who may ask for it, who may change anything, and what a browser may do with it.
//!
//! No session is needed to post to a port of one's own machine, so a page of any site that a person here visits could: every
//! browser says where a post comes from, and what does not come from these pages is refused. A name that was made to lead
//! here (DNS rebinding) is no name of this machine.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::language;

/// Nothing from elsewhere, no script or style in a page, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Under which names pages are asked for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Host names besides those of this machine.
    pub hosts: Vec<String>,
    /// Whether browsers come over TLS, here or at a proxy in front.
    pub secure: bool,
}

impl Names {
    fn have(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        is_loopback(host) || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

pub(super) async fn keep(State(names): State<Names>, request: Request, next: Next) -> Response {
    let mut response = match admitted(&names, request.method(), request.headers()) {
        Err(refused) => refused.into_response(),
        Ok(()) => match language::chosen(request.uri()) {
            Some(choice) => choice.into_response(),
            None => next.run(request).await,
        },
    };
    let fields = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without any, browsers say of their own posts that they come from nowhere.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // What it says of people stays in no cache.
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn admitted(
    names: &Names,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(&header::HOST).filter(|host| names.have(host));
    let host = host.ok_or((StatusCode::MISDIRECTED_REQUEST, "not a name of this site"))?;
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let here = match (text(&SEC_FETCH_SITE), text(&header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == format!("{}://{host}", names.scheme()),
        (None, None) => false,
    };
    match here {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, "only these pages may do that")),
    }
}

/// `localhost`, `127.0.0.1` and the like, with or without a port.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') => (name, port),
        _ => (host, "0"),
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    port.parse::<u16>().is_ok()
        && (name == "localhost" || address.is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, fields: &[(&'static str, &'static str)]) -> Result<(), StatusCode> {
        asked_of(&Names::default(), method, fields)
    }

    fn asked_of(
        names: &Names,
        method: Method,
        fields: &[(&'static str, &'static str)],
    ) -> Result<(), StatusCode> {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(fields);
        admitted(names, &method, &headers).map_err(|(status, _)| status)
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in ["127.0.0.1:7000", "localhost", "localhost:7000", "[::1]:7000", "127.9.9.9"] {
            assert_eq!(asked(Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["rebound.example:7000", "192.168.1.2", "localhost.example", "127.0.0.1:x", ""]
        {
            let misdirected = Err(StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(asked(Method::GET, &[("host", host)]), misdirected, "{host}");
        }
        assert_eq!(asked(Method::GET, &[]), Err(StatusCode::MISDIRECTED_REQUEST));
    }

    #[test]
    fn a_site_behind_tls_has_names_of_its_own_and_its_pages_come_from_there() {
        let names = Names { hosts: vec!["console.example".to_owned()], secure: true };
        let host = ("host", "Console.example:9443");
        assert_eq!(asked_of(&names, Method::GET, &[host]), Ok(()));
        let other = [("host", "console.example.evil:9443")];
        let misdirected = Err(StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(asked_of(&names, Method::GET, &other), misdirected);
        let from = |origin| asked_of(&names, Method::POST, &[host, ("origin", origin)]);
        assert_eq!(from("https://Console.example:9443"), Ok(()));
        for origin in ["http://Console.example:9443", "https://console.example:1", "null"] {
            assert_eq!(from(origin), Err(StatusCode::FORBIDDEN), "{origin}");
        }
    }

    #[test]
    fn only_own_pages_may_post() {
        let host = ("host", "127.0.0.1:7000");
        let forbidden = Err(StatusCode::FORBIDDEN);
        let post = |fields: &[_]| asked(Method::POST, &[&[host], fields].concat());
        assert_eq!(post(&[("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(post(&[("origin", "http://127.0.0.1:7000")]), Ok(()));
        assert_eq!(post(&[]), forbidden);
        for site in ["cross-site", "same-site", "none"] {
            let told = [("sec-fetch-site", site), ("origin", "http://127.0.0.1:7000")];
            assert_eq!(post(&told), forbidden, "{site}");
        }
        for origin in
            ["null", "http://127.0.0.1:7001", "https://127.0.0.1:7000", "http://a.example"]
        {
            assert_eq!(post(&[("origin", origin)]), forbidden, "{origin}");
        }
    }
}
