//! How a message came, as far as traces tell it: the trace its bank has begun, and the way.

use std::sync::Arc;

use http::{HeaderMap, Method, Version};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, TraceContextExt, TraceId},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// How a message came.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub(super) parent: SpanContext,
    pub(super) way: Way,
}

/// The way a message came.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Over HTTP.
    Http {
        method: Method,
        /// As the contract has it: no value of a path.
        route: Arc<str>,
        version: Version,
    },
    /// Behind a length prefix.
    Tcp,
}

impl Arrival {
    /// Over HTTP, by a path of the contract; the bank's `traceparent` and `tracestate` say in which trace, if they do.
    pub fn http(
        method: &Method,
        route: impl Into<Arc<str>>,
        version: Version,
        headers: &HeaderMap,
    ) -> Self {
        let way = Way::Http { method: method.clone(), route: route.into(), version };
        Self { parent: parent_of(headers), way }
    }

    /// Behind a length prefix, where nobody can say in which trace.
    pub fn tcp() -> Self {
        Self { parent: SpanContext::NONE, way: Way::Tcp }
    }

    /// The trace that its bank has begun; invalid if it has not.
    pub fn trace_id(&self) -> TraceId {
        self.parent.trace_id()
    }
}

/// The trace a bank's request belongs to; invalid if it says none.
fn parent_of(headers: &HeaderMap) -> SpanContext {
    let extracted =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    extracted.span().span_context().clone()
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banks_trace_is_taken_up_and_nonsense_is_not() {
        let mut headers = HeaderMap::new();
        assert!(!parent_of(&headers).is_valid());
        headers.insert(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap(),
        );
        let parent = parent_of(&headers);
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(parent.is_sampled() && parent.is_remote());
        headers.insert("traceparent", "00-zz-01".parse().unwrap());
        assert!(!parent_of(&headers).is_valid());
    }
}
