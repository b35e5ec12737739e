//! Whole HTTP messages: method, path, query, header fields and status are part of what a bank says and hears.
//!
//! A contract sees one JSON document of head and body, and its templates show it so. The bytes are those of HTTP/1.1
//! (RFC 9112), whichever HTTP was spoken: a line feed ends a line, a carriage return before it means nothing. Nothing
//! here reads a body; offsets in one are told from its beginning, and what stands in the head is told at 0.

use std::{borrow::Cow, ops::Range};

use super::{CannotSend, Charset, Opened, WireFault, form, pack::Place};
use crate::{
    fault::FaultCode,
    tree::{Kind, Node, NodeId, SyntaxFault, Tree, json},
};

/// What may be asked by whole HTTP requests, and what is heard. Worked out from the templates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whole {
    /// Every method at every path.
    pub operations: Vec<Operation>,
    /// Header fields of answers.
    pub answers: Vec<Field>,
}

/// A method at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// As HTTP writes it.
    pub method: String,
    /// The path's segments.
    pub path: Vec<Segment>,
    /// Header fields that are read; all others mean nothing.
    pub headers: Vec<Field>,
    /// Whether there is a body to read.
    pub has_body: bool,
}

/// What stands between two slashes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Always this.
    Literal(String),
    /// A value.
    Value,
}

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, each word with a capital (`Idempotency-Key`).
    pub name: String,
    /// Whether it holds a path, which templates show as the list of its segments.
    pub is_path: bool,
}

/// A request or an answer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpMessage<'m> {
    /// The first line.
    pub start: Cow<'m, str>,
    /// Header fields.
    pub headers: Vec<(Cow<'m, str>, Cow<'m, str>)>,
    /// What follows.
    pub body: Cow<'m, [u8]>,
}

impl<'m> HttpMessage<'m> {
    /// Takes a message apart; `None` if it is none.
    pub fn parse(bytes: &'m [u8]) -> Option<Self> {
        let mut rest = bytes;
        let start = line(&mut rest)?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut rest)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((Cow::Borrowed(name), Cow::Borrowed(value.trim())));
        }
        Some(Self { start: Cow::Borrowed(start), headers, body: Cow::Borrowed(rest) })
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        [out.as_bytes(), &self.body].concat()
    }

    /// A request's method and target.
    pub fn request(&self) -> Option<(&str, &str)> {
        let mut words = self.start.split(' ');
        Some((words.next()?, words.next()?))
    }

    /// An answer's status.
    pub fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(1)?.parse().ok()
    }
}

/// The next line of a head, without its end.
fn line<'m>(rest: &mut &'m [u8]) -> Option<&'m str> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, behind) = rest.split_at_checked(end)?;
    *rest = behind.get(1..)?;
    std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()
}

impl Operation {
    /// Whether a path, without a query, is this one's.
    pub fn is_at(&self, path: &str) -> bool {
        segments(path).is_some_and(|segments| {
            segments.len() == self.path.len()
                && segments.iter().zip(&self.path).all(|(stands, segment)| match segment {
                    Segment::Literal(literal) => stands == literal,
                    Segment::Value => true,
                })
        })
    }
}

/// The segments of a path, unescaped (RFC 3986, section 3.3); `None` if an escape is broken or means no UTF-8.
fn segments(path: &str) -> Option<Vec<String>> {
    let segment = |text: &str| {
        // Only in a form does a plus mean a blank.
        let text = text.replace('+', "%2B");
        let bytes = form::unescape(text.as_bytes()).ok()?.into_owned();
        String::from_utf8(bytes).ok()
    };
    path.strip_prefix('/')?.split('/').map(segment).collect()
}

fn escaped(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

impl Whole {
    /// A request as the document that templates show.
    pub(super) fn open_request<'b>(
        &self,
        bytes: &'b [u8],
        charset: Charset,
    ) -> Result<Opened<'b>, WireFault> {
        let (message, body) = parsed(bytes)?;
        let (method, target) = message.request().ok_or_else(no_head)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let way = segments(path).ok_or_else(|| fault(FaultCode::WrapInvalid, 0, "$url"))?;
        let known = self.operations.iter().find(|it| it.method == method && it.is_at(path));
        let mut text = String::from("{\"method\":");
        json::quote(method, &mut text);
        text.push_str(",\"path\":");
        list(way.iter().map(String::as_str), &mut text);
        if !query.is_empty() {
            text.push_str(",\"query\":");
            members(questions(query)?, &mut text);
        }
        let fields = known.map_or(&[][..], |operation| &operation.headers);
        headers(&message, fields, &mut text)?;
        open(text, body, charset)
    }

    /// An answer as the document that templates show.
    pub(super) fn open_answer<'b>(
        &self,
        bytes: &'b [u8],
        charset: Charset,
    ) -> Result<Opened<'b>, WireFault> {
        let (message, body) = parsed(bytes)?;
        let status = message.status().ok_or_else(no_head)?;
        let mut text = format!("{{\"status\":\"{status}\"");
        headers(&message, &self.answers, &mut text)?;
        open(text, body, charset)
    }
}

