//! Traces that did not reach their collector.

use opentelemetry::KeyValue;

use super::Metrics;

impl Metrics {
    /// So many traces that were to be kept are lost.
    pub fn traces_lost(&self, why: Lost, count: u64) {
        self.0.traces_lost.add(count, &[KeyValue::new("why", why.label())]);
    }
}

/// Why a trace is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// As much is waiting for the collector as may.
    QueueFull,
    /// The collector would not take it, or the gateway stopped before it did.
    NotTaken,
}

impl Lost {
    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotTaken => "not_taken",
        }
    }
}
