//! What one HTTPS connection is at, and since when: whether a request is due, an answer is, or the bank is to take one.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::{limits::Limits, turnstile::Place};

/// The pace of a connection.
#[derive(Debug)]
pub(super) struct Pace {
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
    pub(super) fn new(is_http2: bool) -> Arc<Self> {
        let at = At::Idle { since: Instant::now() };
        let state = State { at, writing: None, places: Vec::new() };
        Arc::new(Self { is_http2, state: Mutex::new(state) })
    }

    /// Resolves once nothing was asked for `idle_max`, a head took longer than it may to come, or what is written longer
    /// than it may to be taken. Looked at every `header_max`.
    pub(super) async fn stalled(&self, idle_max: Duration, limits: &Limits) {
        loop {
            let left = self.state().left(idle_max, limits);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(limits.header_max)).await;
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state().at, At::Reading { .. })
    }

    /// A request is being answered, and has its `place` once it is given one, until what is returned is dropped.
    pub(super) fn answering(self: &Arc<Self>) -> Answering {
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
pub(super) struct Answering {
    pace: Arc<Pace>,
    /// Where, if it was let in.
    pub(super) place: Option<Arc<Place>>,
}

impl Answering {
    pub(super) fn is_http2(&self) -> bool {
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
pub(super) struct Paced {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) pace: Arc<Pace>,
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
