//! HTTPS: one message a request, to a path the institution's contract names.
//!
//! What is wrong with the request itself is told as a problem (RFC 9457) with its status. A message that was taken is
//! answered 200 in the bank's own words, refusals too: the envelope says which, and banks' HTTP libraries hide bodies
//! behind other statuses. Only where messages are whole HTTP requests does the contract say the status too. Which HTTP is spoken is settled by ALPN, never guessed from the first bytes.

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::wire::HttpRoute;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header, request::Parts};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::server::TlsStream;

use super::{
    Account, BankPort, BankStay, Desk, Place, books,
    problem::Problem,
    telling::{PIECE_BYTES, Streams, Told},
    upload, whole,
};
use crate::{
    contracts::{Door, NoReader},
    exchange::{Answer, AnswerKind, TransportFault},
    identity::VerifiedBank,
    limits::Limits,
    pace::{self, Pace, Paced, Unread, serve_http1},
    settings::BankProxy,
    telemetry::Arrival,
    turnstile::Busy,
};

/// Somebody known at this port.
pub(super) enum Caller {
    /// A bank.
    Institution { bank: VerifiedBank, account: Arc<Account>, stay: BankStay },
    /// One that tells of each request whose it is.
    Proxy { proxy: Arc<BankProxy>, stay: BankStay },
}

/// Serves one connection to its end. `caller`: `None` is told that it is not known, whatever it asks.
pub(super) async fn serve<D: Desk>(
    port: Arc<BankPort<D>>,
    stream: TlsStream<TcpStream>,
    caller: Option<Caller>,
) {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let pace = Pace::new(is_http2);
    let visit = Arc::new(Visit { port: Arc::clone(&port), caller, pace: Arc::clone(&pace) });
    let service = service_fn({
        let visit = Arc::clone(&visit);
        move |request| {
            let visit = Arc::clone(&visit);
            async move { Ok::<_, Infallible>(visit.answer(request).await) }
        }
    });
    let limits = &port.limits;
    let leaving = async {
        match &visit.caller {
            Some(Caller::Institution { stay, .. } | Caller::Proxy { stay, .. }) => {
                stay.leaving().await;
            }
            None => port.stopping.cancelled().await,
        }
    };
    if is_http2 {
        let io = TokioIo::new(Paced { stream, pace: Arc::clone(&pace) });
        let connection = http2_builder(limits).serve_connection(io, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = leaving => None,
            () = pace.stalled(limits.idle_max, limits) => None,
        };
        if ended.is_none() {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ended = connection => {}
                () = pace.stalled(limits.answer_max, limits) => {}
            }
        }
    } else {
        let keep_alive = visit.caller.is_some();
        serve_http1(stream, service, &pace, limits, keep_alive, leaving).await;
    }
}

