//! Real collectors, over gRPC and HTTP, with TLS and without: what is kept gets there, a collector that is away costs nobody
//! anything, and what finds no room is counted.

use std::{convert::Infallible, fs, path::Path, sync::Mutex, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    settings::{OtlpProtocol, Telemetry},
    tls::{self, Protocol},
};

/// What a collector has got, and what it answers.
#[derive(Debug, Default)]
struct Got {
    /// Names of spans.
    spans: Mutex<Vec<String>>,
    came: Notify,
    /// Answered before all that is taken.
    says: Mutex<Vec<StatusCode>>,
}

impl Got {
    fn names(&self) -> Vec<String> {
        self.spans.lock().unwrap().clone()
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
        let is_grpc = request.uri().path().ends_with("TraceService/Export");
        if !is_grpc {
            assert_eq!(request.uri().path(), "/v1/traces");
            assert_eq!(request.headers()["content-type"], "application/x-protobuf");
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let says = self.says.lock().unwrap().pop();
        self.came.notify_one();
        if let Some(status) = says {
            let response = Response::builder().status(status);
            return Ok(response.body(Full::new(Bytes::new()).boxed()).unwrap());
        }
        let body = body.slice(if is_grpc { 5 } else { 0 }..);
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
        let names = scopes.flat_map(|it| it.spans).map(|span| span.name);
        self.spans.lock().unwrap().extend(names);
        if !is_grpc {
            return Ok(Response::new(Full::new(Bytes::new()).boxed()));
        }
        let empty = Full::new(Bytes::from_static(&[0; 5])); // Not compressed, no bytes.
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = empty.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
        Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_grpc: bool,
    got: Arc<Got>,
) {
    let service = service_fn(move |request| {
        let got = Arc::clone(&got);
        async move { got.answer(request).await }
    });
    let stream = TokioIo::new(stream);
    let _ended = match is_grpc {
        true => {
            let builder = http2::Builder::new(TokioExecutor::new());
            builder.serve_connection(stream, service).await
        }
        false => http1::Builder::new().serve_connection(stream, service).await,
    };
}

/// A collector that listens; its port.
async fn collector(got: Arc<Got>, tls: Option<TlsAcceptor>, protocol: OtlpProtocol) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (got, tls) = (Arc::clone(&got), tls.clone());
            let is_grpc = protocol == OtlpProtocol::Grpc;
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, is_grpc, got).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, is_grpc, got).await;
                        }
                    }
                }
            });
        }
    });
    port
}

fn trace(name: &str) -> Vec<Span> {
    vec![Span { name: name.to_owned(), trace_id: vec![1; 16], ..Span::default() }]
}

/// A gateway's side that runs.
struct Running {
    queue: Queue,
    metrics: Metrics,
    stop: CancellationToken,
    exporting: tokio::task::JoinHandle<()>,
}

impl Running {
    fn begin(settings: &Telemetry) -> Self {
        let metrics = Metrics::new().unwrap();
        let (queue, exporter) = queue(settings.trace_queue_bytes_max, metrics.clone());
        let (collector, stop) =
            (Collector::of(settings).unwrap().unwrap(), CancellationToken::new());
        let exporting = exporter.run(collector, Resource::default(), stop.clone());
        Self { queue, metrics, stop, exporting: tokio::spawn(exporting) }
    }

    async fn stopped(self) -> Metrics {
        self.stop.cancel();
        self.exporting.await.unwrap();
        self.metrics
    }
}

fn lost(metrics: &Metrics, why: &str) -> u64 {
    let readings = metrics.readings().into_iter();
    let lost = readings.filter(|it| it.name == "directlink_traces_lost_total");
    lost.filter(|it| it.label("why") == why).map(|it| it.value).sum()
}

/// A certificate that is its own authority, with its key.
fn identity(folder: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn what_is_kept_reaches_a_collector_however_it_is_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["collector", "gateway", "other"] {
        identity(folder.path(), name);
    }
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let config = tls::server_config(
            &at("collector.pem"),
            &at("collector.key"),
            &at("gateway.pem"),
            Protocol::Https,
        );
        let acceptor = TlsAcceptor::from(config.unwrap());
        let settings = |scheme: &str, port: u16, ca: &str| Telemetry {
            otlp: Some(format!("{scheme}://localhost:{port}")),
            otlp_protocol: protocol,
            otlp_ca: Some(at(ca)),
            otlp_certificate: Some(at("gateway.pem")),
            otlp_key: Some(at("gateway.key")),
            ..Telemetry::default()
        };
        for tls in [None, Some(acceptor.clone())] {
            let scheme = if tls.is_some() { "https" } else { "http" };
            let got = Arc::new(Got::default());
            let port = collector(Arc::clone(&got), tls, protocol).await;
            let running = Running::begin(&settings(scheme, port, "collector.pem"));
            running.queue.offer(trace("first"));
            got.came.notified().await;
            // On the connection that stands, and at the end all the same.
            running.queue.offer(trace("second"));
            let metrics = running.stopped().await;
            assert_eq!(got.names(), ["first", "second"], "{scheme} {protocol:?}");
            assert_eq!(lost(&metrics, "not_taken"), 0);
        }
        // Whoever is not by the authority that settings name is told nothing.
        let got = Arc::new(Got::default());
        let port = collector(Arc::clone(&got), Some(acceptor), protocol).await;
        let running = Running::begin(&settings("https", port, "other.pem"));
        running.queue.offer(trace("to nobody"));
        let metrics = running.stopped().await;
        assert_eq!((got.names().len(), lost(&metrics, "not_taken")), (0, 1), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_is_asked_again_and_one_that_refuses_is_not() {
    let got = Arc::new(Got::default());
    // The last is said first.
    *got.says.lock().unwrap() = vec![StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE];
    let port = collector(Arc::clone(&got), None, OtlpProtocol::Http).await;
    let settings = Telemetry {
        otlp: Some(format!("http://127.0.0.1:{port}")),
        otlp_protocol: OtlpProtocol::Http,
        ..Telemetry::default()
    };
    let running = Running::begin(&settings);
    running.queue.offer(trace("refused"));
    got.came.notified().await;
    got.came.notified().await;
    running.queue.offer(trace("taken"));
    let metrics = running.stopped().await;
    assert_eq!((got.names(), lost(&metrics, "not_taken")), (vec!["taken".to_owned()], 1));
}

#[tokio::test]
async fn a_collector_that_says_nothing_holds_nobody_up_and_what_finds_no_room_is_counted() {
    // It takes connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Telemetry {
        otlp: Some(format!("http://{}", silent.local_addr().unwrap())),
        trace_queue_bytes_max: 64 * 1024,
        ..Telemetry::default()
    };
    let running = Running::begin(&settings);
    let (count, begun) = (10_000_u64, Instant::now());
    for _ in 0..count {
        running.queue.offer(trace("much"));
        tokio::task::yield_now().await;
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let bytes = u64::try_from(trace("much")[0].encoded_len()).unwrap();
    let held = count - lost(&running.metrics, "queue_full");
    assert!(held > 0 && held * bytes <= 64 * 1024, "{held} of {bytes} bytes are held");
    running.exporting.abort();
}
