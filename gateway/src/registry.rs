//! A provincial registry, as the gateway calls it: gRPC over mutual TLS, one kept-open HTTP/2 connection a registry.
//!
//! What matters of a failed call is whether anything can have happened at the registry: [`CallError`] says it, and only
//! [`CallError::NotSent`] and [`CallError::Rejected`] promise that nothing has. It decides nothing about retrying a
//! filing later: that is the ledger's and the resolver's.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper_util::rt::TokioIo;
use opentelemetry::propagation::Injector;
use proto::v1::{
    self, GetCaseRequest, Institution, QueryTitleRequest, SubmitRequest, get_case_request::By,
    registry_client::RegistryClient,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Code, ConnectError, Request, Status,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Channel, Endpoint, Uri},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    retry::Delays,
    settings::Registry as Settings,
    telemetry::{CallEnd, Metrics, RegistryCall},
};

/// A registry.
#[derive(Clone)]
pub struct Registry {
    settings: Arc<Settings>,
    client: RegistryClient<Channel>,
    metrics: Metrics,
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection could be made: nothing reached the registry.
    #[error("the registry cannot be reached")]
    NotSent(#[source] Box<Status>),
    /// The registry rejected the call itself; by the service's definition nothing was done.
    #[error("the registry rejected the call: {}", .0.code())]
    Rejected(#[source] Box<Status>),
    /// It was sent, or may have been; whether anything was done is not known.
    #[error("the registry gave no answer: {}", .0.code())]
    NoAnswer(#[source] Box<Status>),
}

/// The address or the server name in settings is none.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// It is not `https://HOST:PORT`.
    #[error("not an https:// address")]
    Scheme,
    /// Host or port are none.
    #[error("not a host and port")]
    Authority(#[source] tonic::transport::Error),
    /// The server name is no host name.
    #[error("not a server name")]
    ServerName(#[source] rustls::pki_types::InvalidDnsNameError),
}

/// On whose behalf a call is made.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The institution, as the certificate or the ledger says.
    pub institution: Institution,
    /// Its certificate (DER); `None` when the gateway asks by itself, from its ledger.
    pub certificate_der: Option<Arc<[u8]>>,
}

impl Registry {
    /// A registry that is connected to at the first call, and again whenever the connection is lost.
    ///
    /// # Errors
    /// An address or server name that is none; settings have refused them before.
    pub fn new(
        settings: Arc<Settings>,
        tls: Arc<rustls::ClientConfig>,
        metrics: Metrics,
    ) -> Result<Self, BadAddress> {
        let authority: Arc<str> =
            settings.address.strip_prefix("https://").ok_or(BadAddress::Scheme)?.into();
        let server_name =
            ServerName::try_from(settings.server_name.clone()).map_err(BadAddress::ServerName)?;
        // A connector of our own makes the TLS connection, so the origin is plain http for tonic.
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(BadAddress::Authority)?
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .http2_adaptive_window(false);
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn({
            let (limit, connector) = (settings.connect, TlsConnector::from(tls));
            move |_: Uri| {
                connect(Arc::clone(&authority), server_name.clone(), limit, connector.clone())
            }
        }));
        Ok(Self { settings, client: RegistryClient::new(channel), metrics })
    }

    /// Its name in settings.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether it promises that a key already used returns the first case.
    pub fn is_idempotent(&self) -> bool {
        self.settings.idempotent
    }

    /// How long one exchange waits for it.
    pub fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// Submits an application, and again within the deadline where that cannot register twice: when nothing was sent,
    /// or when the registry promises idempotency.
    ///
    /// If the future is dropped after its first poll, the application may have been registered.
    ///
    /// # Errors
    /// [`CallError`]; the worst of all tries: once one may have been sent, the call may have been.
    pub async fn submit(
        &self,
        application: &v1::Application,
        caller: &Caller,
    ) -> Result<v1::Case, CallError> {
        let deadline = Instant::now() + self.settings.deadline;
        let mut delays = Delays::growing(self.settings.retry / 10, self.settings.retry);
        let mut maybe_sent = false;
        loop {
            let error = match self.submit_once(application, caller, deadline).await {
                Ok(case) => return Ok(case),
                Err(CallError::NotSent(status)) if maybe_sent => CallError::NoAnswer(status),
                Err(CallError::Rejected(status)) if maybe_sent => CallError::NoAnswer(status),
                Err(error) => error,
            };
            maybe_sent = maybe_sent || matches!(error, CallError::NoAnswer(_));
            let may_try_again = match error {
                CallError::NotSent(_) => true,
                CallError::NoAnswer(_) => self.settings.idempotent,
                CallError::Rejected(_) => false,
            };
            match delays.next_before(deadline).filter(|_| may_try_again) {
                Some(delay) => {
                    tracing::warn!(registry = self.name(), %error, "trying the registry again");
                    tokio::time::sleep(delay).await;
                }
                None => return Err(error),
            }
        }
    }

    async fn submit_once(
        &self,
        application: &v1::Application,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<v1::Case, CallError> {
        let message = SubmitRequest { application: Some(application.clone()) };
        let mut request = self.request(message, caller, deadline);
        insert_ascii(request.metadata_mut(), "idempotency-key", &application.idempotency_key);
        let mut client = self.client.clone();
        // Boxed: what tonic keeps while it waits is large.
        self.timed(
            RegistryCall::Submit,
            Box::pin(
                async move { client.submit(request).await?.into_inner().case.ok_or_else(silent) },
            ),
        )
        .await
    }

    /// Where the case submitted under a key stands; `None` if the registry knows no such key, which means that nothing
    /// was registered under it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn case_by_key(
        &self,
        key: &str,
        caller: &Caller,
    ) -> Result<Option<v1::Case>, CallError> {
        self.case(By::IdempotencyKey(key.to_owned()), caller).await
    }

    /// Where a case stands, by the registry's number.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn case_by_id(
        &self,
        case_id: &str,
        caller: &Caller,
    ) -> Result<Option<v1::Case>, CallError> {
        self.case(By::CaseId(case_id.to_owned()), caller).await
    }

    async fn case(&self, by: By, caller: &Caller) -> Result<Option<v1::Case>, CallError> {
        let message =
            GetCaseRequest { institution: Some(caller.institution.clone()), by: Some(by) };
        let request = self.request(message, caller, Instant::now() + self.settings.deadline);
        let mut client = self.client.clone();
        // Boxed: what tonic keeps while it waits is large.
        self.timed(
            RegistryCall::GetCase,
            Box::pin(async move { Ok(client.get_case(request).await?.into_inner().case) }),
        )
        .await
    }

    /// What the register says of properties.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn query_title(
        &self,
        query: v1::TitleQuery,
        office: v1::Office,
        caller: &Caller,
    ) -> Result<v1::TitleAnswer, CallError> {
        let message = QueryTitleRequest {
            institution: Some(caller.institution.clone()),
            office: Some(office),
            query: Some(query),
        };
        let request = self.request(message, caller, Instant::now() + self.settings.deadline);
        let mut client = self.client.clone();
        // Boxed: what tonic keeps while it waits is large.
        self.timed(
            RegistryCall::QueryTitle,
            Box::pin(async move {
                client.query_title(request).await?.into_inner().answer.ok_or_else(silent)
            }),
        )
        .await
    }

