//! At what pace an HTTP connection goes: whether a request is due, an answer is, or the caller is to take one. Whoever sends
//! nothing for long, does not come to the end of a head, or does not take what is written, is not waited for. The same for banks and for the
//! console's own port.

use std::{
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::HttpService,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use crate::{limits::Limits, turnstile::Place};

/// Serves one HTTP/1.1 connection until it ends, is too slow, or `leaving` resolves: then what is under way is answered first.
/// `service` says by `pace` what it is answering.
pub(crate) async fn serve_http1<S, B>(
    stream: TlsStream<TcpStream>,
    service: S,
    pace: &Arc<Pace>,
    limits: &Limits,
    keep_alive: bool,
    leaving: impl Future<Output = ()>,
) where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let io = TokioIo::new(Paced { stream, pace: Arc::clone(pace) });
    let connection = http1_builder(limits, keep_alive).serve_connection(io, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = leaving => None,
        () = pace.stalled(limits.idle_max, limits) => None,
    };
    // A message of which only a part of the head has come is not in flight: nothing is lost by closing.
    if ended.is_none() && !pace.is_reading() {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ended = connection => {}
            () = pace.stalled(limits.answer_max, limits) => {}
        }
    }
}

fn http1_builder(limits: &Limits, keep_alive: bool) -> http1::Builder {
    let head_bytes_max = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .keep_alive(keep_alive)
        // Its clock runs while a connection idles too: kept short it would close on banks that are about to ask.
        .header_read_timeout(None)
        .max_header_size(head_bytes_max)
        .max_buf_size(head_bytes_max.max(READ_BYTES));
    builder
}

/// How much of an HTTP/1.1 body is read at a time, at most.
const READ_BYTES: usize = 64 * 1024;

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is longer than it may be.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// It broke off.
    Truncated,
}

/// Reads a body of at most `bytes_max` bytes.
///
/// # Errors
/// It could not be read to its end.
pub(crate) async fn read(
    body: &mut Incoming,
    bytes_max: usize,
    limits: &Limits,
) -> Result<Bytes, Unread> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if told > bytes_max {
        return Err(Unread::TooLarge);
    }
    match timeout(limits.body_max, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Truncated),
        Err(_) => Err(Unread::TooSlow),
    }
}

/// The pace of a connection.
#[derive(Debug)]
pub(crate) struct Pace {
    is_http2: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    at: At,
    /// Since when something is written that the system has not taken whole.
    writing: Option<Instant>,
    /// Of the answers among it.
    places: Vec<Arc<Place>>,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// Nothing was asked.
    Idle { since: Instant },
    /// A request has begun to come.
    Reading { since: Instant },
    /// So many requests are being answered.
    Answering { requests: usize },
}

impl Pace {
    pub(crate) fn new(is_http2: bool) -> Arc<Self> {
        let at = At::Idle { since: Instant::now() };
        let state = State { at, writing: None, places: Vec::new() };
        Arc::new(Self { is_http2, state: Mutex::new(state) })
    }

    /// Resolves once nothing was asked for `idle_max`, a head took longer than it may to come, or what is written longer
    /// than it may to be taken. Looked at every `header_max`.
    pub(crate) async fn stalled(&self, idle_max: Duration, limits: &Limits) {
        loop {
            let left = self.state().left(idle_max, limits);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(limits.header_max)).await;
        }
    }

    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.state().at, At::Reading { .. })
    }

    /// A request is being answered, and has its `place` once it is given one, until what is returned is dropped.
    pub(crate) fn answering(self: &Arc<Self>) -> Answering {
        let at = &mut self.state().at;
        let before = if let At::Answering { requests } = *at { requests } else { 0 };
        *at = At::Answering { requests: before.saturating_add(1) };
        Answering { pace: Arc::clone(self), place: None }
    }

    /// Bytes came. Those of a request's body are not the beginning of another; over HTTP/2 any may be a ping.
    fn bytes_came(&self) {
        let at = &mut self.state().at;
        if let (At::Idle { .. }, false) = (*at, self.is_http2) {
            *at = At::Reading { since: Instant::now() };
        }
    }

    fn bytes_go(&self) {
        self.state().writing.get_or_insert_with(Instant::now);
    }

    fn bytes_gone(&self) {
        let mut state = self.state();
        state.writing = None;
        state.places.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn left(&self, idle_max: Duration, limits: &Limits) -> Duration {
        let at = match self.at {
            At::Idle { since } => idle_max.saturating_sub(since.elapsed()),
            At::Reading { since } => limits.header_max.saturating_sub(since.elapsed()),
            At::Answering { .. } => limits.header_max,
        };
        let writing = |since: Instant| limits.answer_max.saturating_sub(since.elapsed());
        self.writing.map_or(at, |since| at.min(writing(since)))
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Answering {
    pace: Arc<Pace>,
    /// Where, if it was let in.
    pub(crate) place: Option<Arc<Place>>,
}

impl Answering {
    pub(crate) fn is_http2(&self) -> bool {
        self.pace.is_http2
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        state.at = match state.at {
            At::Answering { requests: others @ 2.. } => {
                At::Answering { requests: others.saturating_sub(1) }
            }
            _ => At::Idle { since: Instant::now() },
        };
        // An answer over HTTP/1.1 is let go of here before it is written; it keeps its place until it is.
        if !self.pace.is_http2 {
            state.places.extend(self.place.take());
        }
    }
}

/// A stream that tells its pace.
pub(crate) struct Paced {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) pace: Arc<Pace>,
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pace.bytes_came();
        }
        polled
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pace.bytes_go();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// HTTP/1.1 asks for this once all answers so far are written, HTTP/2 after each frame or few.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.pace.bytes_gone();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pace.bytes_go();
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
