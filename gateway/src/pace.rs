//! At what pace an HTTP connection goes: whoever sends nothing for long, or does not come to the end of a head, is not waited
//! for. The same for banks and for the console's own port.

use std::{
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
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

use crate::limits::Limits;

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
        () = pace.stalled(limits.idle_max, limits.header_max) => None,
    };
    // A message of which only a part of the head has come is not in flight: nothing is lost by closing.
    if ended.is_none() && !pace.is_reading() {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ended = connection => {}
            () = pace.stalled(limits.answer_max, limits.header_max) => {}
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

/// What a connection is at, and since when.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<At>);

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
    pub(crate) fn new() -> Self {
        Self(Mutex::new(At::Idle { since: Instant::now() }))
    }

    /// Resolves once nothing was asked for `idle_max`, or a head took longer than `header_max` to come; looked at every
    /// `header_max`.
    pub(crate) async fn stalled(&self, idle_max: Duration, header_max: Duration) {
        loop {
            let left = match *self.at() {
                At::Idle { since } => idle_max.saturating_sub(since.elapsed()),
                At::Reading { since } => header_max.saturating_sub(since.elapsed()),
                At::Answering { .. } => header_max,
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(header_max)).await;
        }
    }

    fn is_reading(&self) -> bool {
        matches!(*self.at(), At::Reading { .. })
    }

    /// Bytes came; those of a request's body are not the beginning of another.
    fn bytes_came(&self) {
        let mut at = self.at();
        if let At::Idle { .. } = *at {
            *at = At::Reading { since: Instant::now() };
        }
    }

    /// A request is being answered until what is returned is dropped.
    pub(crate) fn answering(self: &Arc<Self>) -> Answering {
        let mut at = self.at();
        let before = if let At::Answering { requests } = *at { requests } else { 0 };
        *at = At::Answering { requests: before.saturating_add(1) };
        Answering(Arc::clone(self))
    }

    fn at(&self) -> MutexGuard<'_, At> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's being answered.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Pace>);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut at = self.0.at();
        *at = match *at {
            At::Answering { requests: others @ 2.. } => {
                At::Answering { requests: others.saturating_sub(1) }
            }
            _ => At::Idle { since: Instant::now() },
        };
    }
}

/// A stream that says when bytes come.
struct Paced {
    stream: TlsStream<TcpStream>,
    pace: Arc<Pace>,
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