    /// Waits for a call; how it ended, and how long it took, is counted. Calls come boxed: what tonic keeps while it waits
    /// is large.
    async fn timed<T>(
        &self,
        call: RegistryCall,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, CallError> {
        let started = Instant::now();
        let done = work.await.map_err(CallError::of);
        let end = match &done {
            Ok(_) => CallEnd::Answered,
            Err(CallError::NotSent(_)) => CallEnd::NotSent,
            Err(CallError::Rejected(_)) => CallEnd::Rejected,
            Err(CallError::NoAnswer(_)) => CallEnd::NoAnswer,
        };
        self.metrics.registry_call(self.name(), call, end, started.elapsed());
        done
    }

    /// A request with what every call carries: the time left, the bank's certificate (RFC 9440), the trace.
    fn request<T>(&self, message: T, caller: &Caller, deadline: Instant) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        if let Some(der) = &caller.certificate_der {
            let value = format!(":{}:", STANDARD.encode(der));
            insert_ascii(request.metadata_mut(), "client-cert", &value);
        }
        let context = tracing::Span::current().context();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Metadata(request.metadata_mut()));
        });
        request
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl CallError {
    fn of(status: Status) -> Self {
        if never_connected(&status) {
            return Self::NotSent(Box::new(status));
        }
        match status.code() {
            // The service promises that these did nothing (registry.proto, "Registry").
            Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented => Self::Rejected(Box::new(status)),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::NoAnswer(Box::new(status)),
        }
    }
}

/// An answer without what was asked for says nothing about what was done.
fn silent() -> Status {
    Status::internal("the answer holds nothing")
}

/// Whether the call failed because there was no connection to send it on.
fn never_connected(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

type Connection = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

async fn connect(
    authority: Arc<str>,
    server_name: ServerName<'static>,
    limit: Duration,
    connector: TlsConnector,
) -> Result<Connection, std::io::Error> {
    let connecting = async {
        let tcp = TcpStream::connect(&*authority).await?;
        tcp.set_nodelay(true)?;
        connector.connect(server_name, tcp).await
    };
    let tls = tokio::time::timeout(limit, connecting)
        .await
        .map_err(|late| std::io::Error::new(std::io::ErrorKind::TimedOut, late))??;
    Ok(TokioIo::new(tls))
}

fn insert_ascii(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    // Keys are visible ASCII and certificates Base64: both always fit.
    if let Ok(value) = MetadataValue::<Ascii>::try_from(value) {
        metadata.insert(name, value);
    }
}

/// Metadata as the trace propagator writes it.
struct Metadata<'m>(&'m mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, name: &str, value: String) {
        let name = MetadataKey::<Ascii>::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, MetadataValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
