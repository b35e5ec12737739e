//! Traces leave the process over OTLP: those that a bank or the sampling asks for, and, whatever that says, those that went
//! wrong, are unknown or took long; in the bank's trace, with steps, and with a link to what is done for the case later.
//! Alone in its file, as a process has one subscriber.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use bytes::Bytes;
use gateway::{
    settings,
    telemetry::{self, Arrival, Later, Metrics, Step, Telemetry},
};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{sleep, timeout},
};

/// A collector that sends on each export.
async fn collect(listener: TcpListener, exports: mpsc::Sender<ExportTraceServiceRequest>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let exports = exports.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let exports = exports.clone();
            async move {
                let service = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
                assert_eq!(request.uri().path(), service);
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let export = ExportTraceServiceRequest::decode(body.slice(5..)).unwrap();
                exports.send(export).await.unwrap();
                let empty = Full::new(Bytes::from_static(&[0; 5])); // Not compressed, no bytes.
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let body = empty.with_trailers(std::future::ready(Some(Ok(trailers))));
                let response =
                    Response::builder().header("content-type", "application/grpc").body(body);
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        tokio::spawn(
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// A message by HTTP, in the trace of a bank.
fn arrival(traceparent: &str) -> Arrival {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", traceparent.parse().unwrap());
    Arrival::http(&Method::POST, "/core", Version::HTTP_2, &headers)
}

/// One exchange of a name by which its spans are found.
async fn exchange(
    arrival: Arrival,
    name: &'static str,
    error: Option<&'static str>,
    is_unknown: bool,
    takes: Duration,
) -> opentelemetry::Context {
    telemetry::exchange(arrival, async {
        telemetry::about("bank", name);
        telemetry::step(Step::Inner("outer")).around(inner(name)).await;
        sleep(takes).await;
        let trace = telemetry::trace();
        telemetry::conclude(error, is_unknown, || vec![("directlink.message", name.into())]);
        trace
    })
    .await
}

async fn inner(name: &'static str) {
    telemetry::step(Step::Inner(name)).within(|| {});
}

fn says(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == key);
    match found.and_then(|it| it.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_unknown_or_slow_is_kept_and_what_the_bank_asks_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = Some(format!("http://{}", listener.local_addr().unwrap()));
    let (sender, mut exports) = mpsc::channel(64);
    tokio::spawn(collect(listener, sender));
    // Of our own accord nothing is kept.
    let settings = settings::Telemetry {
        otlp,
        trace_one_in: 0,
        trace_slow: Duration::from_millis(300),
        ..settings::Telemetry::default()
    };
    let metrics = Metrics::new().unwrap();
    let telemetry = Telemetry::start(&settings, metrics.clone()).unwrap();
    assert!(Telemetry::start(&settings, metrics).is_err(), "a process starts it once");

    const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    let sampled = arrival("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let unsampled = || arrival("00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00");
    let at_once = Duration::ZERO;
    exchange(sampled, "asked_for", None, false, at_once).await;
    let trace = exchange(Arrival::tcp(), "unasked", None, false, at_once).await;
    let trace = trace.span().span_context().clone();
    assert!(trace.is_valid() && !trace.is_sampled(), "registries are told a trace all the same");
    exchange(unsampled(), "unsampled", None, false, at_once).await;
    exchange(unsampled(), "refused", Some("VALUE_UNKNOWN"), false, at_once).await;
    exchange(Arrival::tcp(), "unknown", Some("OUTCOME_UNKNOWN"), true, at_once).await;
    exchange(Arrival::tcp(), "slow", None, false, settings.trace_slow).await;
    let never = exchange(Arrival::tcp(), "cut_off", None, false, Duration::MAX);
    assert!(timeout(Duration::from_millis(20), never).await.is_err());
    let well = |(): &()| None;
    telemetry::later(Later::Resolve, "bank", "unknown", inner("asked_again"), well).await;
    telemetry::later(Later::Notice, "bank", "unknown", inner("told"), well).await;
    telemetry::later(Later::Notice, "bank", "unknown", inner("not_told"), |()| Some("away")).await;
    telemetry::step(Step::Inner("outside of any work")).within(|| {});
    telemetry.stop().await.unwrap();

    let mut spans: Vec<Span> = Vec::new();
    while let Ok(export) = exports.try_recv() {
        let [all] = &export.resource_spans[..] else { panic!("{export:?}") };
        let who = &all.resource.as_ref().unwrap().attributes;
        assert!(who.iter().any(|it| it.key == "service.instance.id"), "{who:?}");
        spans.extend(all.scope_spans.iter().flat_map(|scope| scope.spans.clone()));
    }
    let whole = |name: &str| {
        let named = |it: &&Span| says(it, "directlink.message") == name && it.kind == 2;
        spans.iter().find(named).unwrap_or_else(|| panic!("{name} is not kept: {spans:#?}"))
    };
    for (name, kept, error) in [
        ("asked_for", "sampled", ""),
        ("refused", "error", "VALUE_UNKNOWN"),
        ("unknown", "unknown", "OUTCOME_UNKNOWN"),
        ("slow", "slow", ""),
    ] {
        let whole = whole(name);
        let told = (says(whole, "directlink.kept"), says(whole, "error.type"));
        assert_eq!(told, (kept.to_owned(), error.to_owned()), "{name}");
        assert_eq!(whole.status.is_some(), !error.is_empty(), "{name}");
        // Its steps are where they belong.
        let step = |name: &str| {
            let of = |it: &&Span| it.name == name && it.trace_id == whole.trace_id;
            spans.iter().find(of).unwrap()
        };
        assert_eq!(step("outer").parent_span_id, whole.span_id);
        assert_eq!(step(name).parent_span_id, step("outer").span_id);
        // Whoever finds the exchange finds what was done later, and the other way round.
        let case = telemetry::case_trace("bank", name).to_bytes().to_vec();
        let mark = spans.iter().find(|it| it.trace_id == case && !it.links.is_empty()).unwrap();
        assert_eq!(whole.links[0].trace_id, case, "{name}");
        assert_eq!(whole.links[0].span_id, mark.span_id, "{name}");
        assert_eq!(mark.links[0].span_id, whole.span_id, "{name}");
    }
    let asked_for = whole("asked_for");
    assert_eq!(asked_for.trace_id, TRACE.to_be_bytes());
    assert_eq!(asked_for.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(asked_for.name, "POST /core");
    for (key, expected) in [
        ("http.request.method", "POST"),
        ("http.route", "/core"),
        ("url.path", "/core"),
        ("url.scheme", "https"),
        ("network.protocol.version", "2"),
    ] {
        assert_eq!(says(asked_for, key), expected, "{key}");
    }
    assert!(spans.iter().any(|it| says(it, "error.type") == "cut_off"), "{spans:#?}");
    let names: BTreeSet<_> = spans.iter().map(|it| it.name.as_str()).collect();
    for name in ["resolve", "asked_again", "notice", "not_told"] {
        assert!(names.contains(name), "{name} is not kept");
    }
    for name in ["unasked", "unsampled", "told", "outside of any work"] {
        assert!(!names.contains(name), "{name} is kept");
    }
}
