//! A provincial registry, as the gateway calls it: gRPC over mutual TLS, one kept-open HTTP/2 connection a registry.
//!
//! What matters of a failed call is whether anything can have happened at the registry: [`CallError`] says it; all but
//! [`CallError::NoAnswer`] promise that nothing has. Whether it is called at all its gate decides (`registry/gate.rs`). What a registry answers is believed only
//! if it answers what was asked. It decides nothing about retrying a filing later: that is the ledger's and the
//! resolver's.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, uri::PathAndQuery};
use hyper_util::rt::TokioIo;
use opentelemetry::propagation::Injector;
use prost::Message;
use proto::v1::{
    self, DescribeOfficesRequest, GetCaseRequest, Institution, SubmitRequest, SubmitResponse,
    get_case_request::By, registry_client::RegistryClient,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Request, Status,
    client::Grpc,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Endpoint, Uri},
};

use crate::{
    fault::{self, Point},
    ledger::Record,
    retry::Delays,
    settings::Registry as Settings,
    telemetry::{self, Metrics, Peer, RegistryCall, Step},
};

mod asking;
mod breaker;
mod document;
mod encoded;
mod ending;
mod gate;
mod handover;
mod material;
mod testimony;
mod watching;

use breaker::End;
pub use document::Unsound;
use encoded::Encoded;
use ending::end_of;
use gate::Gate;
pub use gate::{Purpose, Shut};
use handover::{Courier, Handover};
use testimony::Flaw;
pub use testimony::Testimony;
pub use watching::Notice;

/// A registry.
#[derive(Clone)]
pub struct Registry {
    settings: Arc<Settings>,
    courier: Courier,
    /// As traces name it.
    peer: Arc<Peer>,
    gate: Arc<Gate>,
    metrics: Metrics,
}

