//! A subscriber to notices, as far as a gateway can tell: a real server that asks for the gateway's certificate, takes notices
//! over HTTPS or behind a length prefix, and acknowledges them in the words of any contract.
//!
//! It verifies signatures with the crate of their specification, keeps what it was told, and holds the gateway to its word:
//! one identifier is one event, and events of a case come in order. How it answers is told to it step by step.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use adapters::{Contract, Reply};
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proto::v1::{Ack, CaseStatus, Envelope, envelope::Body};
use rustls::ServerConfig;
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// One that is told of events.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    desk: Arc<Desk>,
    accepting: Option<JoinHandle<()>>,
}

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It takes what comes.
    Takes,
    /// It answers nothing.
    Silent,
    /// It takes what comes, and hangs up instead of saying so.
    Cuts,
    /// It answers with a status.
    Says {
        /// Which.
        status: u16,
        /// And when to come again, in seconds.
        retry_after: Option<u64>,
        /// Only to events of cases that stand so; it takes all others.
        only: Option<CaseStatus>,
    },
}

/// Hears of each notice that comes, and whether it is taken, before it is answered.
pub type Noting = Box<dyn Fn(&Taken, bool) + Send>;

/// An event that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What it says.
    pub envelope: Envelope,
}

/// What it knows and remembers.
struct Desk {
    contract: Arc<Contract>,
    manner: Mutex<Manner>,
    verifier: Mutex<Option<Webhook>>,
    /// Events, in the order in which they were first taken.
    taken: watch::Sender<Vec<Taken>>,
    /// What it knows of them.
    known: Mutex<Known>,
    noting: Mutex<Option<Noting>>,
    /// When it was tried since it last changed its manner.
    tries: watch::Sender<Vec<Instant>>,
    /// Everything that was ever sent, head and body.
    heard: Mutex<Vec<u8>>,
    /// What the gateway did that it must not do.
    complaints: Mutex<Vec<String>>,
}

/// Of events that were taken, what others have to fit.
#[derive(Default)]
struct Known {
    /// What each identifier named.
    named: HashMap<String, (String, String)>,
    /// The number of the last of each case.
    last: HashMap<String, i64>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Receiver {
    /// Listens at `address`, and turns away whoever shows no certificate that `tls` asks for. `secret`: what notices are signed
    /// with, if they are.
    ///
    /// # Errors
    /// The address is taken; the secret is none.
    pub async fn start(
        address: SocketAddr,
        tls: Arc<ServerConfig>,
        contract: Arc<Contract>,
        secret: Option<&str>,
    ) -> anyhow::Result<Self> {
        let desk = Arc::new(Desk {
            contract,
            manner: Mutex::new(Manner::Takes),
            verifier: Mutex::new(None),
            taken: watch::Sender::new(Vec::new()),
            known: Mutex::default(),
            noting: Mutex::default(),
            tries: watch::Sender::new(Vec::new()),
            heard: Mutex::default(),
            complaints: Mutex::default(),
        });
        let mut receiver = Self { address, tls, desk, accepting: None };
        if let Some(secret) = secret {
            receiver.believes(secret)?;
        }
        receiver.up().await?;
        Ok(receiver)
    }

    /// Believes what is signed with this secret, and nothing else.
    ///
    /// # Errors
    /// It is none.
    pub fn believes(&self, secret: &str) -> anyhow::Result<()> {
        let verifier = Webhook::new(secret).map_err(|error| anyhow::anyhow!("{error}"))?;
        *held(&self.desk.verifier) = Some(verifier);
        Ok(())
    }

    /// Answers so from now on.
    pub fn answers(&self, manner: Manner) {
        *held(&self.desk.manner) = manner;
        self.desk.tries.send_replace(Vec::new());
    }

    /// Whom to tell of each notice from now on.
    pub fn notes(&self, noting: Noting) {
        *held(&self.desk.noting) = Some(noting);
    }

    /// Nobody can connect any more.
    pub async fn down(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _aborted = accepting.await;
        }
    }

