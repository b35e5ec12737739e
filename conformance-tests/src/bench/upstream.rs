//! The process behind gateway and floor: a registry that accepts every application at once, and a collector that takes
//! every trace.
//!
//! It keeps nothing but counts, which it tells at its end: so the benchmark can see that each accepted reply was a
//! call here.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use proto::v1::{Case, CaseStatus, Outcome, SubmitRequest, SubmitResponse};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, body::Body};
use tonic_prost::ProstCodec;

/// The one case number it gives: of a registry's usual length, and always the same so that replies can be compared
/// byte by byte.
pub const CASE_ID: &str = "BJ2026030500001";

/// Where the floor sends what it forwards.
pub const FORWARD: &str = "/directlink.bench.Floor/Forward";

const SUBMIT: &str = "/directlink.v1.Registry/Submit";
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What it was asked, from its start on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Applications submitted.
    pub submitted: u64,
    /// Messages the floor forwarded.
    pub forwarded: u64,
    /// Batches of spans.
    pub exports: u64,
}

/// What every submission is answered with, before the case is named in the bank's words.
pub fn outcome() -> Outcome {
    Outcome {
        case_id: CASE_ID.to_owned(),
        status: CaseStatus::Accepted.into(),
        ..Outcome::default()
    }
}

/// Serves until `end`. Tells its two addresses in one line (gRPC over mutual TLS, then OTLP without TLS),
/// and at the end its [`Counts`] as JSON.
///
/// # Errors
/// No port, or a TLS configuration that does not hold.
pub async fn serve(
    tls: Arc<rustls::ServerConfig>,
    end: impl Future<Output = ()>,
    mut say: impl FnMut(&str),
) -> anyhow::Result<()> {
    let asked = Arc::new(Asked::default());
    let registry = TcpListener::bind(("127.0.0.1", 0)).await?;
    let collector = TcpListener::bind(("127.0.0.1", 0)).await?;
    say(&format!("{} {}", registry.local_addr()?, collector.local_addr()?));

    let acceptor = TlsAcceptor::from(tls);
    let mut end = pin!(end);
    loop {
        tokio::select! {
            accepted = registry.accept() => {
                let (stream, _) = accepted.context("accept")?;
                stream.set_nodelay(true)?;
                let (acceptor, asked) = (acceptor.clone(), Arc::clone(&asked));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        converse(stream, asked).await;
                    }
                });
            }
            accepted = collector.accept() => {
                let (stream, _) = accepted.context("accept")?;
                tokio::spawn(converse(stream, Arc::clone(&asked)));
            }
            () = &mut end => break,
        }
    }
    say(&serde_json::to_string(&asked.counts())?);
    Ok(())
}

#[derive(Debug, Default)]
struct Asked {
    submitted: AtomicU64,
    forwarded: AtomicU64,
    exports: AtomicU64,
}

impl Asked {
    fn counts(&self) -> Counts {
        Counts {
            submitted: self.submitted.load(Ordering::Relaxed),
            forwarded: self.forwarded.load(Ordering::Relaxed),
            exports: self.exports.load(Ordering::Relaxed),
        }
    }
}

/// A connection that breaks off is the other side's affair: it will count replies.
async fn converse<S>(stream: S, asked: Arc<Asked>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answering = service_fn(move |request| answer(Arc::clone(&asked), request));
    let _ended = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), answering)
        .await;
}

async fn answer(
    asked: Arc<Asked>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        SUBMIT => unary(request, &asked.submitted, accepted).await,
        // As unit messages, whose fields are all unknown and skipped: what is forwarded and traced is not looked at.
        FORWARD => unary(request, &asked.forwarded, |()| accepted(SubmitRequest::default())).await,
        EXPORT => unary(request, &asked.exports, |()| ()).await,
        path => Status::unimplemented(path).into_http(),
    })
}

/// A case under the key and for the institution that asked: a gateway believes no other.
fn accepted(request: SubmitRequest) -> SubmitResponse {
    let application = request.application.unwrap_or_default();
    let case = Case {
        idempotency_key: application.idempotency_key,
        institution_id: application.institution.unwrap_or_default().id,
        outcome: Some(outcome()),
        ..Case::default()
    };
    SubmitResponse { case: Some(case) }
}

async fn unary<Q, A>(
    request: http::Request<Incoming>,
    count: &AtomicU64,
    answer: fn(Q) -> A,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + Sync + 'static,
{
    let service = tower::service_fn(move |request: Request<Q>| {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Response::new(answer(request.into_inner()))))
    });
    tonic::server::Grpc::new(ProstCodec::<A, Q>::default()).unary(service, request).await
}