/// Why a call gave no answer. What a registry says beside the code is not told: names may be in its words.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was not called: it is in trouble, or has as many calls as it has room for.
    #[error(transparent)]
    Shut(#[from] Shut),
    /// No connection was there to send it on in time: nothing reached the registry, nor will.
    #[error("the registry cannot be reached")]
    NotSent(#[source] Box<Status>),
    /// The registry rejected the call itself; by the service's definition nothing was done.
    #[error("the registry rejected the call: {}", .0.code())]
    Rejected(Box<Status>),
    /// It was sent, or may have been, and nothing came that answers it; whether anything was done is not known.
    #[error("the registry gave no answer: {}", .0.code())]
    NoAnswer(Box<Status>),
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
    /// Its certificate as RFC 9440 `client-cert`; `None` when the gateway asks by itself, from its ledger.
    pub client_cert: Option<HeaderValue>,
}

impl Caller {
    /// Why it asks.
    fn purpose(&self) -> Purpose {
        match self.client_cert {
            Some(_) => Purpose::Question,
            None => Purpose::Resolving,
        }
    }
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
        let peer = Arc::new(Peer::at(&settings.name, &authority));
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
        let gate = Arc::new(Gate::new(&settings, metrics.clone()));
        Ok(Self { settings, courier: Courier::new(channel), peer, gate, metrics })
    }

    /// Its name in settings.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether it is the very same: one connection, one knowledge of its trouble.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gate, &other.gate)
    }

    /// Whether it promises that a key already used returns the first case.
    pub fn is_idempotent(&self) -> bool {
        self.settings.idempotent
    }

    /// How long ago an application of which it knows no key must have been sent before it may be sent again; `None`: it
    /// never may, for want of the promise or of leave in settings. Without the promise a call that is still on its way
    /// would register it twice.
    pub fn resend_after(&self) -> Option<Duration> {
        match self.settings.idempotent {
            true => Some(Duration::ZERO),
            false => self.settings.resend_unknown_after,
        }
    }

    /// How long one exchange waits for it.
    pub fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// Whether it would be called now. It may still be shut a moment later.
    ///
    /// # Errors
    /// Why not.
    pub fn is_open(&self, purpose: Purpose) -> Result<(), Shut> {
        self.gate.check(purpose)
    }

    /// Submits an application, or a corrected one, and again within the deadline where that cannot register twice: when
    /// nothing was sent, or when the registry promises idempotency. It ends before `until`, whatever the deadline.
    ///
    /// If the future is dropped after its first poll, the application may have been registered.
    ///
    /// # Errors
    /// [`CallError`]; the worst of all tries: once one may have been sent, the call may have been.
    pub async fn submit(
        &self,
        application: v1::Application,
        caller: &Caller,
        until: Instant,
    ) -> Result<Testimony, CallError> {
        let started = Instant::now();
        let deadline = until.min(started + self.settings.deadline);
        let office = application.office.as_ref().map(|office| office.code.clone());
        let submission = self.submit_until(application, caller, deadline);
        let done = self.through_gate(Purpose::Filing, submission).await;
        let office = office.unwrap_or_default();
        self.metrics.filing(self.name(), &office, end_of(&done), started.elapsed());
        done
    }

    async fn submit_until(
        &self,
        application: v1::Application,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<Testimony, CallError> {
        let key = application.idempotency_key.clone();
        let verb = Verb::of(&application);
        let message = SubmitRequest { application: Some(application) }.encode_to_vec().into();
        let mut delays = Delays::growing(self.settings.retry / 10, self.settings.retry);
        let mut maybe_sent = false;
        loop {
            let error = match self.submit_once(verb, &key, &message, caller, deadline).await {
                Ok(outcome) => return Ok(outcome),
                Err(CallError::NotSent(status)) if maybe_sent => CallError::NoAnswer(status),
                Err(CallError::Rejected(status)) if maybe_sent => CallError::NoAnswer(status),
                Err(error) => error,
            };
            maybe_sent = maybe_sent || matches!(error, CallError::NoAnswer(_));
            let may_try_again = match error {
                CallError::Shut(_) | CallError::NotSent(_) => true,
                CallError::NoAnswer(_) => self.settings.idempotent,
                CallError::Rejected(_) => false,
            };
            match delays.next_before(deadline).filter(|_| may_try_again) {
                Some(delay) => {
                    tracing::warn!(registry = self.name(), %error, "trying the registry again");
                    tokio::time::sleep(delay).await;
                    fault::point(Point::BetweenTries);
                }
                None => return Err(error),
            }
        }
    }

    async fn submit_once(
        &self,
        verb: Verb,
        key: &str,
        message: &Bytes,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<Testimony, CallError> {
        let mut call = self.call(verb.call(), message.clone(), caller, deadline);
        insert_ascii(call.request.metadata_mut(), "idempotency-key", key);
        let mut client = Grpc::new(self.courier.clone());
        let by = By::IdempotencyKey(key.to_owned());
        self.answer(call, async |request| {
            client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
            let path = PathAndQuery::from_static(verb.path());
            let answer = client.unary(request, path, Encoded::<SubmitResponse>::default()).await?;
            let case = answer.into_inner().case.ok_or_else(silent)?;
            self.believed(testimony::testimony_of(case, &caller.institution.id, &by))
        })
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
    ) -> Result<Option<Testimony>, CallError> {
        self.case(By::IdempotencyKey(key.to_owned()), caller).await
    }

    /// Where the case of a filing stands: by the registry's number, and by the key as long as there is none.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn case_of(
        &self,
        record: &Record,
        caller: &Caller,
    ) -> Result<Option<Testimony>, CallError> {
        let case_id = record.outcome.as_ref().map_or("", |outcome| outcome.case_id.as_str());
        match case_id.is_empty() {
            true => self.case_by_key(&record.key, caller).await,
            false => self.case_by_id(case_id, caller).await,
        }
    }

    /// Where a case stands, by the registry's number.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn case_by_id(
        &self,
        case_id: &str,
        caller: &Caller,
    ) -> Result<Option<Testimony>, CallError> {
        self.case(By::CaseId(case_id.to_owned()), caller).await
    }

    async fn case(&self, by: By, caller: &Caller) -> Result<Option<Testimony>, CallError> {
        let institution = Some(caller.institution.clone());
        let message = GetCaseRequest { institution, by: Some(by.clone()) };
        let deadline = Instant::now() + self.settings.deadline;
        let call = self.call(RegistryCall::GetCase, message, caller, deadline);
        let mut client = RegistryClient::new(self.courier.clone());
        let answer = self.answer(call, async |request| {
            let case = client.get_case(request).await?.into_inner().case;
            let told = |case| testimony::testimony_of(case, &caller.institution.id, &by);
            case.map(|case| self.believed(told(case))).transpose()
        });
        self.through_gate(caller.purpose(), answer).await
    }

    /// What the registry's offices do, by its own account. Says nothing about whether it answers: a registry may not offer
    /// this, and it is never a reason to leave it alone.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn describe_offices(&self) -> Result<Vec<v1::OfficeDescription>, CallError> {
        self.gate.check(Purpose::Resolving)?;
        let deadline = Instant::now() + self.settings.deadline;
        let caller = Caller { institution: Institution::default(), client_cert: None };
        let message = DescribeOfficesRequest::default();
        let call = self.call(RegistryCall::DescribeOffices, message, &caller, deadline);
        let mut client = RegistryClient::new(self.courier.clone());
        self.answer(call, async |request| {
            Ok(client.describe_offices(request).await?.into_inner().offices)
        })
        .await
    }

    /// How often it is asked what its offices do.
    pub fn describe_every(&self) -> Duration {
        self.settings.describe
    }

    /// Makes a call if the registry may be called now, and remembers whether it answered.
    async fn through_gate<T>(
        &self,
        purpose: Purpose,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let pass = self.gate.enter(purpose).await?;
        let done = call.await;
        pass.ended(match &done {
            Ok(_) | Err(CallError::Rejected(_)) => End::Answered,
            Err(CallError::NotSent(_) | CallError::NoAnswer(_)) => End::Failed,
            Err(CallError::Shut(_)) => End::Abandoned,
        });
        done
    }

    /// Makes a call, in the trace at hand, and waits for its answer until its deadline; how it ended, and how long it took, is
    /// counted.
    async fn answer<T, M>(
        &self,
        call: Call<M>,
        make: impl AsyncFnOnce(Request<M>) -> Result<T, Status>,
    ) -> Result<T, CallError> {
        let Call { name, mut request, deadline, handover } = call;
        let started = Instant::now();
        let step = telemetry::step(Step::Call { call: name, peer: Arc::clone(&self.peer) });
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&step.context(), &mut Metadata(request.metadata_mut()));
        });
        // The deadline that the request carries begins only once there is a connection. Boxed: what tonic keeps while it
        // waits is large.
        let making = tokio::time::timeout_at(deadline.into(), Box::pin(make(request)));
        let answering = async {
            let answered = making.await;
            answered
                .unwrap_or_else(|_late| Err(Status::deadline_exceeded("no answer in time")))
                .map_err(|status| CallError::of(status, &handover))
        };
        let answered = step.judged(answering, |done| done.as_ref().err().map(CallError::status));
        let answered = answered.await;
        self.metrics.registry_call(self.name(), name, end_of(&answered), started.elapsed());
        answered
    }

    /// A call with what every one carries: the time left, and the bank's certificate (RFC 9440).
    fn call<M>(
        &self,
        name: RegistryCall,
        message: M,
        caller: &Caller,
        deadline: Instant,
    ) -> Call<M> {
        let (mut request, handover) = (Request::new(message), Handover::default());
        request.extensions_mut().insert(handover.clone());
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        if let Some(timeout) = request.metadata_mut().get_mut("grpc-timeout") {
            timeout.set_sensitive(true);
        }
        if let Some(certificate) = &caller.client_cert {
            request.metadata_mut().as_mut().insert("client-cert", certificate.clone());
        }
        Call { name, request, deadline, handover }
    }

    /// What a registry says of a case, if it can be believed; that it leaves out what it entered is counted.
    fn believed(&self, testimony: Result<Testimony, Flaw>) -> Result<Testimony, Status> {
        let testimony = testimony.map_err(|flaw| self.not_believed(flaw))?;
        if testimony.leaves_entry_untold() {
            self.metrics.entry_untold(self.name());
        }
        Ok(testimony)
    }

    /// An answer that does not answer what was asked says nothing about what was done; an operator has to know.
    fn not_believed(&self, flaw: Flaw) -> Status {
        tracing::error!(registry = self.name(), flaw, "the registry's answer is not believed");
        Status::internal(flaw)
    }
}

