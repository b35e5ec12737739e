//! The feed of an institution's events: read from a place on, waited for, acknowledged. An institution reads its own alone.

use std::time::{Duration, Instant};

use proto::v1::{self, Ack, Acknowledged, EventKind, Feed, FeedEntry, FeedQuery, Outcome};

use super::Hearing;
use crate::{
    ledger::events::{After, Event, EventId, Kind, Page},
    refusal::{Code, Refusal},
    telemetry::LedgerVerb,
};

impl Hearing<'_> {
    /// What happened after the place that is asked for; if nothing did, and the bank would rather wait, what happens next.
    pub(super) async fn read_feed(&self, query: FeedQuery) -> Result<Feed, Refusal> {
        let FeedQuery { after, limit, wait_seconds } = query;
        let mut after = match after.as_str() {
            "" => After::Acknowledged,
            BEGINNING => After::Event(EventId::NONE),
            id => After::Event(id.parse().map_err(|_no_id| no_event())?),
        };
        let rules = &self.gateway.events;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        let limit = limit.map_or(rules.page_max, |limit| limit.min(rules.page_max));
        let wait = Duration::from_secs(wait_seconds.and_then(|it| it.try_into().ok()).unwrap_or(0));
        let until = Instant::now() + wait.min(rules.wait_max);
        loop {
            let page = self.gateway.ledger.events_after(self.bank.id(), &after, limit);
            let page = self.gateway.timed(LedgerVerb::EventsAfter, page).await;
            let page = page.map_err(|error| self.ledger_away(&error))?;
            let Page::Events { events, next } = page else { return Err(no_event()) };
            let left = until.saturating_duration_since(Instant::now());
            if !events.is_empty()
                || !self.gateway.feeds.when_past(self.bank.id(), next.position(), left).await
            {
                return Ok(self.told(events, next));
            }
            after = After::Event(next);
        }
    }

    /// Notes what the institution has taken of its feed.
    pub(super) async fn acknowledge(&self, ack: Ack) -> Result<Acknowledged, Refusal> {
        let event: EventId = ack.event_id.parse().map_err(|_no_id| no_event())?;
        let ledger = &self.gateway.ledger;
        if ack.accepted == Some(false) {
            // What the bank could not take it reads again.
            tracing::warn!(institution = self.bank.id(), event = %event, "a bank did not take an event");
        } else {
            let noted = ledger.acknowledge(self.bank.id(), &event);
            let noted = self.gateway.timed(LedgerVerb::Acknowledge, noted).await;
            if !noted.map_err(|error| self.ledger_away(&error))? {
                return Err(no_event());
            }
        }
        let mark = ledger.events_after(self.bank.id(), &After::Acknowledged, 0);
        let mark = self.gateway.timed(LedgerVerb::EventsAfter, mark).await;
        match mark.map_err(|error| self.ledger_away(&error))? {
            Page::Events { next, .. } => Ok(Acknowledged { event_id: place(next) }),
            Page::NoSuchPlace => Err(no_event()),
        }
    }

    fn told(&self, events: Vec<Event>, next: EventId) -> Feed {
        let entry = |event: Event| FeedEntry {
            event: Some(v1::Event {
                id: event.id().to_string(),
                sequence: event.sequence,
                kind: kind(event.kind).into(),
                happened_at: Some(event.happened_at.into()),
            }),
            original: self.contract.original_of(&event.key),
            // Nothing was asked that could be answered again.
            outcome: Some(Outcome { replayed: None, ..event.outcome }),
        };
        Feed { events: events.into_iter().map(entry).collect(), next: place(next) }
    }
}

/// A place in a feed, as banks write it.
fn place(id: EventId) -> String {
    if id == EventId::NONE { BEGINNING.to_owned() } else { id.to_string() }
}

fn no_event() -> Refusal {
    Refusal::of(Code::EventUnknown)
}

/// The place before every feed, as banks write it.
const BEGINNING: &str = "start";

fn kind(kind: Kind) -> EventKind {
    match kind {
        Kind::Changed => EventKind::Changed,
        Kind::DeadlineNear => EventKind::DeadlineNear,
    }
}