    /// It can be connected to.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn up(&mut self) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address).await.context("a receiver's address")?;
        let (acceptor, desk) = (TlsAcceptor::from(Arc::clone(&self.tls)), Arc::clone(&self.desk));
        self.accepting = Some(tokio::spawn(accept(listener, acceptor, desk)));
        Ok(())
    }

    /// Waits until it was told events that `is_it` is satisfied with.
    ///
    /// # Errors
    /// That does not happen in time, or the gateway did what it must not do meanwhile.
    pub async fn is_told(&self, is_it: impl Fn(&[Taken]) -> bool) -> anyhow::Result<()> {
        let mut taken = self.desk.taken.subscribe();
        let waited = timeout(PATIENCE, taken.wait_for(|taken| is_it(taken))).await;
        let complaints = held(&self.desk.complaints).clone();
        ensure!(complaints.is_empty(), "{}", complaints.join("; "));
        if waited.is_err() {
            let told = self.desk.taken.borrow();
            let told: Vec<_> = told.iter().map(Taken::summary).collect();
            bail!("it was told {told:?}");
        }
        Ok(())
    }

    /// Waits until it was tried so often since it last changed its manner.
    ///
    /// # Errors
    /// That does not happen in time.
    pub async fn is_tried(&self, times: usize) -> anyhow::Result<()> {
        let mut tries = self.desk.tries.subscribe();
        let waited = timeout(PATIENCE, tries.wait_for(|tries| tries.len() >= times)).await;
        let count = self.desk.tries.borrow().len();
        ensure!(waited.is_ok(), "it was tried {count} times");
        Ok(())
    }

    /// How long the last try came after the one before, since it last changed its manner.
    pub fn last_pause(&self) -> Option<Duration> {
        let tries = self.desk.tries.borrow();
        let [.., before, last] = tries.as_slice() else { return None };
        Some(last.duration_since(*before))
    }

    /// How often it was called at all.
    pub fn was_called(&self) -> bool {
        !held(&self.desk.heard).is_empty()
    }

    /// Which of the texts stand anywhere in what was ever sent to it, as they are or as JSON writes them.
    pub fn was_told_any<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Vec<&'t str> {
        let heard = held(&self.desk.heard);
        let stands = |bytes: &[u8]| heard.windows(bytes.len().max(1)).any(|it| it == bytes);
        texts.into_iter().filter(|text| stands(text.as_bytes())).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl Taken {
    /// Status and number.
    pub fn summary(&self) -> String {
        let (status, number) = (self.status(), self.number());
        format!("{number} {status}")
    }

    /// How the case stood, by its name.
    pub fn status(&self) -> &'static str {
        let outcome = self.envelope.outcome.as_ref();
        let status = outcome.map_or(CaseStatus::Unspecified, |outcome| outcome.status());
        status.as_str_name().trim_start_matches("CASE_STATUS_")
    }

    /// Number among the case's events.
    pub fn number(&self) -> i64 {
        self.envelope.event.as_ref().map_or(0, |event| event.sequence)
    }

    /// What names the case, as far as the subscriber is told.
    fn case(&self) -> String {
        let serial = self.envelope.exchange.as_ref().map(|exchange| exchange.serial.clone());
        serial.unwrap_or_default()
    }

    /// The event's identifier.
    pub fn id(&self) -> &str {
        self.envelope.event.as_ref().map_or("", |event| event.id.as_str())
    }
}

/// No code that can panic runs under these locks.
fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, desk: Arc<Desk>) {
    let mut serving = JoinSet::new();
    while let Ok((stream, _from)) = listener.accept().await {
        let (acceptor, desk) = (acceptor.clone(), Arc::clone(&desk));
        serving.spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, desk).await;
            }
        });
        while serving.try_join_next().is_some() {}
    }
}

