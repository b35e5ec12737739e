//! The collector of traces: OTLP over gRPC, or over HTTP as protobuf; with TLS or without. One connection, made when it is
//! first needed and again whenever it is lost.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_client::TraceServiceClient,
};
use prost::Message;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    settings::{OtlpProtocol, Telemetry},
    tls::{self, TlsError},
};

/// A collector.
#[derive(Debug)]
pub(super) enum Collector {
    Grpc(TraceServiceClient<Channel>),
    Http(Posts),
}

/// Settings name no collector that could be called.
#[derive(Debug, thiserror::Error)]
pub enum NoCollector {
    /// `telemetry.otlp` is no address.
    #[error("`otlp` is no address")]
    Address,
    /// A file of its TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Its host is no name that a certificate could hold.
    #[error("`otlp` has no server name")]
    ServerName(#[from] rustls::pki_types::InvalidDnsNameError),
    /// It cannot be called by gRPC.
    #[error("`otlp` cannot be called")]
    Endpoint(#[from] tonic::transport::Error),
}

/// Why traces were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error("no connection")]
    NotConnected(#[source] io::Error),
    #[error("no answer")]
    NoAnswer(#[source] hyper::Error),
    #[error("no answer in time")]
    Late,
    #[error("it answers {0}")]
    Says(StatusCode),
    #[error("it answers {}", .0.code())]
    Told(#[source] Box<Status>),
    #[error("its answer cannot be read")]
    Unreadable,
    #[error("it took all but {0} spans")]
    Partly(i64),
}

impl NotTaken {
    /// Whether the same may be taken another time (OTLP, "Failures").
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::NoAnswer(_) | Self::Late => true,
            Self::Says(status) => [429, 502, 503, 504].contains(&status.as_u16()),
            Self::Told(status) => match status.code() {
                Code::Cancelled
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
                | Code::Unknown => true,
                Code::Ok
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::Internal
                | Code::Unauthenticated => false,
            },
            Self::Unreadable | Self::Partly(_) => false,
        }
    }
}

impl Collector {
    /// The collector of settings; `None` if they name none. Nothing is connected to yet.
    ///
    /// # Errors
    /// An address that is none, or a file that cannot be used.
    pub(super) fn of(settings: &Telemetry) -> Result<Option<Self>, NoCollector> {
        let Some(otlp) = &settings.otlp else { return Ok(None) };
        let uri: Uri = otlp.parse().map_err(|_invalid| NoCollector::Address)?;
        let authority = uri.authority().ok_or(NoCollector::Address)?.as_str().to_owned();
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let tls = match (&settings.otlp_ca, is_tls) {
            (Some(ca), true) => {
                let identity =
                    settings.otlp_certificate.as_deref().zip(settings.otlp_key.as_deref());
                let spoken: &[u8] = match settings.otlp_protocol {
                    OtlpProtocol::Grpc => b"h2",
                    OtlpProtocol::Http => b"http/1.1",
                };
                let config = tls::collector_config(ca, identity, spoken)?;
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                Some((Arc::new(config), ServerName::try_from(host)?))
            }
            (None, true) => return Err(NoCollector::Address),
            (_, false) => None,
        };
        let line = Line { authority, tls };
        Ok(Some(match settings.otlp_protocol {
            OtlpProtocol::Grpc => Self::Grpc(TraceServiceClient::new(channel(line)?)),
            OtlpProtocol::Http => Self::Http(Posts { target: target(&uri), line, standing: None }),
        }))
    }

    /// Hands over traces.
    pub(super) async fn take(
        &mut self,
        request: &ExportTraceServiceRequest,
    ) -> Result<(), NotTaken> {
        let answer = match self {
            Self::Grpc(client) => {
                let answer = client.export(tonic::Request::new(request.clone())).await;
                answer.map_err(|status| NotTaken::Told(Box::new(status)))?.into_inner()
            }
            Self::Http(posts) => posts.post(request.encode_to_vec().into()).await?,
        };
        match answer.partial_success {
            Some(ExportTracePartialSuccess { rejected_spans: rejected @ 1.., .. }) => {
                Err(NotTaken::Partly(rejected))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Where a collector listens, and how.
#[derive(Debug, Clone)]
struct Line {
    authority: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Line {
    async fn connect(&self) -> io::Result<Stream> {
        let connecting = async {
            let tcp = TcpStream::connect(&self.authority).await?;
            tcp.set_nodelay(true)?;
            match &self.tls {
                None => Ok(Either::Left(tcp)),
                Some((config, name)) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    Ok(Either::Right(connector.connect(name.clone(), tcp).await?))
                }
            }
        };
        let connected = timeout(CONNECT_MAX, connecting).await;
        connected.map_err(|late| io::Error::new(io::ErrorKind::TimedOut, late))?
    }
}

const CONNECT_MAX: Duration = Duration::from_secs(5);

fn channel(line: Line) -> Result<Channel, NoCollector> {
    // The line makes the TLS connection, so the origin is plain http for tonic.
    let endpoint = Endpoint::from_shared(format!("http://{}", line.authority))?;
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let line = line.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(line.connect().await?)) }
    })))
}

/// OTLP over HTTP.
#[derive(Debug)]
pub(super) struct Posts {
    target: Uri,
    line: Line,
    standing: Option<SendRequest<Full<Bytes>>>,
}

/// What a collector says is some bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where traces are posted to; by OTLP's own default if settings name no path.
fn target(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(target) if !matches!(target.as_str(), "" | "/") => Uri::from(target.clone()),
        Some(_) | None => Uri::from_static("/v1/traces"),
    }
}

impl Posts {
    async fn post(&mut self, body: Bytes) -> Result<ExportTraceServiceResponse, NotTaken> {
        let mut line = match self.standing().await {
            Some(line) => line,
            None => self.open().await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        let host = HeaderValue::from_str(&self.line.authority);
        let headers = request.headers_mut();
        headers.extend(host.ok().map(|host| (header::HOST, host)));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("directlink"));
        let response = line.send_request(request).await.map_err(NotTaken::NoAnswer)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_cut_off| NotTaken::Unreadable)?.to_bytes();
        self.standing = Some(line);
        match status.is_success() {
            true => ExportTraceServiceResponse::decode(body).map_err(|_odd| NotTaken::Unreadable),
            false => Err(NotTaken::Says(status)),
        }
    }

    /// The connection of last time, if it still stands.
    async fn standing(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut line = self.standing.take()?;
        line.ready().await.ok().map(|()| line)
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, NotTaken> {
        let stream = self.line.connect().await.map_err(NotTaken::NotConnected)?;
        let shaken = http1::handshake(TokioIo::new(stream)).await.map_err(NotTaken::NoAnswer)?;
        let (line, connection) = shaken;
        // It ends when the line is dropped, or the other side closes it.
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        Ok(line)
    }
}
