//! An answer on its way to a bank over HTTPS. It keeps what was given it, its place above all, until the bank has taken it,
//! and a bank that takes none of it is not waited for.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    body::{Body, Frame, SizeHint},
    rt::Executor,
};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::pace::Answering;

/// The body of an answer.
pub(super) struct Told {
    left: Bytes,
    answering: Answering,
}

/// As much as is handed to HTTP/2 of an answer at a time, and as much as it holds of one.
pub(super) const PIECE_BYTES: usize = 16 * 1024;

impl Told {
    pub(super) fn new(body: Bytes, answering: Answering) -> Self {
        // Over HTTP/1.1 there is no stream.
        let _told = TOLD.try_with(|told| told.store(true, Ordering::Relaxed));
        Self { left: body, answering }
    }

    /// HTTP/2 takes a piece whole as soon as the bank lets a byte of it come, and does not ask for more before. So the last
    /// byte goes alone: who lets it come has let all come.
    fn piece_bytes(&self) -> usize {
        let all = self.left.len();
        if self.answering.is_http2() { all.saturating_sub(1).clamp(1, PIECE_BYTES) } else { all }
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.piece_bytes();
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.left.len()).unwrap_or(u64::MAX))
    }
}

tokio::task_local! {
    /// Whether the stream that is at work has its answer.
    static TOLD: Arc<AtomicBool>;
}

/// Runs each stream of an HTTP/2 connection on a task of its own, and ends one whose answer is not let come within
/// `answer_max`; the others go on.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) answer_max: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Stream {
            stream,
            answer_max: self.answer_max,
            told: Arc::default(),
            late: None,
        });
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        stream: F,
        answer_max: Duration,
        told: Arc<AtomicBool>,
        late: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut me = self.project();
        let polled = TOLD.sync_scope(Arc::clone(me.told), || me.stream.as_mut().poll(context));
        if polled.is_ready() || !me.told.load(Ordering::Relaxed) {
            return polled;
        }
        // Dropping the stream resets it.
        let late = me.late.get_or_insert_with(|| Box::pin(sleep(*me.answer_max)));
        late.as_mut().poll(context)
    }
}
