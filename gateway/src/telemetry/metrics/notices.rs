//! Notices to subscribers.

use opentelemetry::KeyValue;

use super::Metrics;
use crate::ledger::notices::Standing;

impl Metrics {
    /// A notice was to be sent.
    pub fn noticed(&self, subscriber: &str, end: Noticed) {
        let labels =
            [KeyValue::new("subscriber", subscriber.to_owned()), KeyValue::new("end", end.label())];
        self.0.notices.add(1, &labels);
    }

    /// So many notices were parked.
    pub fn parked(&self, subscriber: &str, count: u64) {
        let labels = [KeyValue::new("subscriber", subscriber.to_owned())];
        self.0.notices_parked.add(count, &labels);
    }

    /// How a subscriber stands just now.
    pub fn standing(&self, standing: &Standing) {
        let labels = [KeyValue::new("subscriber", standing.subscriber.clone())];
        let undelivered = standing.waiting.saturating_add(standing.unread);
        self.0.notices_waiting.record(undelivered, &labels);
        self.0.notices_parked_now.record(standing.parked, &labels);
        self.0.notices_oldest.record(standing.oldest.unwrap_or_default().as_secs(), &labels);
        self.0.subscribers_ended.record(u64::from(standing.ended), &labels);
    }
}

/// What became of a notice that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// It was taken.
    Delivered,
    /// The subscriber would not take it.
    NotTaken,
    /// The subscriber was not there, or takes nothing now.
    Away,
    /// Every address of it lies where settings do not allow.
    NotAllowed,
    /// The subscriber wants no more.
    Gone,
    /// The contract cannot say it.
    Unwritten,
}

impl Noticed {
    fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NotTaken => "not_taken",
            Self::Away => "away",
            Self::NotAllowed => "not_allowed",
            Self::Gone => "gone",
            Self::Unwritten => "unwritten",
        }
    }
}
