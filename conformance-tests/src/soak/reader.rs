//! A bank that reads its feed of events while everything fails: from place to place, at whichever gateway, and from the
//! beginning again now and then. What it reads is judged afterwards with the rest.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use proto::v1::FeedQuery;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{SETTLING_TIME_MAX, Shared, traffic::Speaker};
use crate::{
    fake_bank::{FakeBank, Heard, Line as Connection, travelled},
    history::{Bytes, Event, Line},
};

/// The reader of one bank's feed.
pub(super) struct Reader {
    shared: Arc<Shared>,
    speaker: Arc<Speaker>,
    banks: Vec<FakeBank>,
    line: Option<Connection>,
    rng: StdRng,
    reading: u64,
    place: String,
}

/// The place before every feed.
const BEGINNING: &str = "start";

impl Reader {
    pub(super) fn new(
        shared: Arc<Shared>,
        speaker: Arc<Speaker>,
        banks: Vec<FakeBank>,
        seed: u64,
    ) -> Self {
        let (rng, place) = (StdRng::seed_from_u64(seed ^ 4), BEGINNING.to_owned());
        Self { shared, speaker, banks, line: None, rng, reading: 0, place }
    }

    /// Reads until it is over, and then to the end.
    pub(super) async fn work(mut self) -> anyhow::Result<()> {
        let mut deadline = None;
        loop {
            if self.shared.over.is_cancelled() {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + SETTLING_TIME_MAX);
                if Instant::now() >= deadline {
                    return Ok(());
                }
            }
            match self.read().await? {
                Some(true) => {}
                Some(false) if deadline.is_some() => return Ok(()),
                Some(false) => {}
                None => sleep(Duration::from_millis(50)).await,
            }
            if deadline.is_none() && self.rng.random_bool(0.02) {
                self.reading += 1;
                self.place = BEGINNING.to_owned();
            }
        }
    }

    /// Reads a piece, and tells whether there was anything; `None` if nothing was heard.
    async fn read(&mut self) -> anyhow::Result<Option<bool>> {
        let asked = FeedQuery {
            after: self.place.clone(),
            limit: Some(self.rng.random_range(1..40)),
            wait_seconds: Some(1),
        };
        let speaker = Arc::clone(&self.speaker);
        let (message, bytes) = speaker.asks_for_events(asked).context("it reads no events")?;
        let (bytes, contract) = (bytes?, speaker.contract());
        // Another gateway now and then, as behind a load balancer.
        if self.line.is_none() || self.rng.random_bool(0.2) {
            let any = self.rng.random_range(0..self.banks.len());
            self.line = self.banks.get(any).context("no gateway")?.connect().await.ok();
        }
        let heard = match &mut self.line {
            Some(line) => line.ask(Some(message), bytes.clone()).await?,
            None => Heard::Nothing("no connection".to_owned()),
        };
        let mut told = (Bytes::default(), Vec::new());
        let mut is_there = None;
        match heard {
            Heard::Answer { envelope, bytes, .. } => {
                told.0 = Bytes(travelled::heard(&contract, &bytes));
                if let Some(feed) = envelope.feed {
                    told.1 = feed.events.into_iter().map(event).collect();
                    self.place = feed.next;
                    is_there = Some(!told.1.is_empty());
                }
            }
            Heard::Nothing(_) => self.line = None,
        }
        let (heard, events) = told;
        self.shared.history.write(&Line::Read {
            bank: speaker.bank().to_owned(),
            reading: self.reading,
            sent: Bytes(travelled::sent(&contract, &bytes)),
            heard,
            events,
        })?;
        Ok(is_there)
    }
}

fn event(entry: proto::v1::FeedEntry) -> Event {
    let (event, outcome) = (entry.event.unwrap_or_default(), entry.outcome.unwrap_or_default());
    Event {
        id: event.id,
        number: event.sequence,
        status: outcome.status().as_str_name().trim_start_matches("CASE_STATUS_").to_owned(),
        case: outcome.case_id,
    }
}
