//! What stands before every page: who may ask for it, who may change anything, and what a browser may do with it.
//!
//! No session is needed to post to a port of one's own machine, so a page of any site that a person here visits could: every
//! browser says where a post comes from, and what does not come from these pages is refused. A name that was made to lead
//! here (DNS rebinding) is no name of this machine.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::language;

/// Nothing from elsewhere, no script or style in a page, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) async fn keep(request: Request, next: Next) -> Response {
    let mut response = match admitted(request.method(), request.headers()) {
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

fn admitted(method: &Method, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(&header::HOST).filter(|host| is_loopback(host));
    let host = host.ok_or((StatusCode::MISDIRECTED_REQUEST, "not a name of this machine"))?;
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let here = match (text(&SEC_FETCH_SITE), text(&header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == format!("http://{host}"),
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
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        admitted(&method, &HeaderMap::from_iter(fields)).map_err(|(status, _)| status)
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
