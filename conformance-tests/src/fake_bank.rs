//! A bank's core system, as far as a gateway can tell: it speaks any contract, over mutual TLS, in its own words.
//!
//! It keeps a connection as banks do, sends what it is given, and reads the answer back with the contract's own reply and
//! refusal files. It knows no bank: what it says comes from the contract and its samples.

pub mod travelled;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use adapters::{
    Contract, Reply,
    wire::{HttpRoute, Prefix, whole::HttpMessage},
};
use anyhow::{Context, bail, ensure};
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use proto::v1::{CaseStatus, Envelope};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    deployment::{Deployment, Gateway},
    pki::Credentials,
    tls,
};

/// How long a bank waits for an answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// A bank. Cheap to copy.
#[derive(Debug, Clone)]
pub struct FakeBank {
    contract: Arc<Contract>,
    https: SocketAddr,
    tcp: SocketAddr,
    gateway_ca: Arc<Path>,
    credentials: Arc<Credentials>,
    certificate_sha256: Arc<str>,
    trace_id: Arc<str>,
}

/// A connection to the gateway.
#[derive(Debug)]
pub struct Line {
    contract: Arc<Contract>,
    trace_id: Arc<str>,
    wire: LineWire,
}

#[derive(Debug)]
enum LineWire {
    Tcp(Prefix, Box<TlsStream<TcpStream>>),
    Https(reqwest::Client, SocketAddr, HttpRoute),
}

/// What a bank hears.
#[derive(Debug)]
pub enum Heard {
    /// An answer in its own words.
    Answer {
        /// Which of the message's answers it is.
        reply: Reply,
        /// The message it answers, by its name in the contract.
        message: Option<String>,
        /// What it says.
        envelope: Box<Envelope>,
        /// The bytes, framing included.
        bytes: Vec<u8>,
        /// The bytes as a person reads them.
        text: String,
        /// What had been sent.
        sent: Vec<u8>,
    },
    /// Nothing in its own words: why.
    Nothing(String),
}

impl FakeBank {
    /// A bank of a deployment, which calls its first gateway.
    ///
    /// # Errors
    /// It has no certificate there.
    pub fn new(
        deployment: &Deployment,
        bank: &str,
        contract: Arc<Contract>,
    ) -> anyhow::Result<Self> {
        let credentials =
            deployment.pki.banks.get(bank).with_context(|| format!("no certificate for {bank}"))?;
        let certificate = tls::certificate(&credentials.certificate)?;
        let gateway = deployment.gateways.first().context("no gateway")?;
        let mut trace_id = [0; 16];
        rand::fill(&mut trace_id)?;
        Ok(Self {
            contract,
            https: gateway.https,
            tcp: gateway.tcp,
            gateway_ca: deployment.pki.banks_ca.as_path().into(),
            credentials: Arc::new(credentials.clone()),
            certificate_sha256: hex::encode(digest(&SHA256, &certificate)).into(),
            trace_id: hex::encode(trace_id).into(),
        })
    }

    /// The same bank, calling another gateway.
    #[must_use]
    pub fn at(&self, gateway: &Gateway) -> Self {
        Self { https: gateway.https, tcp: gateway.tcp, ..self.clone() }
    }

    /// The trace its HTTP requests belong to. Length-prefixed messages carry none.
    pub fn trace_id(&self) -> Option<&str> {
        self.contract.wire().http.as_ref().map(|_| &*self.trace_id)
    }

    /// SHA-256 of its certificate, in lower-case hexadecimal.
    pub fn certificate_sha256(&self) -> &str {
        &self.certificate_sha256
    }

    /// Connects, with its own certificate.
    ///
    /// # Errors
    /// It could not.
    pub async fn connect(&self) -> anyhow::Result<Line> {
        self.connect_as(Some(&self.credentials)).await
    }

