//! One piece of work as it is traced: an exchange, or what is done for a case later. Its steps are noted while it goes on, at
//! the price of a look at the clock; spans are made of them once it is known that they are kept, and of most never.
//!
//! The trace is found through the task that works: a task spawned in the middle has none. Sources: W3C Trace Context;
//! docs/decisions/0031.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::{
    arrival::{Arrival, Way},
    case,
    keeping::{self, Kept},
    open::{Noted, Open},
    spans::{self, Attribute},
    step::Step,
};

tokio::task_local! {
    pub(super) static AT: Option<At>;
}

/// Where in which trace a task works.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) work: Arc<Work>,
    pub(super) span: SpanId,
}

/// One piece of work.
#[derive(Debug)]
pub(super) struct Work {
    /// Its trace, and the span of all of it.
    pub(super) context: SpanContext,
    /// What it is part of; invalid if of nothing.
    pub(super) parent: SpanContext,
    pub(super) piece: Piece,
    pub(super) begun: SystemTime,
    since: Instant,
    /// `None` if nothing is exported: then others are told the trace, and that is all.
    record: Option<Mutex<Record>>,
}

/// What kind of work it is.
#[derive(Debug)]
pub(super) enum Piece {
    /// A message is answered.
    Exchange(Way),
    /// Something is done for a case afterwards.
    Later(Later),
}

/// What is done for a case once its bank was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// A filing that waited for its office is sent.
    Open,
    /// The registry is asked what became of a filing.
    Resolve,
    /// The registry is asked how the case stands.
    FollowUp,
    /// The registry told of the case by itself.
    Event,
    /// A subscriber is told of the case.
    Notice,
}

impl Later {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolve => "resolve",
            Self::FollowUp => "follow_up",
            Self::Event => "event",
            Self::Notice => "notice",
        }
    }
}

/// What was noted of it.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) steps: Vec<Taken>,
    /// Steps that found no room.
    pub(super) unnoted: u32,
    pub(super) attributes: Vec<Attribute>,
    pub(super) error: Option<&'static str>,
    /// The trace of what is done later for its case.
    pub(super) case: Option<TraceId>,
    verdict: Verdict,
}

#[derive(Debug, Default)]
enum Verdict {
    /// Nobody has concluded it: it broke, or was cut off.
    #[default]
    Open,
    Forgotten,
    Kept(Kept),
}

/// A step that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) span: SpanId,
    pub(super) parent: SpanId,
    pub(super) step: Step,
    /// After the work had begun.
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// What went wrong.
    pub(super) error: Option<&'static str>,
}

/// More of one piece of work than anybody reads.
const STEPS_MAX: usize = 100;

/// Answers a message, in the trace of its arrival or in one of its own.
pub async fn exchange<T>(arrival: Arrival, work: impl Future<Output = T>) -> T {
    let Arrival { parent, way } = arrival;
    within(Whole::begin(parent, None, Piece::Exchange(way)), work).await
}

/// Does something for the filing of a key after its exchange, in the trace that all such work of the filing is in, whoever
/// does it. `judge`: what went wrong, by a word; all of what `later` is about unknown outcomes is kept.
pub fn later<T>(
    later: Later,
    institution: &str,
    key: &str,
    work: impl Future<Output = T>,
    judge: impl FnOnce(&T) -> Option<&'static str>,
) -> impl Future<Output = T> {
    // Boxed where it begins: what waits on it would otherwise be moved with all it holds.
    let work = Box::pin(work);
    let trace = keeping::is_exporting().then(|| case::trace(institution, key));
    let whole = Whole::begin(SpanContext::NONE, trace, Piece::Later(later));
    let judged = async move {
        let done = work.await;
        let attributes = || vec![("directlink.institution", institution.to_owned().into())];
        conclude(judge(&done), later == Later::Resolve, attributes);
        done
    };
    within(whole, judged)
}

async fn within<T>(whole: Whole, work: impl Future<Output = T>) -> T {
    let at = At { span: whole.0.context.span_id(), work: Arc::clone(&whole.0) };
    let done = AT.scope(Some(at), work).await;
    drop(whole);
    done
}

/// A piece of work that goes on; it ends when this is dropped.
struct Whole(Arc<Work>);

