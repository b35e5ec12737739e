//! What a failed call to a registry is said to have done, against registries that fail in ways the reference registry
//! does not: they never greet, do not take the gateway's certificate, or have something else answer for them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gateway::{
    registry::{CallError, Caller, Registry},
    settings,
    telemetry::Metrics,
    tls::{self, Protocol},
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::{
    Date,
    v1::{Application, Institution},
};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[path = "ports/authority.rs"]
mod authority;
use authority::Authority;

const DEADLINE: Duration = Duration::from_secs(1);

/// What a gateway has to call registries with, and they to be called.
struct House(TempDir);

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let _authority = Authority::new(folder.path());
        Self(folder)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Takes callers whose certificates are by the authority in `client_ca`.
    fn acceptor(&self, client_ca: &Path) -> TlsAcceptor {
        let (certificate, key) = (self.file("gateway.pem"), self.file("gateway.key"));
        let config: Arc<ServerConfig> =
            tls::server_config(&certificate, &key, client_ca, Protocol::Https).unwrap();
        TlsAcceptor::from(config)
    }

    fn registry(&self, address: SocketAddr) -> Registry {
        let file = |name| self.file(name);
        let (ca, certificate, key) = (file("ca.pem"), file("gateway.pem"), file("gateway.key"));
        let config = tls::client_config(&ca, &certificate, &key).unwrap();
        let settings = settings::Registry {
            name: "province".to_owned(),
            address: format!("https://{address}"),
            server_name: "localhost".to_owned(),
            ca,
            certificate,
            key,
            deadline: DEADLINE,
            resend_unknown_after: None,
            idempotent: false,
            connect: DEADLINE * 10,
            retry: Duration::from_millis(100),
            filings_max: 8,
            questions_max: 8,
            room_wait: DEADLINE,
            failures_max: 8,
            pause: DEADLINE,
            describe: DEADLINE,
            answers: settings::Answers::AtOnce,
            poll_first: Duration::from_secs(60),
            poll_longest: Duration::from_secs(60),
            upload: DEADLINE,
            shared_documents: false,
        };
        Registry::new(Arc::new(settings), Arc::new(config), Metrics::new().unwrap()).unwrap()
    }
}

async fn submit(registry: &Registry) -> CallError {
    let application = Application { idempotency_key: "key".to_owned(), ..Application::default() };
    let institution = Institution { id: "bank".to_owned(), ..Institution::default() };
    let caller = Caller { institution, client_cert: None };
    let until = Instant::now() + DEADLINE * 10;
    registry.submit(application, &caller, until).await.expect_err("nobody here registers anything")
}

/// Serves every caller with what `serve` makes of its connection; answers with where.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

#[tokio::test]
async fn calls_that_wait_for_a_connection_end_at_their_deadline_and_were_not_sent() {
    let house = House::new();
    let address = listen(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let registry = house.registry(address);
    let started = Instant::now();
    let (one, two, three) = tokio::join!(submit(&registry), submit(&registry), submit(&registry));
    for error in [one, two, three] {
        assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
    }
    assert!(started.elapsed() < DEADLINE * 3, "they waited for each other's connections");
}

#[tokio::test]
async fn a_registry_that_does_not_take_the_gateways_certificate_was_sent_nothing() {
    let (house, other) = (House::new(), House::new());
    let acceptor = house.acceptor(&other.file("ca.pem"));
    let address = listen(move |stream| {
        let accepting = acceptor.accept(stream);
        async move {
            assert!(accepting.await.is_err(), "another authority's certificate was taken");
        }
    })
    .await;
    let error = submit(&house.registry(address)).await;
    assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn what_a_proxy_answers_in_the_registrys_place_promises_nothing() {
    let house = House::new();
    let acceptor = house.acceptor(&house.file("ca.pem"));
    let address = listen(move |stream| {
        let accepting = acceptor.accept(stream);
        async move {
            let service = service_fn(|request: Request<Incoming>| async {
                request.into_body().collect().await.unwrap();
                let mut page = Response::new(Full::new(Bytes::from_static(b"not allowed")));
                *page.status_mut() = StatusCode::FORBIDDEN;
                Ok::<_, Infallible>(page)
            });
            let stream = TokioIo::new(accepting.await.unwrap());
            let _over =
                http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
        }
    })
    .await;
    let error = submit(&house.registry(address)).await;
    assert!(matches!(error, CallError::NoAnswer(_)), "{error:?}");
}

/// What a registry says that says too much.
const NAMED: &str = "390101199003070011 is not to be served";

/// All that an error tells of itself, as a log line has it.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn what_a_registry_says_beside_the_code_is_not_told() {
    let house = House::new();
    // UNAVAILABLE, which leaves open what was done, and PERMISSION_DENIED, which does not.
    for code in ["14", "7"] {
        let acceptor = house.acceptor(&house.file("ca.pem"));
        let address = listen(move |stream| {
            let accepting = acceptor.accept(stream);
            async move {
                let service = service_fn(move |request: Request<Incoming>| async move {
                    drop(request);
                    let answer = Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", code)
                        .header("grpc-message", NAMED);
                    Ok::<_, Infallible>(answer.body(Full::new(Bytes::new())).unwrap())
                });
                let stream = TokioIo::new(accepting.await.unwrap());
                let _over = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, service)
                    .await;
            }
        })
        .await;
        let registry = house.registry(address);
        let caller = Registry::on_behalf_of("bank");
        let day = Date::parse("2026-03-05").unwrap();
        let list = registry.list_day(day, "bank", "1401", String::new(), 9);
        let errors = [
            ("WatchEvents", registry.watch("").await.err()),
            ("SumDay", registry.sum_day(day).await.err()),
            ("ListDay", list.await.err()),
            ("GetCase", registry.case_by_key("key", &caller).await.err()),
        ];
        for (call, error) in errors {
            let told = told(&error.expect("nobody here answers"));
            assert!(told.starts_with("the registry "), "{call}: {told}");
            assert!(!told.contains("390101199003070011"), "{call}: {told}");
        }
    }
}