    /// Connects with any certificate, or none.
    ///
    /// # Errors
    /// It could not.
    pub async fn connect_as(&self, credentials: Option<&Credentials>) -> anyhow::Result<Line> {
        let wire = self.contract.wire();
        let wire = match (wire.prefix, &wire.http) {
            (Some(prefix), _) => LineWire::Tcp(prefix, Box::new(self.stream(credentials).await?)),
            (None, Some(route)) => {
                let tls = tls::client(credentials, &self.gateway_ca, &["h2", "http/1.1"])?;
                let client = reqwest::Client::builder()
                    .tls_backend_preconfigured(tls)
                    .no_proxy()
                    .timeout(PATIENCE)
                    .build()?;
                LineWire::Https(client, self.https, route.clone())
            }
            (None, None) => bail!("the contract says neither a prefix nor an HTTP path"),
        };
        Ok(Line {
            contract: Arc::clone(&self.contract),
            trace_id: Arc::clone(&self.trace_id),
            wire,
        })
    }

    /// Connects to the port for length-prefixed messages, to send what is no message.
    ///
    /// # Errors
    /// It could not.
    pub async fn connect_raw(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        self.stream(Some(&self.credentials)).await
    }

    async fn stream(
        &self,
        credentials: Option<&Credentials>,
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        let tls = tls::client(credentials, &self.gateway_ca, &[])?;
        let tcp = TcpStream::connect(self.tcp).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        Ok(TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?)
    }

    /// Tries to file with the wrong certificate, or none, and sees that it hears nothing in its own words.
    ///
    /// # Errors
    /// It was let in.
    pub async fn is_turned_away(
        &self,
        credentials: Option<&Credentials>,
        bytes: Vec<u8>,
    ) -> anyhow::Result<()> {
        let Ok(mut line) = self.connect_as(credentials).await else { return Ok(()) };
        let heard = line.ask(None, bytes).await?;
        ensure!(heard.is_nothing(), "it was let in: {}", heard.text());
        Ok(())
    }
}

impl Line {
    /// Sends a message as it is and waits for the answer. `message` is its name in the contract, where it has one.
    ///
    /// # Errors
    /// An answer that is not as the contract says.
    pub async fn ask(&mut self, message: Option<&str>, bytes: Vec<u8>) -> anyhow::Result<Heard> {
        let answered = match &mut self.wire {
            LineWire::Tcp(prefix, stream) => {
                let answer = timeout(PATIENCE, ask_over_tcp(stream, *prefix, &bytes)).await;
                answer.context("no answer in time").flatten()
            }
            LineWire::Https(client, address, route) => {
                ask_over_https(client, *address, route, &self.trace_id, bytes.clone()).await
            }
        };
        match answered {
            // A problem that is none of the contract's is the port's own.
            Ok(answer)
                if is_problem(&answer) && self.contract.read_reply(message, &answer).is_none() =>
            {
                Ok(Heard::Nothing(String::from_utf8_lossy(&answer).into_owned()))
            }
            Ok(answer) => self.heard(message, bytes, answer),
            Err(error) => Ok(Heard::Nothing(format!("{error:#}"))),
        }
    }

    fn heard(&self, message: Option<&str>, sent: Vec<u8>, bytes: Vec<u8>) -> anyhow::Result<Heard> {
        let opened =
            self.contract.wire().open_answer(&bytes).ok().context("an answer in other bytes")?;
        let text = opened.text.into_owned();
        let (reply, envelope) = self
            .contract
            .read_reply(message, &bytes)
            .with_context(|| format!("an answer the contract does not know: {text}"))?;
        let (message, envelope) = (message.map(str::to_owned), Box::new(envelope));
        Ok(Heard::Answer { reply, message, envelope, bytes, text, sent })
    }
}

async fn ask_over_tcp(
    stream: &mut TlsStream<TcpStream>,
    prefix: Prefix,
    bytes: &[u8],
) -> anyhow::Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    let mut answer = vec![0; prefix.length()];
    stream.read_exact(&mut answer).await?;
    let length = prefix.body_length(&answer).ok().context("an answer without its length")?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    answer.extend(body);
    Ok(answer)
}

