//! Where a contract's messages are whole HTTP requests: what is asked as the bytes of a message, and an answer's bytes as
//! a response.
//!
//! Which method and path there are, and which header fields are read, the contract says; nothing is decided here by what
//! a message says.

use adapters::wire::{
    Whole,
    whole::{HttpMessage, Operation, Segment},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, request::Parts};

use super::problem::Problem;

/// The operation that is asked for.
pub(super) fn operation<'w>(whole: &'w Whole, head: &Parts) -> Result<&'w Operation, Problem> {
    let path = head.uri.path();
    let there: Vec<&Operation> = whole.operations.iter().filter(|it| it.is_at(path)).collect();
    if there.is_empty() {
        return Err(Problem::PathUnknown);
    }
    there.iter().find(|it| it.method == head.method.as_str()).copied().ok_or_else(|| {
        let methods: Vec<&str> = there.iter().map(|it| it.method.as_str()).collect();
        Problem::MethodNotAllowed { agreed: methods.join(", ") }
    })
}

/// The paths of an operation, with nothing of what stands in one.
pub(super) fn pattern(operation: &Operation) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Value => "/{}".to_owned(),
    };
    operation.path.iter().map(segment).collect()
}

/// A request as the contract reads it. Of the header fields only those that it reads are there.
pub(super) fn message(operation: &Operation, head: &Parts, body: &[u8]) -> Bytes {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let is_read = |name: &HeaderName| {
        operation.headers.iter().any(|field| field.name.eq_ignore_ascii_case(name.as_str()))
    };
    let headers = head.headers.iter().filter(|(name, _)| is_read(name));
    let message = HttpMessage {
        start: format!("{} {target} HTTP/1.1", head.method).into(),
        headers: headers
            .map(|(name, value)| (name.as_str().into(), String::from_utf8_lossy(value.as_bytes())))
            .collect(),
        body: body.into(),
    };
    message.bytes().into()
}

/// An answer as the bank gets it; `None` if the contract wrote no response, which is a fault of ours.
pub(super) fn response(answer: &[u8]) -> Option<Response<Bytes>> {
    let message = HttpMessage::parse(answer)?;
    let body = Bytes::from(message.body.to_vec());
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(message.status()?).ok()?;
    for (name, value) in &message.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        response.headers_mut().append(name, HeaderValue::from_str(value).ok()?);
    }
    Some(response)
}
