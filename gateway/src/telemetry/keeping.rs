//! Which traces are kept: one in so many, and all that went wrong, are unknown or took long. Decided once a piece of work is
//! done, when that is known.

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanKind, TraceContextExt, TraceId},
};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};

use super::export::Queue;

/// How it is decided, and who is handed what is kept; set once, by [`super::Telemetry::start`], if traces are exported.
static KEEPING: OnceLock<Keeping> = OnceLock::new();

/// What is kept, and where it goes.
#[derive(Debug)]
pub(super) struct Keeping {
    sampler: Sampler,
    slow: Duration,
    queue: Queue,
}

impl Keeping {
    /// A bank that traces decides for its own exchanges; otherwise one in so many is kept, none if 0; and what takes longer
    /// than `slow`.
    pub(super) fn new(one_in: u32, slow: Duration, queue: Queue) -> Self {
        let sampler = Sampler::ParentBased(Box::new(match one_in {
            0 => Sampler::AlwaysOff,
            1 => Sampler::AlwaysOn,
            several => Sampler::TraceIdRatioBased(f64::from(several).recip()),
        }));
        Self { sampler, slow, queue }
    }

    /// Decides from now on.
    pub(super) fn begin(self) {
        // Nobody can start telemetry twice.
        let _set_before = KEEPING.set(self);
    }
}

/// Why a trace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It was its turn, or its bank said so.
    Sampled,
    /// Something went wrong.
    Error,
    /// What became of the filing is unknown.
    Unknown,
    /// It took long.
    Slow,
}

impl Kept {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Sampled => "sampled",
            Self::Error => "error",
            Self::Unknown => "unknown",
            Self::Slow => "slow",
        }
    }
}

/// Whether anything is exported at all.
pub(super) fn is_exporting() -> bool {
    KEEPING.get().is_some()
}

/// Whether a trace is kept whatever becomes of the work, as others are told.
pub(super) fn samples(parent: &SpanContext, trace: TraceId) -> bool {
    let Some(keeping) = KEEPING.get() else { return false };
    let parent = parent.is_valid().then(|| Context::new().with_remote_span_context(parent.clone()));
    let kind = SpanKind::Server;
    let decided = keeping.sampler.should_sample(parent.as_ref(), trace, "", &kind, &[], &[]);
    match decided.decision {
        SamplingDecision::RecordAndSample | SamplingDecision::RecordOnly => true,
        SamplingDecision::Drop => false,
    }
}

/// Why a piece of work is kept that is done; `None` if it is not.
pub(super) fn verdict(
    context: &SpanContext,
    is_error: bool,
    is_unknown: bool,
    took: Duration,
) -> Option<Kept> {
    let slow = KEEPING.get()?.slow;
    match () {
        () if is_unknown => Some(Kept::Unknown),
        () if is_error => Some(Kept::Error),
        () if took >= slow => Some(Kept::Slow),
        () if context.is_sampled() => Some(Kept::Sampled),
        () => None,
    }
}

/// Hands over what is kept. Nobody waits: what finds no room is lost, and counted.
pub(super) fn keep(spans: Vec<Span>) {
    if let Some(keeping) = KEEPING.get() {
        keeping.queue.offer(spans);
    }
}
