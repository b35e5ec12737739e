//! A step of traced work while it goes on.

use std::{
    pin::Pin,
    task::{Context as Polling, Poll, ready},
    time::Duration,
};

use opentelemetry::{Context, trace::SpanId};
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;

use super::{
    step::Step,
    trace::{AT, At, Taken, told},
};

/// A step that goes on; it ends when this is dropped.
#[derive(Debug)]
pub struct Open {
    pub(super) at: Option<At>,
    pub(super) noted: Option<Noted>,
}

/// What is known of it.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) parent: SpanId,
    pub(super) step: Step,
    pub(super) from: Duration,
    pub(super) error: Option<&'static str>,
}

impl Open {
    /// It is to wait for this.
    pub fn around<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        self.judged(work, |_| None)
    }

    /// It is to wait for this; `judge` says by a word what went wrong.
    pub fn judged<F, J>(self, work: F, judge: J) -> Around<F, J>
    where
        F: Future,
        J: FnOnce(&F::Output) -> Option<&'static str>,
    {
        let work = AT.scope(self.at.clone(), work);
        Around { work, open: Some(self), judge: Some(judge) }
    }

    /// It is this.
    pub fn within<T>(mut self, work: impl FnOnce() -> T) -> T {
        let done = AT.sync_scope(self.at.clone(), work);
        if let Some(noted) = &mut self.noted {
            noted.error = None;
        }
        done
    }

    /// What others are told of it.
    pub fn context(&self) -> Context {
        told(self.at.as_ref())
    }
}

pin_project! {
    /// A step around what it waits for. An `async` function would hold that twice.
    #[derive(Debug)]
    pub struct Around<F, J> {
        #[pin]
        work: TaskLocalFuture<Option<At>, F>,
        open: Option<Open>,
        judge: Option<J>,
    }
}

impl<F, J> Future for Around<F, J>
where
    F: Future,
    J: FnOnce(&F::Output) -> Option<&'static str>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, polling: &mut Polling<'_>) -> Poll<F::Output> {
        let this = self.project();
        let done = ready!(this.work.poll(polling));
        // It ends now, not when it is dropped.
        if let (Some(mut open), Some(judge)) = (this.open.take(), this.judge.take())
            && let Some(noted) = &mut open.noted
        {
            noted.error = judge(&done);
        }
        Poll::Ready(done)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(at), Some(noted)) = (&self.at, self.noted.take()) {
            let Noted { parent, step, from, error } = noted;
            let (span, to) = (at.span, at.work.elapsed());
            at.work.take(Taken { span, parent, step, from, to, error });
        }
    }
}
