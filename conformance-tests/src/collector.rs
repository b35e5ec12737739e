//! A collector of traces: takes whatever is exported to it as OTLP over gRPC, and keeps it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span,
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

/// A length of gRPC, and whether what follows is compressed.
const PREFIX_BYTES: usize = 5;

/// Takes traces as long as it lives.
#[derive(Debug)]
pub struct Collector {
    /// Where, as the setting `otlp` says it.
    pub address: String,
    taken: Arc<Mutex<Vec<Bytes>>>,
    serving: JoinHandle<()>,
}

impl Collector {
    /// Opens it on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let taken = Arc::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&taken)));
        Ok(Self { address, taken, serving })
    }

    /// Everything that was exported; texts stand in it as they are.
    pub fn text(&self) -> String {
        held(&self.taken).iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect()
    }

    /// The spans that were exported.
    ///
    /// # Errors
    /// Something else was.
    pub fn spans(&self) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        for body in held(&self.taken).iter() {
            let message = body.get(PREFIX_BYTES..).context("shorter than its length")?;
            let export = ExportTraceServiceRequest::decode(message)?;
            let scopes = export.resource_spans.into_iter().flat_map(|it| it.scope_spans);
            spans.extend(scopes.flat_map(|it| it.spans));
        }
        Ok(spans)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// No code that can panic runs under the lock.
fn held(taken: &Mutex<Vec<Bytes>>) -> MutexGuard<'_, Vec<Bytes>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, taken: Arc<Mutex<Vec<Bytes>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let taken = Arc::clone(&taken);
        let service = service_fn(move |request: Request<Incoming>| {
            let taken = Arc::clone(&taken);
            async move {
                if let Ok(body) = request.into_body().collect().await {
                    held(&taken).push(body.to_bytes());
                }
                let empty = Full::new(Bytes::from_static(&[0; PREFIX_BYTES])); // Not compressed, no bytes.
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let mut answer =
                    Response::new(empty.with_trailers(std::future::ready(Some(Ok(trailers)))));
                let media = HeaderValue::from_static("application/grpc");
                answer.headers_mut().insert(header::CONTENT_TYPE, media);
                Ok::<_, Infallible>(answer)
            }
        });
        let serving = http2::Builder::new(TokioExecutor::new());
        // Whoever exports comes again.
        tokio::spawn(
            async move { drop(serving.serve_connection(TokioIo::new(stream), service).await) },
        );
    }
}
