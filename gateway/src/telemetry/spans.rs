//! Spans of OTLP, made of what was noted of a piece of work that is kept, by OpenTelemetry's semantic conventions for HTTP
//! servers, RPC clients and databases, as they were named in version 1.45.
//!
//! An attribute says a name of settings or of a contract, a code, or a number of bytes or time; never what a message says:
//! so of a request's path there is only the contract's pattern (docs/decisions/0031).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;
use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{
        Span, SpanFlags, Status,
        span::{Link, SpanKind},
        status::StatusCode,
    },
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::{
    arrival::Way,
    keeping::Kept,
    step::{Peer, Step},
    trace::{Piece, Record, Taken, Work},
};

/// One thing that a span says.
pub type Attribute = (&'static str, Said);

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A word of this code.
    Word(&'static str),
    /// A name of settings or of a contract.
    Name(String),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Said {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Said {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<i64> for Said {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// All spans of a piece of work: that of the whole, those of its steps, and, if it is about a filing, the mark it leaves in the
/// trace of what is done for that later.
pub(super) fn of(work: &Work, record: Record, kept: Kept, took: Duration) -> Vec<Span> {
    let Record { steps, unnoted, attributes, error, case, .. } = record;
    let (name, kind, mut said) = whole(&work.piece);
    said.extend(attributes);
    said.push(("directlink.kept", kept.label().into()));
    if unnoted > 0 {
        said.push(("directlink.steps_unnoted", i64::from(unnoted).into()));
    }
    let mut root = Draft {
        context: &work.context,
        span: work.context.span_id(),
        parent: work.parent.span_id(),
        is_remote: work.parent.is_remote(),
        name,
        kind,
        from: work.begun,
        to: work.begun + took,
        said,
        error,
    }
    .span();
    let mut spans = Vec::with_capacity(steps.len().saturating_add(2));
    if let Some(trace) = case {
        let mark = mark(work, trace, &root);
        root.links.push(link(trace.to_bytes(), &mark.span_id));
        spans.push(mark);
    }
    spans.push(root);
    spans.extend(steps.into_iter().map(|step| of_step(work, step)));
    spans
}

fn of_step(work: &Work, taken: Taken) -> Span {
    let Taken { span, parent, step, from, to, error } = taken;
    let (name, kind, said) = conventional(step, error);
    let (from, to) = (work.begun + from, work.begun + to);
    let context = &work.context;
    Draft { context, span, parent, is_remote: false, name, kind, from, to, said, error }.span()
}

/// Leads from the trace of a filing to that of an exchange about it.
fn mark(work: &Work, trace: TraceId, root: &Span) -> Span {
    let id = RandomIdGenerator::default().new_span_id();
    // The request was answered in one place alone: what conventions say of it stands there.
    let is_ours = |it: &&KeyValue| it.key.starts_with("directlink.") || it.key == "error.type";
    Span {
        attributes: root.attributes.iter().filter(is_ours).cloned().collect(),
        trace_id: trace.to_bytes().to_vec(),
        span_id: id.to_bytes().to_vec(),
        trace_state: String::new(),
        parent_span_id: Vec::new(),
        name: "exchange".to_owned(),
        kind: SpanKind::Internal.into(),
        links: vec![link(work.context.trace_id().to_bytes(), &root.span_id)],
        ..root.clone()
    }
}

fn link(trace: [u8; 16], span: &[u8]) -> Link {
    Link { trace_id: trace.to_vec(), span_id: span.to_vec(), ..Link::default() }
}

fn whole(piece: &Piece) -> (String, SpanKind, Vec<Attribute>) {
    match piece {
        Piece::Exchange(Way::Http { method, route, version }) => {
            let version = match *version {
                Version::HTTP_2 => "2",
                Version::HTTP_10 => "1.0",
                _ => "1.1",
            };
            let said = vec![
                ("http.request.method", method.as_str().to_owned().into()),
                ("http.route", route.to_string().into()),
                ("url.path", route.to_string().into()),
                ("url.scheme", "https".into()),
                ("network.protocol.version", version.into()),
            ];
            (format!("{method} {route}"), SpanKind::Server, said)
        }
        Piece::Exchange(Way::Tcp) => {
            let said = vec![("network.transport", "tcp".into())];
            ("exchange".to_owned(), SpanKind::Server, said)
        }
        Piece::Later(later) => (later.label().to_owned(), SpanKind::Internal, Vec::new()),
    }
}

/// Name, kind and attributes of a step, as the conventions have them.
fn conventional(step: Step, error: Option<&'static str>) -> (String, SpanKind, Vec<Attribute>) {
    let at = |peer: &Peer| {
        let (host, port) = (peer.host.clone(), i64::from(peer.port));
        [("server.address", host.into()), ("server.port", port.into())]
    };
    match step {
        Step::Inner(name) => (name.to_owned(), SpanKind::Internal, Vec::new()),
        Step::Ledger { system, verb } => {
            let said =
                vec![("db.system.name", system.into()), ("db.operation.name", verb.label().into())];
            (verb.label().to_owned(), SpanKind::Client, said)
        }
        Step::Call { call, peer } => {
            let mut said = vec![
                ("rpc.system.name", "grpc".into()),
                ("rpc.method", call.method().into()),
                ("rpc.response.status_code", error.unwrap_or("OK").into()),
                ("directlink.registry", peer.name.clone().into()),
            ];
            said.extend(at(&peer));
            (call.method().to_owned(), SpanKind::Client, said)
        }
        Step::Post { peer, target } => {
            // Without what may follow its path: a subscriber may know the gateway by that.
            let url = format!("https://{}:{}{}", peer.host, peer.port, target.path());
            let mut said = vec![
                ("http.request.method", "POST".into()),
                ("url.full", url.into()),
                ("directlink.subscriber", peer.name.clone().into()),
            ];
            said.extend(at(&peer));
            ("POST".to_owned(), SpanKind::Client, said)
        }
    }
}

/// A span before it is in OTLP's words.
struct Draft<'c> {
    context: &'c SpanContext,
    span: SpanId,
    parent: SpanId,
    is_remote: bool,
    name: String,
    kind: SpanKind,
    from: SystemTime,
    to: SystemTime,
    said: Vec<Attribute>,
    error: Option<&'static str>,
}

impl Draft<'_> {
    fn span(self) -> Span {
        let mut said = self.said;
        said.extend(self.error.map(|error| ("error.type", error.into())));
        let remote = if self.is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
        let parent = match self.parent {
            SpanId::INVALID => Vec::new(),
            parent => parent.to_bytes().to_vec(),
        };
        Span {
            trace_id: self.context.trace_id().to_bytes().to_vec(),
            span_id: self.span.to_bytes().to_vec(),
            trace_state: self.context.trace_state().header(),
            parent_span_id: parent,
            flags: u32::from(self.context.trace_flags().to_u8())
                | SpanFlags::ContextHasIsRemoteMask as u32
                | remote,
            name: self.name,
            kind: self.kind.into(),
            start_time_unix_nano: nanoseconds(self.from),
            end_time_unix_nano: nanoseconds(self.to),
            attributes: said.into_iter().map(attribute).collect(),
            status: self.error.map(|_told_by_error_type| Status {
                code: StatusCode::Error.into(),
                message: String::new(),
            }),
            ..Span::default()
        }
    }
}

/// An attribute in OTLP's words.
pub(super) fn attribute((key, said): Attribute) -> KeyValue {
    let value = match said {
        Said::Word(word) => any_value::Value::StringValue(word.to_owned()),
        Said::Name(name) => any_value::Value::StringValue(name),
        Said::Number(number) => any_value::Value::IntValue(number),
    };
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn nanoseconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