/// Takes a message apart; the body by itself, since it is what the caller's bytes are told by.
fn parsed(bytes: &[u8]) -> Result<(HttpMessage<'_>, &[u8]), WireFault> {
    let message = HttpMessage::parse(bytes).ok_or_else(no_head)?;
    let length = message.body.len();
    let (_, body) =
        bytes.split_at_checked(bytes.len().saturating_sub(length)).ok_or_else(no_head)?;
    Ok((message, body))
}

/// Puts the body behind the head.
fn open(mut text: String, body: &[u8], charset: Charset) -> Result<Opened<'_>, WireFault> {
    let bad = |bad: super::charset::BadByte| fault(FaultCode::CharsetInvalid, bad.at, "");
    let decoded = charset.decode(body).map_err(bad)?;
    let body_text = if decoded.trim().is_empty() {
        None
    } else {
        text.push_str(",\"body\":");
        let begins = text.len();
        text.push_str(&decoded);
        Some(begins..text.len())
    };
    text.push('}');
    Ok(Opened {
        text: Cow::Owned(text),
        bytes: Cow::Borrowed(body),
        place: Place::Plain(0),
        charset,
        within: String::new(),
        seal: None,
        body: Some(body_text.unwrap_or(0..0)),
    })
}

fn headers(
    message: &HttpMessage<'_>,
    fields: &[Field],
    text: &mut String,
) -> Result<(), WireFault> {
    let mut first = true;
    for (name, value) in &message.headers {
        let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) else {
            continue;
        };
        text.push_str(if first { ",\"headers\":{" } else { "," });
        first = false;
        json::quote(&field.name, text);
        text.push(':');
        if field.is_path {
            let broken = || fault(FaultCode::WrapInvalid, 0, &told(&format!("/headers/{name}")));
            list(segments(value).ok_or_else(broken)?.iter().map(String::as_str), text);
        } else {
            json::quote(value, text);
        }
    }
    if !first {
        text.push('}');
    }
    Ok(())
}

/// The fields of a query, unescaped.
fn questions(query: &str) -> Result<Vec<(String, String)>, WireFault> {
    let broken = || fault(FaultCode::WrapInvalid, 0, "$url");
    let meant = |text: &[u8]| {
        let bytes = form::unescape(text).ok()?.into_owned();
        String::from_utf8(bytes).ok()
    };
    form::fields(query.as_bytes())
        .map(|field| meant(field.name).zip(meant(field.value)).ok_or_else(broken))
        .collect()
}

fn members(members: Vec<(String, String)>, text: &mut String) {
    text.push('{');
    for (number, (name, value)) in members.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        json::quote(name, text);
        text.push(':');
        json::quote(value, text);
    }
    text.push('}');
}

fn list<'t>(items: impl Iterator<Item = &'t str>, text: &mut String) {
    text.push('[');
    for (number, item) in items.enumerate() {
        if number > 0 {
            text.push(',');
        }
        json::quote(item, text);
    }
    text.push(']');
}

fn no_head() -> WireFault {
    fault(FaultCode::WrapInvalid, 0, "")
}

fn fault(code: FaultCode, at: usize, place: &str) -> WireFault {
    WireFault { code, at, place: place.to_owned() }
}

/// The place of a document as a bank knows it: in the body a JSON Pointer; in the head a runtime expression of OpenAPI
/// (`$request.header.Idempotency-Key`). Source: OpenAPI 3.1.1, section 4.8.20.4.
pub(super) fn told(place: &str) -> String {
    let inside = |part: &str| {
        let rest = place.strip_prefix(part)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    };
    let named = |kind: &str, rest: &str| {
        let name = rest.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
        format!("$request.{kind}.{name}")
    };
    if let Some(rest) = inside("/body") {
        return rest.to_owned();
    }
    match (inside("/headers"), inside("/query"), inside("/path"), inside("/method")) {
        (Some(rest), ..) => named("header", rest),
        (_, Some(""), ..) | (_, _, Some(_), _) => "$url".to_owned(),
        (_, Some(rest), ..) => named("query", rest),
        (.., Some(_)) => "$method".to_owned(),
        (None, None, None, None) => place.to_owned(),
    }
}