/// A call that is about to be made.
struct Call<M> {
    name: RegistryCall,
    request: Request<M>,
    deadline: Instant,
    handover: Handover,
}

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// An answer without what was asked for says nothing about what was done.
fn silent() -> Status {
    Status::internal("the answer holds nothing")
}

type Connection = TokioIo<BufReader<tokio_rustls::client::TlsStream<TcpStream>>>;

async fn connect(
    authority: Arc<str>,
    server_name: ServerName<'static>,
    limit: Duration,
    connector: TlsConnector,
) -> io::Result<Connection> {
    let connecting = async {
        let tcp = TcpStream::connect(&*authority).await?;
        tcp.set_nodelay(true)?;
        let mut stream = BufReader::new(connector.connect(server_name, tcp).await?);
        // In TLS 1.3 a registry that does not take the gateway's certificate says so only after the handshake. Whoever
        // sent a filing right away could not know whether it had arrived.
        match tokio::time::timeout(VERDICT_WAIT, stream.fill_buf()).await {
            Ok(Ok([])) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => Ok(stream),
            Ok(Err(refused)) => Err(refused),
            // It waits for us to speak first, as it may.
            Err(_silent) => Ok(stream),
        }
    };
    let stream = tokio::time::timeout(limit, connecting)
        .await
        .map_err(|late| io::Error::new(io::ErrorKind::TimedOut, late))??;
    Ok(TokioIo::new(stream))
}