fn http2_builder(limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams { answer_max: limits.answer_max });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams_max)
        .max_pending_accept_reset_streams(limits.http2_resets_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_send_buf_size(PIECE_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// One connection's requests.
struct Visit<D> {
    port: Arc<BankPort<D>>,
    caller: Option<Caller>,
    pace: Arc<Pace>,
}

impl<D: Desk> Visit<D> {
    /// Answers one request. What is told keeps the request's place until the bank has it.
    async fn answer(&self, request: Request<Incoming>) -> Response<Told> {
        let mut answering = self.pace.answering();
        let (head, mut body) = request.into_parts();
        let heard = match self.sender(&head) {
            None => Err(Problem::IdentityUnknown.into()),
            Some((bank, account)) => match account.enter() {
                Err(busy) => Err(self.turned_back(&bank, &head, busy)),
                Ok(place) => {
                    let place = Arc::new(place);
                    answering.place = Some(Arc::clone(&place));
                    let heard = self.hear(&bank, place, &head, &mut body).await;
                    heard.inspect_err(|Unheard { code, .. }| {
                        tracing::info!(institution = bank.id(), code, "a request was refused");
                    })
                }
            },
        };
        let response = match heard {
            Ok(response) => response,
            Err(Unheard { response, .. }) => {
                // Closing on what is still being sent would take the answer with it.
                if head.version < Version::HTTP_2 && !head.headers.contains_key(header::EXPECT) {
                    discard(&mut body, &self.port.limits).await;
                }
                response
            }
        };
        response.map(|body| Told::new(body, answering))
    }

    /// Whose request it is: that of whom the connection is, whatever the request says; but a proxy is asked each time.
    fn sender(&self, head: &Parts) -> Option<(VerifiedBank, Arc<Account>)> {
        match self.caller.as_ref()? {
            Caller::Institution { bank, account, .. } => Some((bank.clone(), Arc::clone(account))),
            Caller::Proxy { proxy, .. } => self.port.presented(proxy, &head.headers),
        }
    }

    /// A message that may not come in now, before anything of its body is read: in the bank's own words, if it is known which.
    /// It is counted, and not in the log: a bank could fill that.
    fn turned_back(&self, bank: &VerifiedBank, head: &Parts, busy: Busy) -> Unheard {
        let problem = Problem::from(busy);
        let agreed = self.port.desk.agreed(bank, Door::Https { path: head.uri.path() }).ok();
        let told = agreed.and_then(|agreed| {
            let route = agreed.as_ref().http.as_ref()?;
            let (is_whole, content_type) = (route.whole.is_some(), media_type(&route.content_type));
            let refusal = self.port.desk.refuse(&agreed, TransportFault::Busy(busy));
            spoken(refusal, is_whole, &content_type)
        });
        Unheard { code: problem.code(), response: told.unwrap_or_else(|| problem.response()) }
    }

    async fn hear(
        &self,
        bank: &VerifiedBank,
        place: Arc<Place>,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Response<Bytes>, Unheard> {
        if head.uri.path() == DESCRIPTION_PATH
            && let Some(description) = self.port.desk.description(bank)
        {
            return Ok(described(head, description)?);
        }
        if head.uri.path().starts_with(upload::PATH)
            && let Some(materials) = self.port.desk.materials()
        {
            let (started, patience) = (Instant::now(), self.port.limits.body_max);
            let answered = upload::answer(materials, bank.id(), head, body, patience).await;
            let result = answered.as_ref().map_or_else(Problem::code, |_taken| "TAKEN");
            self.port.metrics.exchange(bank.id(), "material", result, started.elapsed());
            return Ok(answered?);
        }
        if head.uri.path().starts_with(books::PATH)
            && let Some(gateway) = self.port.desk.books()
        {
            let started = Instant::now();
            let answered = books::answer(gateway, bank, head).await;
            let result = answered.as_ref().map_or_else(Problem::code, |_told| books::BOOKS);
            self.port.metrics.exchange(bank.id(), "books", result, started.elapsed());
            return Ok(answered?);
        }
        let door = Door::Https { path: head.uri.path() };
        let agreed = self.port.desk.agreed(bank, door).map_err(|none| match none {
            NoReader::Port => Problem::PortUnused,
            NoReader::Path => Problem::PathUnknown,
        })?;
        let route = agreed.as_ref().http.as_ref().ok_or(Problem::PortUnused)?;
        let operation = match &route.whole {
            Some(known) => {
                let operation = whole::operation(known, head)?;
                if operation.has_body && !is_agreed(&head.headers, &route.request_type) {
                    return Err(Problem::MediaTypeUnsupported.into());
                }
                Some(operation)
            }
            None => {
                keep(route, head)?;
                None
            }
        };
        let (is_whole, content_type) = (route.whole.is_some(), media_type(&route.content_type));
        let body = read(body, &self.port.limits).await?;
        let pattern = operation.map_or_else(|| route.path.clone(), whole::pattern);
        let arrival = Arrival::http(&head.method, pattern, head.version, &head.headers);
        let message = match operation {
            Some(operation) => whole::message(operation, head, &body),
            None => body,
        };
        let answer = self.port.answer_apart(bank, agreed, message, arrival, place).await;
        let told = answer.and_then(|answer| spoken(answer, is_whole, &content_type));
        told.ok_or_else(|| Problem::AnswerLost.into())
    }
}

/// A request that was refused by its head, or whose body was not read to its end.
struct Unheard {
    /// Why, for the log.
    code: &'static str,
    response: Response<Bytes>,
}

impl From<Problem> for Unheard {
    fn from(problem: Problem) -> Self {
        Self { code: problem.code(), response: problem.response() }
    }
}

/// An answer in the bank's own words; `None` if it says nothing.
fn spoken(
    answer: Answer,
    is_whole: bool,
    content_type: &Option<HeaderValue>,
) -> Option<Response<Bytes>> {
    match answer.kind {
        AnswerKind::None => None,
        AnswerKind::Outcome | AnswerKind::Refusal if is_whole => whole::response(&answer.bytes),
        AnswerKind::Outcome | AnswerKind::Refusal => {
            Some(respond(Bytes::from(answer.bytes), content_type.clone()))
        }
    }
}

/// Where an institution fetches what it may ask.
const DESCRIPTION_PATH: &str = "/openapi.json";

fn described(head: &Parts, description: Bytes) -> Result<Response<Bytes>, Problem> {
    if head.method != Method::GET {
        return Err(Problem::MethodNotAllowed { agreed: Method::GET.to_string() });
    }
    Ok(respond(description, media_type("application/json")))
}

fn respond(body: Bytes, content_type: Option<HeaderValue>) -> Response<Bytes> {
    let mut response = Response::new(body);
    if let Some(content_type) = content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

fn media_type(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

/// Holds a request to the agreed method, media type and header fields.
fn keep(route: &HttpRoute, head: &Parts) -> Result<(), Problem> {
    if head.method.as_str() != route.method.as_str() {
        return Err(Problem::MethodNotAllowed { agreed: route.method.as_str().to_owned() });
    }
    if !is_agreed(&head.headers, &route.request_type) {
        return Err(Problem::MediaTypeUnsupported);
    }
    if !route.headers.iter().all(|(name, value)| says(&head.headers, name, value)) {
        return Err(Problem::HeaderUnexpected);
    }
    Ok(())
}

/// Whether the body is what the contract names, by its `Content-Type`; one that is not told is taken at the contract's
/// word, and its charset parameter means nothing: the contract's holds. The two names of XML are one.
fn is_agreed(headers: &HeaderMap, agreed: &str) -> bool {
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
    let essence = |text: &str| {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "text/xml" { "application/xml".to_owned() } else { essence }
    };
    let told = headers.get(header::CONTENT_TYPE);
    plain
        && told.is_none_or(|told| told.to_str().is_ok_and(|told| essence(told) == essence(agreed)))
}

/// Whether a header field stands once and has a value; the quotes that some put around it mean nothing (SOAP 1.1,
/// section 6.1.1, has them; many clients have not).
fn says(headers: &HeaderMap, name: &str, value: &str) -> bool {
    let bare = |text: &str| {
        let text = text.trim();
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        inner.unwrap_or(text).to_owned()
    };
    let mut told = headers.get_all(name).into_iter();
    let first = told.next().and_then(|told| told.to_str().ok());
    first.is_some_and(|told| bare(told) == bare(value)) && told.next().is_none()
}

async fn read(body: &mut Incoming, limits: &Limits) -> Result<Bytes, Problem> {
    let limit = limits.body_bytes_max;
    pace::read(body, limit, limits).await.map_err(|unread| match unread {
        Unread::TooLarge => Problem::TooLarge { limit },
        Unread::Truncated => Problem::Truncated,
        Unread::TooSlow => Problem::TooSlow,
    })
}

/// Reads on for a while without keeping anything, so that the caller comes to reading the answer.
async fn discard(body: &mut Incoming, limits: &Limits) {
    let mut left = limits.body_bytes_max.saturating_mul(4);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _late = timeout(limits.header_max, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_field_says_its_value_once_with_or_without_quotes() {
        let headers = |values: &[&'static str]| {
            let pairs = values.iter().map(|value| HeaderValue::from_static(value));
            pairs.fold(HeaderMap::new(), |mut headers, value| {
                headers.append("soapaction", value);
                headers
            })
        };
        for (values, agreed) in [
            (&["urn:x"][..], true),
            (&["\"urn:x\""], true),
            (&["urn:y"], false),
            (&["urn:x", "urn:x"], false),
            (&[], false),
        ] {
            assert_eq!(says(&headers(values), "SOAPAction", "\"urn:x\""), agreed, "{values:?}");
        }
    }
}
