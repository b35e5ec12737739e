//! Exemplars: of each kind of message and each bucket of how long it took, the last exchange whose trace was kept. Whoever sees
//! that some took long finds one of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use opentelemetry::trace::TraceId;

use super::{Metrics, instruments::SECONDS};

/// The last of each kind; as many as there are kinds of messages in contracts, times buckets.
#[derive(Debug, Default)]
pub(super) struct Exemplars(Mutex<BTreeMap<String, [Option<Exemplar>; SECONDS.len() + 1]>>);

/// One exchange.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) seconds: f64,
    pub(super) at: SystemTime,
}

impl Metrics {
    /// An exchange of this kind took so long, and its trace was kept.
    pub fn exemplar(&self, message: &str, took: Duration, trace: TraceId) {
        let exemplar = Exemplar { trace, seconds: took.as_secs_f64(), at: SystemTime::now() };
        let bucket = SECONDS.iter().position(|bound| exemplar.seconds <= *bound);
        let mut kinds = self.0.exemplars.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kinds.contains_key(message) {
            kinds.insert(message.to_owned(), [None; SECONDS.len() + 1]);
        }
        let place =
            kinds.get_mut(message).and_then(|it| it.get_mut(bucket.unwrap_or(SECONDS.len())));
        if let Some(place) = place {
            *place = Some(exemplar);
        }
    }
}

impl Exemplars {
    /// That of a kind of message in one of its buckets, counted from 0.
    pub(super) fn of(&self, message: &str, bucket: usize) -> Option<Exemplar> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.get(message).and_then(|kind| *kind.get(bucket)?)
    }
}