impl Whole {
    fn begin(parent: SpanContext, trace: Option<TraceId>, piece: Piece) -> Self {
        let new = RandomIdGenerator::default();
        let begun = parent.is_valid().then(|| parent.trace_id());
        let trace = begun.or(trace).unwrap_or_else(|| new.new_trace_id());
        let is_exporting = keeping::is_exporting();
        let context = match (is_exporting, parent.is_valid()) {
            // Who notes nothing does not come in between.
            (false, true) => parent.clone(),
            _ => {
                let flags = match keeping::samples(&parent, trace) {
                    true => TraceFlags::SAMPLED,
                    false => TraceFlags::NOT_SAMPLED,
                };
                let state = parent.trace_state().clone();
                SpanContext::new(trace, new.new_span_id(), flags, false, state)
            }
        };
        Self(Arc::new(Work {
            context,
            parent,
            piece,
            begun: SystemTime::now(),
            since: Instant::now(),
            record: is_exporting.then(Mutex::default),
        }))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let Some(mut record) = self.0.record() else { return };
        let mut record = mem::take(&mut *record);
        let kept = match record.verdict {
            Verdict::Forgotten => return,
            Verdict::Kept(kept) => kept,
            Verdict::Open => {
                record.error = Some("cut_off");
                Kept::Error
            }
        };
        keeping::keep(spans::of(&self.0, record, kept, self.0.since.elapsed()));
    }
}

impl Work {
    /// How long it has gone on.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Notes a step, if there is room.
    pub(super) fn take(&self, step: Taken) {
        let Some(mut record) = self.record() else { return };
        match record.steps.len() < STEPS_MAX {
            true => record.steps.push(step),
            false => record.unnoted = record.unnoted.saturating_add(1),
        }
    }

    fn record(&self) -> Option<MutexGuard<'_, Record>> {
        // No code that can panic runs under the lock.
        Some(self.record.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says what the work at hand came to, which decides whether it is kept; `attributes` are asked for only then. The trace, if
/// it is.
pub fn conclude(
    error: Option<&'static str>,
    is_unknown: bool,
    attributes: impl FnOnce() -> Vec<Attribute>,
) -> Option<TraceId> {
    let At { work, .. } = at()?;
    let mut record = work.record()?;
    let kept = keeping::verdict(&work.context, error.is_some(), is_unknown, work.since.elapsed());
    let Some(kept) = kept else {
        record.verdict = Verdict::Forgotten;
        return None;
    };
    record.verdict = Verdict::Kept(kept);
    record.error = error;
    record.attributes = attributes();
    Some(work.context.trace_id())
}

/// The work at hand is about the filing of a key: what is done for that later is found from it.
pub fn about(institution: &str, key: &str) {
    if let Some(mut record) = at().as_ref().and_then(|at| at.work.record()) {
        record.case = Some(case::trace(institution, key));
    }
}

/// A step of the work at hand, which begins now; nothing outside of any work.
pub fn step(step: Step) -> Open {
    let at = at();
    let Some(At { work, span: parent }) = at.clone().filter(|at| at.work.record.is_some()) else {
        return Open { at, noted: None };
    };
    let span = RandomIdGenerator::default().new_span_id();
    let from = work.since.elapsed();
    let noted = Noted { parent, step, from, error: Some("cut_off") };
    Open { at: Some(At { work, span }), noted: Some(noted) }
}

/// The trace at hand, as others are told of it.
pub fn trace() -> Context {
    told(at().as_ref())
}

/// The trace at hand by its id, 32 hexadecimal digits, as logs and registries are told of it; `None` if there is none.
pub fn trace_id() -> Option<String> {
    context().map(|context| context.trace_id().to_string())
}

/// The trace and the span at hand, if any is.
pub(super) fn context() -> Option<SpanContext> {
    at().map(|at| at.context()).filter(SpanContext::is_valid)
}

impl At {
    fn context(&self) -> SpanContext {
        let whole = &self.work.context;
        let (trace, flags) = (whole.trace_id(), whole.trace_flags());
        SpanContext::new(trace, self.span, flags, false, whole.trace_state().clone())
    }
}

pub(super) fn told(at: Option<&At>) -> Context {
    let context = at.map_or_else(|| SpanContext::NONE.clone(), At::context);
    Context::new().with_remote_span_context(context)
}

fn at() -> Option<At> {
    AT.try_with(Option::clone).ok().flatten()
}

/// Works in the trace that a `traceparent` names, or in a new one.
#[cfg(test)]
pub(super) fn scoped<T>(traceparent: &str, work: impl FnOnce() -> T) -> T {
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", traceparent.parse().unwrap());
    let arrival = Arrival::http(&http::Method::POST, "/", http::Version::HTTP_11, &headers);
    let whole = Whole::begin(arrival.parent, None, Piece::Exchange(Way::Tcp));
    let at = At { span: whole.0.context.span_id(), work: Arc::clone(&whole.0) };
    AT.sync_scope(Some(at), work)
}
