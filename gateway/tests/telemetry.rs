//! Traces leave the process over OTLP, in the trace the bank began, and a stop exports what is still queued. Alone in its
//! file, as a process has one subscriber.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use gateway::{
    settings,
    telemetry::{self, SpanKind, Telemetry},
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry::{Context, trace::TraceContextExt};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

/// A collector that sends on each export's path and body.
async fn collect(listener: TcpListener, exports: mpsc::Sender<(String, Bytes)>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let exports = exports.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let exports = exports.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                exports.send((path, body)).await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn the_banks_trace_reaches_the_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = Some(format!("http://{}", listener.local_addr().unwrap()));
    let (sender, mut exports) = mpsc::channel(8);
    tokio::spawn(collect(listener, sender));
    // Of our own accord nothing is traced: it is the bank that asks for it.
    let settings = settings::Telemetry { otlp, trace_one_in: 0, ..settings::Telemetry::default() };
    let telemetry = Telemetry::start(&settings).unwrap();
    assert!(Telemetry::start(&settings).is_err(), "a process starts it once");

    let mut headers = HeaderMap::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert("traceparent", parent.parse().unwrap());
    let heard = || tracing::info_span!(target: "gateway", "heard", otel.kind = "server");
    let work = async {
        telemetry::step("inner_step", SpanKind::Internal).in_scope(|| {});
        tracing::info_span!(target: "h2", "not_ours").in_scope(|| {});
    };
    telemetry::traced(telemetry::parent_of(&headers), heard, work).await;
    let unasked = || tracing::info_span!(target: "gateway", "unasked");
    let work = async {
        telemetry::step("unasked", SpanKind::Internal).in_scope(|| {});
        telemetry::trace()
    };
    let trace = telemetry::traced(Context::new(), unasked, work).await;
    let trace = trace.span().span_context().clone();
    assert!(trace.is_valid() && !trace.is_sampled(), "registries are told a trace all the same");
    telemetry::step("unasked", SpanKind::Internal).in_scope(|| {});

    let (stopped, export) = tokio::join!(
        tokio::task::spawn_blocking(|| telemetry.stop()),
        timeout(Duration::from_secs(20), exports.recv())
    );
    stopped.unwrap().unwrap();
    let (path, body) = export.expect("nothing was exported").unwrap();
    assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    let holds = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    for part in ["heard", "inner_step", "service.name", "directlink", "service.instance.id"] {
        assert!(holds(part.as_bytes()), "{part} was not exported");
    }
    assert!(holds(&0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()));
    for part in ["not_ours", "unasked"] {
        assert!(!holds(part.as_bytes()), "{part} was exported");
    }
}
