//! The two ends of telling: a registry that tells of cases by its stream of events once it is let, and subscribers who take
//! notices and count them. One subscriber may be dead: whoever calls it is let in and never answered.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::v1::{Case, CaseStatus, Outcome, WatchEventsRequest, WatchEventsResponse};
use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use tonic::{Status, body::Body};
use tonic_prost::ProstCodec;

const WATCH: &str = "/directlink.v1.Registry/WatchEvents";

/// What names the case of an event: who filed it, and under which key.
pub(super) fn case_of(event: u64, institutions: u64) -> (String, String) {
    (institution(event % institutions), format!("LOANCORE-20260305-{event:016}"))
}

/// The name of an institution, which is its subscriber's too.
pub(super) fn institution(number: u64) -> String {
    format!("bank-{number:03}")
}

/// The number a registry gave it.
pub(super) fn case_id(event: u64) -> String {
    format!("YWH-{event:012}")
}

/// A registry that tells that so many cases are registered, in order, once `open` says how many of them.
pub(super) async fn registry(
    tls: Arc<ServerConfig>,
    institutions: u64,
    open: watch::Receiver<u64>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(tls);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, open) = (acceptor.clone(), open.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answering =
                    service_fn(move |request| tell(request, institutions, open.clone()));
                let _ended = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), answering)
                    .await;
            });
        }
    });
    Ok(address)
}

async fn tell(
    request: Request<Incoming>,
    institutions: u64,
    open: watch::Receiver<u64>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() != WATCH {
        return Ok(Status::unimplemented("").into_http());
    }
    let service = tower::service_fn(move |request: tonic::Request<WatchEventsRequest>| {
        let told = request.into_inner().after.parse().unwrap_or(0);
        let events = events(told, open.clone()).map(move |event| Ok(notice(event, institutions)));
        std::future::ready(Ok(tonic::Response::new(events)))
    });
    let codec = ProstCodec::<WatchEventsResponse, WatchEventsRequest>::default();
    Ok(tonic::server::Grpc::new(codec).server_streaming(service, request).await)
}

/// The numbers of events after one, as they are let; the last of them is waited behind for ever.
fn events(after: u64, open: watch::Receiver<u64>) -> impl Stream<Item = u64> + Send {
    stream::unfold((after, open), |(told, mut open)| async move {
        let next = told + 1;
        match open.wait_for(|open| *open >= next).await.map(drop) {
            Ok(()) => Some((next, (next, open))),
            Err(_over) => std::future::pending().await,
        }
    })
}

fn notice(event: u64, institutions: u64) -> WatchEventsResponse {
    let (institution_id, idempotency_key) = case_of(event, institutions);
    let outcome = Outcome {
        case_id: case_id(event),
        status: CaseStatus::Registered.into(),
        certificate_numbers: vec![format!("云(2026)昆明市不动产证明第{event:07}号")],
        registered_at: Some(prost_types::Timestamp::default()),
        ..Outcome::default()
    };
    let case = Case { institution_id, idempotency_key, outcome: Some(outcome), ..Case::default() };
    let happened_at = Some(prost_types::Timestamp::default());
    WatchEventsResponse { cursor: event.to_string(), happened_at, case: Some(case) }
}

/// Subscribers that take all they are told; how much that was is counted.
pub(super) async fn subscribers(
    tls: Arc<ServerConfig>,
) -> anyhow::Result<(SocketAddr, Arc<AtomicU64>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let (address, taken) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
    let (acceptor, count) = (TlsAcceptor::from(tls), Arc::clone(&taken));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let taking = service_fn(move |request| take(request, Arc::clone(&count)));
                let io = TokioIo::new(stream);
                let _ended = http1::Builder::new().serve_connection(io, taking).await;
            });
        }
    });
    Ok((address, taken))
}

async fn take(
    request: Request<Incoming>,
    count: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.into_body().collect().await.is_ok() {
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Response::new(Full::default()))
}

/// One that lets everybody in and says nothing.
pub(super) async fn dead() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    Ok(address)
}