async fn ask_over_https(
    client: &reqwest::Client,
    address: SocketAddr,
    route: &HttpRoute,
    trace_id: &str,
    bytes: Vec<u8>,
) -> anyhow::Result<Vec<u8>> {
    let request = match &route.whole {
        Some(_) => whole_request(client, address, &bytes)?,
        None => {
            let method = reqwest::Method::from_bytes(route.method.as_str().as_bytes())?;
            let mut request = client.request(method, format!("https://{address}{}", route.path));
            for (name, value) in &route.headers {
                request = request.header(name, value);
            }
            request.header("content-type", &route.request_type).body(bytes)
        }
    };
    let answer =
        request.header("traceparent", format!("00-{trace_id}-00000000000000a1-01")).send().await?;
    if route.whole.is_some() {
        return whole_answer(answer).await;
    }
    let media = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
    if media.is_some_and(|media| media.starts_with(PROBLEM)) {
        bail!("HTTP problem: {}", answer.text().await?);
    }
    Ok(answer.bytes().await?.to_vec())
}

const PROBLEM: &str = "application/problem+json";

fn whole_request(
    client: &reqwest::Client,
    address: SocketAddr,
    bytes: &[u8],
) -> anyhow::Result<reqwest::RequestBuilder> {
    let message = HttpMessage::parse(bytes).context("not a request")?;
    let (method, target) = message.request().context("a request without method and target")?;
    let method = reqwest::Method::from_bytes(method.as_bytes())?;
    let mut request = client.request(method, format!("https://{address}{target}"));
    for (name, value) in message.headers.iter().filter(|(name, _)| *name != "Host") {
        request = request.header(name.as_ref(), value.as_ref());
    }
    Ok(request.body(message.body.to_vec()))
}

/// An answer, status and header fields included, as the contract reads it.
async fn whole_answer(answer: reqwest::Response) -> anyhow::Result<Vec<u8>> {
    let start = format!("HTTP/1.1 {} ", answer.status().as_u16());
    let headers = answer.headers().clone();
    let body = answer.bytes().await?;
    let headers = headers
        .iter()
        .map(|(name, value)| Ok((name.as_str().into(), value.to_str()?.into())))
        .collect::<anyhow::Result<_>>()?;
    Ok(HttpMessage { start: start.into(), headers, body: body.to_vec().into() }.bytes())
}

fn is_problem(answer: &[u8]) -> bool {
    let parsed = HttpMessage::parse(answer);
    parsed.is_some_and(|it| it.headers.iter().any(|(_, value)| value.starts_with(PROBLEM)))
}

