//! The way to one subscriber: its addresses, TLS with both sides' certificates, and one notice a time over HTTPS or behind a
//! length prefix.
//!
//! A connection goes only where [`reach`] allows; redirects are answers like others, and never followed. It keeps
//! connections that stand, and never decides what to send or when again.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use adapters::wire::Prefix;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::reach;
use crate::telemetry::{Peer, Step};

/// The way to one subscriber.
pub(super) struct Line {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) way: Way,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
    /// As traces name it.
    pub(super) peer: Arc<Peer>,
    pub(super) networks: Vec<IpNet>,
    pub(super) answer_max: Duration,
    /// Connections on which a notice was answered, and nothing is under way.
    pub(super) idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// How notices travel.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Posted.
    Https {
        /// Where.
        target: Uri,
        /// What `Host` says.
        host: HeaderValue,
        /// What their bytes are.
        content_type: HeaderValue,
    },
    /// Behind a length prefix.
    Tcp(Prefix),
}

/// One notice, as it is sent.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) bytes: Bytes,
    /// Header fields of its signature, where it is sent by HTTP.
    pub(super) headers: Vec<(&'static str, HeaderValue)>,
}

/// What a subscriber answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has taken the message; what it says to it.
    Said(Bytes),
    /// It will not take this one.
    NotTaken(StatusCode),
    /// It takes none just now, and when it does, if it says so.
    Away(Why, Option<Duration>),
    /// It wants no more.
    Gone,
}

/// Why nothing can be told just now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    /// No address of it may be connected to.
    #[error("every address of it lies in a network that settings do not allow")]
    NotAllowed,
    /// No connection, or none to whom it should be.
    #[error("no connection")]
    NotConnected(#[source] io::Error),
    /// The connection ended.
    #[error("no answer")]
    NoAnswer(#[source] Box<dyn Error + Send + Sync>),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    /// Its answer has no end.
    #[error("its answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It says so.
    #[error("it answers {0}")]
    Says(StatusCode),
}

/// An acknowledgement is some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl std::fmt::Debug for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Line").field("host", &self.host).field("port", &self.port).finish()
    }
}

impl Answer {
    /// What went wrong, for traces.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::Said(_) => None,
            Self::NotTaken(_) => Some("not_taken"),
            Self::Away(..) => Some("away"),
            Self::Gone => Some("gone"),
        }
    }
}

impl Line {
    /// Sending something on it, as traces name that.
    pub(super) fn step(&self) -> Step {
        match &self.way {
            Way::Https { target, .. } => {
                Step::Post { peer: Arc::clone(&self.peer), target: target.clone() }
            }
            Way::Tcp(_) => Step::Inner("hand_over"),
        }
    }