/// Holds a document to having one value as its body: one that goes on as members beside the body is no JSON text.
pub(super) fn held<'t>(
    parsed: Result<Tree<'t>, SyntaxFault>,
    body: &Range<usize>,
) -> Result<Tree<'t>, SyntaxFault> {
    let goes_on = |at: usize| SyntaxFault { code: FaultCode::JsonSyntax, at, place: String::new() };
    match parsed {
        Ok(tree) => {
            let last = tree.children(tree.root()).last();
            let beside = last.filter(|(_, node)| !body.is_empty() && node.name != "body");
            match beside.map(|(_, node)| goes_on(node.at)) {
                Some(fault) => Err(fault),
                None => Ok(tree),
            }
        }
        Err(fault) if body.contains(&fault.at) && fault.code == FaultCode::KeyDuplicate => {
            let is_inside = fault.place.starts_with("/body/");
            Err(if is_inside { fault } else { goes_on(fault.at) })
        }
        Err(fault) => Err(fault),
    }
}

/// A written document as a request.
pub(super) fn close_request(text: &str, charset: Charset) -> Result<Vec<u8>, CannotSend> {
    let tree = json::parse(text).map_err(|_fault| CannotSend::NoHead)?;
    let part = |name: &str| part(&tree, name);
    let method = part("method").map(|(_, node)| node.text.as_ref()).unwrap_or_default();
    let mut target = path(&tree, part("path").ok_or(CannotSend::NoHead)?.0).unwrap_or_default();
    let query = part("query").map(|(id, _)| tree.children(id)).into_iter().flatten();
    for (number, (_, node)) in query.enumerate() {
        let mut field = Vec::new();
        form::escape(node.name.as_bytes(), &mut field);
        field.push(b'=');
        form::escape(node.text.as_bytes(), &mut field);
        target.push(if number == 0 { '?' } else { '&' });
        target.push_str(&String::from_utf8_lossy(&field));
    }
    close(&tree, format!("{method} {target} HTTP/1.1"), charset)
}

/// A written document as an answer.
pub(super) fn close_answer(text: &str, charset: Charset) -> Result<Vec<u8>, CannotSend> {
    let tree = json::parse(text).map_err(|_fault| CannotSend::NoHead)?;
    let (_, status) = part(&tree, "status").ok_or(CannotSend::NoHead)?;
    // The blank before the reason phrase is there even without one (RFC 9112, section 4).
    close(&tree, format!("HTTP/1.1 {} ", status.text), charset)
}

fn close(tree: &Tree<'_>, start: String, charset: Charset) -> Result<Vec<u8>, CannotSend> {
    let mut headers = Vec::new();
    let fields = part(tree, "headers").map(|(id, _)| tree.children(id)).into_iter().flatten();
    for (id, node) in fields {
        let value = match node.kind {
            // Without one of its segments a path leads nowhere.
            Kind::Array => path(tree, id).map(Cow::Owned),
            _ => Some(node.text.clone()),
        };
        let Some(value) = value else { continue };
        if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(CannotSend::NotAField);
        }
        headers.push((node.name.clone(), value));
    }
    let text = part(tree, "body").and_then(|(_, node)| {
        let end = tree.source.len().checked_sub(1)?;
        tree.source.get(node.value_at..end)
    });
    let body = charset.encode(text.unwrap_or_default()).map_err(CannotSend::Unmappable)?;
    Ok(HttpMessage { start: Cow::Owned(start), headers, body }.bytes())
}

fn part<'a, 't>(tree: &'a Tree<'t>, name: &str) -> Option<(NodeId, &'a Node<'t>)> {
    tree.children(tree.root()).find(|(_, node)| node.name == name)
}

/// A list of segments as a path; `None` if one is unset.
fn path(tree: &Tree<'_>, list: NodeId) -> Option<String> {
    let mut path = String::new();
    for (_, segment) in tree.children(list) {
        if segment.kind == Kind::Null {
            return None;
        }
        path.push('/');
        escaped(&segment.text, &mut path);
    }
    Some(path)
}