impl Heard {
    /// Whether nothing was said in the bank's own words.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing(_))
    }

    /// What was heard, as a person reads it.
    pub fn text(&self) -> &str {
        match self {
            Self::Answer { text, .. } => text,
            Self::Nothing(why) => why,
        }
    }

    /// The case an answer is about, if it says one.
    pub fn case(&self) -> Option<&str> {
        let Self::Answer { envelope, .. } = self else { return None };
        let outcome = envelope.outcome.as_ref()?;
        Some(outcome.case_id.as_str()).filter(|case| !case.is_empty())
    }

    /// Where the case stands by an answer, if it says so.
    pub fn status(&self) -> Option<CaseStatus> {
        let Self::Answer { envelope, .. } = self else { return None };
        Some(envelope.outcome.as_ref()?.status())
    }

    /// The certificate an answer is about, the first if it says several.
    pub fn certificate(&self) -> Option<&str> {
        let Self::Answer { envelope, .. } = self else { return None };
        match (&envelope.outcome, &envelope.record_answer) {
            (Some(outcome), _) => outcome.certificate_numbers.first().map(String::as_str),
            (None, record) => record.as_ref().map(|record| record.certificate_number.as_str()),
        }
    }

    /// The code by which a certificate is verified, if the answer says one.
    pub fn verification_code(&self) -> Option<&str> {
        let Self::Answer { envelope, .. } = self else { return None };
        Some(envelope.record_answer.as_ref()?.verification_code.as_str())
    }

    /// The place after the events that an answer tells of, if it tells of any.
    pub fn next_events(&self) -> Option<&str> {
        let Self::Answer { envelope, .. } = self else { return None };
        let feed = envelope.feed.as_ref().filter(|feed| !feed.events.is_empty())?;
        Some(feed.next.as_str())
    }

    /// Whether the answer says this, in the bank's words: were it said in place of what was read, the bytes would be the
    /// same. Several canonical values may be one in the bank's words. Short words: `status`, `replayed`, `code`, `sent`,
    /// `certificates`, `faults`, `field`, `words` (in a refusal's message), `entries`, `found`, `encumbrances`, `limits` (their kinds, in order), `obstacles`, `clear`, `state`, `statuses`, `numbers`
    /// and `kinds` (of events, in order), `whole` (a document is what its digest and length say); anything else is a canonical path.
    ///
    /// # Errors
    /// Nothing was heard, or there is no such field.
    pub fn says(&self, contract: &Contract, what: &str, value: &str) -> anyhow::Result<bool> {
        let Self::Answer { reply, message, envelope, sent, .. } = self else {
            bail!("nothing was heard")
        };
        let refusal = envelope.outcome.as_ref().and_then(|outcome| outcome.refusal.as_ref());
        let entries = envelope.title_answer.iter().flat_map(|answer| &answer.entries);
        let path = match what {
            "certificates" => {
                let numbers = envelope.outcome.iter().flat_map(|it| &it.certificate_numbers);
                return Ok(numbers.count() == value.parse::<usize>()?);
            }
            "faults" => {
                return Ok(
                    refusal.map_or(0, |refusal| refusal.faults.len()) == value.parse::<usize>()?
                );
            }
            "field" => {
                let fields = [value.to_owned()];
                let places = contract.locate(sent, adapters::Mode::Test, &fields);
                return Ok(refusal.is_some_and(|refusal| {
                    refusal.faults.iter().any(|fault| {
                        fault.field == value
                            || places
                                .iter()
                                .any(|(place, _)| !place.is_empty() && *place == fault.place)
                    })
                }));
            }
            "words" => return Ok(refusal.is_some_and(|refusal| refusal.message.contains(value))),
            "entries" => return Ok(entries.count() == value.parse::<usize>()?),
            "found" => {
                let found = entries.filter(|entry| entry.state() == proto::v1::TitleState::Found);
                return Ok(found.count() == value.parse::<usize>()?);
            }
            "encumbrances" => {
                return Ok(entries.map(|entry| entry.encumbrances.len()).sum::<usize>()
                    == value.parse::<usize>()?);
            }
            "limits" => {
                let limits = entries.flat_map(|entry| &entry.encumbrances);
                let kinds = limits.map(|limit| limit.kind().as_str_name());
                let kinds = kinds.map(|kind| kind.trim_start_matches("ENCUMBRANCE_KIND_"));
                return Ok(kinds.collect::<Vec<_>>().join(",") == value);
            }
            "obstacles" => {
                let found = envelope.discharge_answer.iter().flat_map(|answer| &answer.obstacles);
                return Ok(found.count() == value.parse::<usize>()?);
            }
            "matters" => {
                let told = envelope.office_answer.iter().flat_map(|answer| &answer.matters);
                return Ok(told.map(|it| it.matter.as_str()).collect::<Vec<_>>().join(",") == value);
            }
            "expected" => {
                let mut told = envelope.office_answer.iter().flat_map(|answer| &answer.matters);
                let is_known = told.any(|it| it.expected_seconds.is_some());
                return Ok(is_known == (value == "known"));
            }
            "opens" => {
                let opens = envelope.office_answer.as_ref().and_then(|answer| answer.opens_at);
                return Ok(
                    (opens.is_some() == (value == "later")) && ["later", "now"].contains(&value)
                );
            }
            "whole" => {
                let of_record = envelope.record_answer.as_ref().and_then(|it| it.document.as_ref());
                let document = envelope.document.as_ref().or(of_record);
                return Ok(document.is_some_and(is_whole) == value.parse::<bool>()?);
            }
            "statuses" => {
                let events = envelope.feed.iter().flat_map(|feed| &feed.events);
                let statuses = events.map(|entry| {
                    let status = entry.outcome.as_ref().map(proto::v1::Outcome::status);
                    status.unwrap_or_default().as_str_name().trim_start_matches("CASE_STATUS_")
                });
                return Ok(statuses.collect::<Vec<_>>().join(",") == value);
            }
            "numbers" => {
                let events = envelope.feed.iter().flat_map(|feed| &feed.events);
                let numbers = events.filter_map(|entry| Some(entry.event.as_ref()?.sequence));
                let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
                return Ok(numbers.join(",") == value);
            }
            "kinds" => {
                let events = envelope.feed.iter().flat_map(|feed| &feed.events);
                let kinds = events.filter_map(|entry| Some(entry.event.as_ref()?.kind()));
                let kinds = kinds.map(|kind| kind.as_str_name().trim_start_matches("EVENT_KIND_"));
                return Ok(kinds.collect::<Vec<_>>().join(",") == value);
            }
            "clear" => "discharge_answer.clear",
            "open" => "office_answer.open",
            "state" => "certificate_answer.state",
            "status" => "outcome.status",
            "replayed" => "outcome.replayed",
            "code" => "outcome.refusal.code",
            "sent" => "outcome.refusal.sent",
            path => path,
        };
        // The moment of the answer is the same for both, whatever it was.
        let now = proto::v1::Exchange {
            replied_at: Some(prost_types::Timestamp::default()),
            ..envelope.exchange.clone().unwrap_or_default()
        };
        let heard = Envelope { exchange: Some(now), ..envelope.as_ref().clone() };
        let written = |envelope: &Envelope| contract.encode(message.as_deref(), *reply, envelope);
        let cannot = |cannot: adapters::contract::CannotWrite| {
            anyhow::anyhow!("{}: {}", cannot.field, cannot.reason)
        };
        let same = written(&heard).map_err(cannot)?;
        Ok(written(&said_instead(&heard, path, value)?).is_ok_and(|other| other == same))
    }
}