    /// Sends one notice and waits for what is answered.
    pub(super) async fn send(&self, notice: &Notice) -> Answer {
        let sent = timeout(self.answer_max, async {
            match &self.way {
                Way::Https { target, host, content_type } => {
                    self.post(target, host, content_type, notice).await
                }
                Way::Tcp(prefix) => self.hand_over(*prefix, notice).await,
            }
        });
        match sent.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => Answer::Away(why, None),
            Err(_elapsed) => Answer::Away(Why::TooSlow(self.answer_max), None),
        }
    }

    async fn post(
        &self,
        target: &Uri,
        host: &HeaderValue,
        content_type: &HeaderValue,
        notice: &Notice,
    ) -> Result<Answer, Why> {
        let request = || {
            let mut request = Request::new(Full::new(notice.bytes.clone()));
            *request.method_mut() = http::Method::POST;
            *request.uri_mut() = target.clone();
            let headers = request.headers_mut();
            headers.insert(header::HOST, host.clone());
            headers.insert(header::CONTENT_TYPE, content_type.clone());
            headers.insert(header::USER_AGENT, HeaderValue::from_static("directlink"));
            for (name, value) in &notice.headers {
                headers.insert(*name, value.clone());
            }
            request
        };
        // A connection that stood may have been closed meanwhile: that says nothing about the subscriber. Sending
        // twice does no harm, an event is told by its identifier.
        let standing = match self.standing().await {
            Some(mut line) => match line.send_request(request()).await {
                Ok(response) => Some((line, response)),
                Err(_closed) => None,
            },
            None => None,
        };
        let (line, response) = match standing {
            Some(answered) => answered,
            None => {
                let mut line = self.open().await?;
                let response = line.send_request(request()).await;
                (line, response.map_err(|error| Why::NoAnswer(error.into()))?)
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = match body {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Why::TooLong);
            }
            Err(error) => return Err(Why::NoAnswer(error)),
        };
        self.keep(line);
        let retry_after = head
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now()));
        Ok(answered(head.status, retry_after, body))
    }

    /// A connection that stands, if there is one.
    async fn standing(&self) -> Option<SendRequest<Full<Bytes>>> {
        loop {
            let mut line = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if line.ready().await.is_ok() {
                return Some(line);
            }
        }
    }

    fn keep(&self, line: SendRequest<Full<Bytes>>) {
        if !line.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Why> {
        let stream = self.connect().await?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (line, connection) = shaken.map_err(|error| Why::NoAnswer(error.into()))?;
        // It ends when the line is dropped, or the other side closes it.
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        Ok(line)
    }

    async fn hand_over(&self, prefix: Prefix, notice: &Notice) -> Result<Answer, Why> {
        let no_answer = |error: io::Error| Why::NoAnswer(error.into());
        let mut stream = self.connect().await?;
        stream.write_all(&notice.bytes).await.map_err(no_answer)?;
        stream.flush().await.map_err(no_answer)?;
        let mut answer = vec![0; prefix.length()];
        stream.read_exact(&mut answer).await.map_err(no_answer)?;
        let length = prefix.body_length(&answer).map_err(|error| Why::NoAnswer(error.into()))?;
        if length > ANSWER_BYTES_MAX {
            return Err(Why::TooLong);
        }
        let begun = answer.len();
        answer.resize(begun.saturating_add(length), 0);
        let body = answer.get_mut(begun..).unwrap_or_default();
        stream.read_exact(body).await.map_err(no_answer)?;
        Ok(Answer::Said(answer.into()))
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, Why> {
        let found = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, self.port)],
            Err(_name) => {
                let found = lookup_host((self.host.as_str(), self.port)).await;
                found.map_err(Why::NotConnected)?.collect()
            }
        };
        let allowed = found.into_iter().filter(|it| reach::is_allowed(it.ip(), &self.networks));
        let mut why = Why::NotAllowed;
        for address in allowed {
            match self.connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = Why::NotConnected(error),
            }
        }
        Err(why)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), stream).await
    }
}

/// What a status means: of this notice, or of all.
fn answered(status: StatusCode, retry_after: Option<Duration>, body: Bytes) -> Answer {
    match status {
        _ if status.is_success() => Answer::Said(body),
        StatusCode::GONE => Answer::Gone,
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Away(Why::Says(status), retry_after),
        _ if status.is_redirection() => Answer::Away(Why::Says(status), None),
        // With it, whatever else it is, the subscriber says when to come again.
        _ if retry_after.is_some() => Answer::Away(Why::Says(status), retry_after),
        _ => Answer::NotTaken(status),
    }
}

/// Seconds, or a moment (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = httpdate::parse_http_date(text).ok()?;
    Some(moment.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_is_about_is_told_apart() {
        let told = |status: u16, retry_after: Option<u64>| {
            let retry_after = retry_after.map(Duration::from_secs);
            match answered(StatusCode::from_u16(status).unwrap(), retry_after, Bytes::new()) {
                Answer::Said(_) => "said",
                Answer::NotTaken(_) => "not taken",
                Answer::Away(..) => "away",
                Answer::Gone => "gone",
            }
        };
        for (status, expected) in [
            (200, "said"),
            (204, "said"),
            (301, "away"),
            (307, "away"),
            (400, "not taken"),
            (403, "away"),
            (410, "gone"),
            (422, "not taken"),
            (429, "away"),
            (500, "not taken"),
            (503, "away"),
        ] {
            assert_eq!(told(status, None), expected, "{status}");
        }
        assert_eq!(told(500, Some(3)), "away");
    }

    #[test]
    fn retry_after_is_seconds_or_a_moment() {
        let now = httpdate::parse_http_date("Thu, 05 Mar 2026 09:00:00 GMT").unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        let moment = retry_after("Thu, 05 Mar 2026 09:01:30 GMT", now);
        assert_eq!(moment, Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Thu, 05 Mar 2026 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
