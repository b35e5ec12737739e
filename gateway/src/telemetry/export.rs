//! The way of kept traces to their collector: a queue with bounded room, and a task that empties it.
//!
//! An exchange puts its spans there and goes on; whoever finds no room is lost, and counted. A collector that is away is
//! tried again and again with what was to be sent first, and meanwhile the queue fills.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Lost, Metrics,
    collector::{Collector, NotTaken},
};
use crate::retry::Delays;

/// Where exchanges leave their spans.
#[derive(Debug)]
pub(super) struct Queue {
    /// A permit a byte.
    room: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<Waiting>,
    metrics: Metrics,
}

/// The spans of one trace.
#[derive(Debug)]
struct Waiting {
    spans: Vec<Span>,
    bytes: u32,
    /// Given back once they have left.
    _room: OwnedSemaphorePermit,
}

/// A queue with room for so many bytes, and its other end.
pub(super) fn queue(bytes_max: u32, metrics: Metrics) -> (Queue, Exporter) {
    let (sender, waiting) = mpsc::unbounded_channel();
    let room = usize::try_from(bytes_max).unwrap_or(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
    (Queue { room, sender, metrics: metrics.clone() }, Exporter { waiting, metrics })
}

impl Queue {
    /// Takes one trace's spans, if there is room.
    pub(super) fn offer(&self, spans: Vec<Span>) {
        let bytes: usize = spans.iter().map(Message::encoded_len).sum();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let sent = Arc::clone(&self.room)
            .try_acquire_many_owned(bytes)
            .ok()
            .and_then(|room| self.sender.send(Waiting { spans, bytes, _room: room }).ok());
        if sent.is_none() {
            self.metrics.traces_lost(Lost::QueueFull, 1);
        }
    }
}

/// Empties the queue.
#[derive(Debug)]
pub(super) struct Exporter {
    waiting: mpsc::UnboundedReceiver<Waiting>,
    metrics: Metrics,
}

/// How long the first trace waits for others to go with it.
const LINGER: Duration = Duration::from_millis(200);

/// How much goes together. Collectors take 4 MiB.
const TOGETHER_BYTES: u32 = 1024 * 1024;

/// How long the collector may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The delays before a collector that is away is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

impl Exporter {
    /// Hands over what comes, until `stop` is cancelled; then what has come by then, if the collector takes it at once.
    pub(super) async fn run(
        mut self,
        mut collector: Collector,
        resource: Resource,
        stop: CancellationToken,
    ) {
        while let Some(first) = self.next(&stop).await {
            if self.waiting.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(LINGER) => {}
                }
            }
            let (mut bytes, mut together) = (first.bytes, vec![first]);
            while bytes < TOGETHER_BYTES
                && let Ok(more) = self.waiting.try_recv()
            {
                bytes = bytes.saturating_add(more.bytes);
                together.push(more);
            }
            self.hand_over(&mut collector, &resource, together, &stop).await;
        }
    }

    async fn next(&mut self, stop: &CancellationToken) -> Option<Waiting> {
        tokio::select! {
            biased;
            first = self.waiting.recv() => first,
            () = stop.cancelled() => self.waiting.try_recv().ok(),
        }
    }

    /// Hands traces over, again and again while the collector is away. They keep their room until then.
    async fn hand_over(
        &self,
        collector: &mut Collector,
        resource: &Resource,
        mut together: Vec<Waiting>,
        stop: &CancellationToken,
    ) {
        let count = u64::try_from(together.len()).unwrap_or(u64::MAX);
        let spans = together.iter_mut().flat_map(|it| std::mem::take(&mut it.spans)).collect();
        let request = request(spans, resource);
        let mut delays = Delays::growing(AGAIN.0, AGAIN.1);
        let mut is_away = false;
        loop {
            let taken = timeout(ANSWER_MAX, collector.take(&request)).await;
            let error = match taken.unwrap_or(Err(NotTaken::Late)) {
                Ok(()) => {
                    if is_away {
                        tracing::info!("the collector of traces takes them again");
                    }
                    return;
                }
                Err(error) => error,
            };
            if !error.may_pass() || stop.is_cancelled() {
                tracing::warn!(error = &error as &dyn std::error::Error, count, "traces are lost");
                return self.metrics.traces_lost(Lost::NotTaken, count);
            }
            if !is_away {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the collector of traces does not take them");
            }
            is_away = true;
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(delays.next_delay()) => {}
            }
        }
    }
}

fn request(spans: Vec<Span>, resource: &Resource) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "directlink".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let schema_url = SCHEMA.to_owned();
    let scope_spans = ScopeSpans { scope: Some(scope), spans, schema_url };
    let resource_spans = ResourceSpans {
        resource: Some(resource.clone()),
        scope_spans: vec![scope_spans],
        schema_url: SCHEMA.to_owned(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// Whose names attributes have.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.39.0";

#[cfg(test)]
mod tests;