/// Whether a document is as long as it says, has the digest it says, and is not empty.
fn is_whole(document: &proto::v1::Document) -> bool {
    let length = i64::try_from(document.content.len()).ok();
    !document.content.is_empty()
        && length == Some(document.size_bytes)
        && digest(&SHA256, &document.content).as_ref() == document.sha256
}

/// The envelope with another value at a path of messages.
fn said_instead(envelope: &Envelope, path: &str, value: &str) -> anyhow::Result<Envelope> {
    let mut message =
        proto::descriptors::dynamic("Envelope", envelope).context("not an envelope")?;
    set(&mut message, path, value)?;
    Ok(message.transcode_to()?)
}

fn set(message: &mut DynamicMessage, path: &str, value: &str) -> anyhow::Result<()> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message
        .descriptor()
        .get_field_by_name(name)
        .with_context(|| format!("there is no field {name}"))?;
    if let Some(rest) = rest {
        let inner = message.get_field_mut(&field).as_message_mut();
        return set(inner.with_context(|| format!("{name} holds nothing"))?, rest, value);
    }
    let json = serde_json::json!({ name: serde_json::from_str::<serde_json::Value>(value)
        .ok()
        .filter(|value| value.is_boolean() || value.is_number())
        .unwrap_or_else(|| value.into()) });
    let read = proto::golden::read(&message.descriptor(), &json).map_err(anyhow::Error::msg)?;
    let value: Value = read.get_field(&field).into_owned();
    message.set_field(&field, value);
    Ok(())
}