async fn serve(stream: TlsStream<TcpStream>, desk: Arc<Desk>) {
    if desk.contract.wire().prefix.is_some() {
        let _ended = take_over_tcp(stream, &desk).await;
        return;
    }
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { answer(&desk, request).await }
    });
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn take_over_tcp(mut stream: TlsStream<TcpStream>, desk: &Desk) -> anyhow::Result<()> {
    let prefix = desk.contract.wire().prefix.context("no prefix")?;
    loop {
        let mut notice = vec![0; prefix.length()];
        stream.read_exact(&mut notice).await?;
        let length = prefix.body_length(&notice).ok().context("no length")?;
        let begun = notice.len();
        notice.resize(begun + length, 0);
        stream.read_exact(notice.get_mut(begun..).unwrap_or_default()).await?;
        let said = desk.hear(&HeaderMap::new(), &notice);
        match said {
            Said::Nothing => std::future::pending::<()>().await,
            Said::Status(..) | Said::Cut => bail!("hung up"),
            Said::Ack(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
        }
    }
}

/// Without an answer the connection is closed.
async fn answer(desk: &Desk, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    match desk.hear(&head.headers, &body.to_bytes()) {
        Said::Nothing => std::future::pending().await,
        Said::Cut => bail!("hung up"),
        Said::Status(code, retry_after) => {
            let mut response = status(code);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            Ok(response)
        }
        Said::Ack(bytes) => Ok(Response::new(Full::new(bytes.into()))),
    }
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}

/// What is said to a notice.
enum Said {
    Nothing,
    Cut,
    Status(StatusCode, Option<u64>),
    Ack(Vec<u8>),
}

impl Desk {
    fn hear(&self, headers: &HeaderMap, body: &[u8]) -> Said {
        {
            let mut heard = held(&self.heard);
            for value in headers.values() {
                heard.extend_from_slice(value.as_bytes());
                heard.push(b'\n');
            }
            heard.extend_from_slice(body);
            heard.push(b'\n');
        }
        self.tries.send_modify(|tries| tries.push(Instant::now()));
        let verifier = held(&self.verifier);
        if let Some(verifier) = &*verifier
            && let Err(error) = verifier.verify(body, headers)
        {
            held(&self.complaints).push(format!("its signature: {error}"));
            return Said::Status(StatusCode::UNAUTHORIZED, None);
        }
        drop(verifier);
        let Some(envelope) = self.contract.read_notice(body) else {
            let text = String::from_utf8_lossy(body).into_owned();
            held(&self.complaints).push(format!("no notice of its contract: {text}"));
            return Said::Status(StatusCode::BAD_REQUEST, None);
        };
        let taken = Taken { envelope };
        if let Some(id) = headers.get("webhook-id")
            && id.as_bytes() != taken.id().as_bytes()
        {
            held(&self.complaints).push("webhook-id is not the event's".to_owned());
        }
        let manner = *held(&self.manner);
        let refuses = match manner {
            Manner::Silent => Some(Said::Nothing),
            Manner::Says { status, retry_after, only } => {
                let stands = taken.envelope.outcome.as_ref().map(|outcome| outcome.status());
                let status = StatusCode::from_u16(status).unwrap_or_default();
                (only.is_none() || only == stands).then_some(Said::Status(status, retry_after))
            }
            Manner::Takes | Manner::Cuts => None,
        };
        if let Some(noting) = &*held(&self.noting) {
            noting(&taken, refuses.is_none());
        }
        if let Some(refuses) = refuses {
            return refuses;
        }
        let ack = self.ack(&taken);
        self.take(taken);
        if manner == Manner::Cuts { Said::Cut } else { ack }
    }

    fn ack(&self, taken: &Taken) -> Said {
        if !self.contract.can_write(None, Reply::Ack) {
            return Said::Ack(Vec::new());
        }
        let ack = Ack { event_id: taken.id().to_owned(), accepted: Some(true) };
        let envelope = Envelope { body: Some(Body::Ack(ack)), ..Envelope::default() };
        match self.contract.encode(None, Reply::Ack, &envelope) {
            Ok(bytes) => Said::Ack(bytes),
            Err(cannot) => {
                held(&self.complaints).push(format!("{}: {}", cannot.field, cannot.reason));
                Said::Nothing
            }
        }
    }

    /// Keeps what is new, and complains of what cannot be.
    fn take(&self, new: Taken) {
        let mut known = held(&self.known);
        let told = (new.summary(), new.case());
        if let Some(named) = known.named.get(new.id()) {
            if *named != told {
                held(&self.complaints).push(format!("{} was told as another event", new.id()));
            }
            return;
        }
        let (case, number) = (new.case(), new.number());
        let before = known.last.insert(case.clone(), number);
        // Whoever is not told which case it is cannot tell the order.
        if !case.is_empty() && before.is_some_and(|before| before >= number) {
            held(&self.complaints).push(format!("number {number} came after {before:?}"));
        }
        known.named.insert(new.id().to_owned(), told);
        drop(known);
        self.taken.send_modify(|taken| taken.push(new));
    }
}