/// How an application is handed in. Both messages, and both answers, are laid out alike.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Submit,
    Correct,
}

impl Verb {
    fn of(application: &v1::Application) -> Self {
        if application.corrects_case_id.is_empty() { Self::Submit } else { Self::Correct }
    }

    fn call(self) -> RegistryCall {
        match self {
            Self::Submit => RegistryCall::Submit,
            Self::Correct => RegistryCall::Correct,
        }
    }

    /// Where it is handed in; the generated client, which copies what it sends, has it too.
    fn path(self) -> &'static str {
        match self {
            Self::Submit => "/directlink.v1.Registry/Submit",
            Self::Correct => "/directlink.v1.Registry/Correct",
        }
    }
}

/// How long a connection just made is given to be refused, or greeted, before the first call goes out on it. Most servers
/// greet at once.
const VERDICT_WAIT: Duration = Duration::from_millis(500);

fn insert_ascii(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    // Keys are visible ASCII: they always fit.
    if let Ok(value) = MetadataValue::<Ascii>::try_from(value) {
        metadata.insert(name, only_here(value));
    }
}

/// Metadata as the trace propagator writes it.
struct Metadata<'m>(&'m mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, name: &str, value: String) {
        let name = MetadataKey::<Ascii>::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, MetadataValue::try_from(value)) {
            self.0.insert(name, only_here(value));
        }
    }
}

/// A value that no later call repeats. Unmarked, HTTP/2 would keep it for later ones (RFC 7541 section 2.3.2) and forget
/// the bank's certificate for it, which they do repeat.
fn only_here(mut value: MetadataValue<Ascii>) -> MetadataValue<Ascii> {
    value.set_sensitive(true);
    value
}
