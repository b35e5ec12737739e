//! Waiting for events: readers of feeds who would rather wait than come again.
//!
//! While anybody waits, one task of this process looks at short intervals how far all feeds have come, whoever wrote to
//! them, and wakes those who wait for more: one small query for all of them together, and none while nobody waits. How
//! many may wait is bounded, for each institution and for all, since each keeps its place among messages being answered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{exchange::Gateway, ledger::LedgerError, settings, telemetry::LedgerVerb};

/// Who waits, and how far feeds have come.
#[derive(Debug)]
pub struct Feeds {
    /// Position of each feed's last event, as far as is known.
    come: watch::Sender<HashMap<String, i64>>,
    all: Arc<Semaphore>,
    own: Mutex<HashMap<String, Arc<Semaphore>>>,
    own_max: usize,
    /// How many may be waiting together.
    all_max: usize,
    /// Told whenever somebody begins to wait.
    begun: tokio::sync::Notify,
    stopping: CancellationToken,
}

/// How often it is looked while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Feeds {
    /// Nobody waits yet.
    pub fn new(settings: &settings::Events) -> Self {
        Self {
            come: watch::Sender::new(HashMap::new()),
            all: Arc::new(Semaphore::new(settings.waiting_max)),
            own: Mutex::default(),
            own_max: settings.institution_waiting_max,
            all_max: settings.waiting_max,
            begun: tokio::sync::Notify::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Waits until the institution's feed has come past `position`, but no longer than `wait`: whether it has. Comes back at
    /// once if as many wait as may, or the process is about to stop.
    pub(crate) async fn when_past(&self, institution: &str, position: i64, wait: Duration) -> bool {
        let places = if wait.is_zero() { None } else { self.places(institution) };
        let Some(_places) = places else { return false };
        let mut come = self.come.subscribe();
        self.begun.notify_one();
        let past = come.wait_for(|come| come.get(institution).is_some_and(|last| *last > position));
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            past = timeout(wait, past) => matches!(past, Ok(Ok(_))),
        }
    }

    /// Nobody waits any more.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    fn places(&self, institution: &str) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = {
            // No code that can panic runs under the lock.
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let made = || Arc::new(Semaphore::new(self.own_max));
            Arc::clone(own.entry(institution.to_owned()).or_insert_with(made))
        };
        let own = own.try_acquire_owned().ok()?;
        Some((own, Arc::clone(&self.all).try_acquire_owned().ok()?))
    }

    fn somebody_waits(&self) -> bool {
        self.all.available_permits() < self.all_max
    }

    fn look(&self, feeds: Vec<crate::ledger::events::Feed>) {
        self.come.send_if_modified(|come| {
            let mut moved = false;
            for feed in feeds {
                let last = come.entry(feed.institution).or_insert(0);
                moved |= *last != feed.last;
                *last = feed.last;
            }
            moved
        });
    }
}

/// Looks how far feeds have come while somebody waits, until `stop` is cancelled.
pub async fn look(gateway: Arc<Gateway>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if !gateway.feeds.somebody_waits() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = gateway.feeds.begun.notified() => {}
            }
        }
        let feeds = gateway.timed(LedgerVerb::Feeds, gateway.ledger.feeds()).await;
        match feeds {
            Ok(feeds) => gateway.feeds.look(feeds),
            Err(error) => failed(&error),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

fn failed(error: &LedgerError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "it cannot be seen how far feeds have come");
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::ledger::events::Feed;

    fn feeds() -> Feeds {
        Feeds::new(&settings::Events {
            waiting_max: 2,
            institution_waiting_max: 1,
            ..settings::Events::default()
        })
    }

    fn come(institution: &str, last: i64) -> Vec<Feed> {
        vec![Feed { institution: institution.to_owned(), last, acknowledged: 0 }]
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_waits_is_woken_by_an_event_of_its_own_feed_alone() {
        let feeds = feeds();
        let mut waits = Box::pin(feeds.when_past("one", 3, LONG));
        assert!((&mut waits).now_or_never().is_none());
        assert!(feeds.somebody_waits());
        feeds.look(come("two", 9));
        feeds.look(come("one", 3));
        assert!((&mut waits).now_or_never().is_none());
        feeds.look(come("one", 4));
        assert!(waits.await);
        assert!(!feeds.somebody_waits());
        assert_eq!(
            feeds.when_past("one", 3, LONG).now_or_never(),
            Some(true),
            "it has come already"
        );
    }

    #[tokio::test]
    async fn no_more_wait_than_may_and_nobody_once_it_stops() {
        let feeds = feeds();
        let mut one = Box::pin(feeds.when_past("one", 0, LONG));
        assert!((&mut one).now_or_never().is_none());
        assert_eq!(
            feeds.when_past("one", 0, LONG).now_or_never(),
            Some(false),
            "one of its own waits"
        );
        let mut two = Box::pin(feeds.when_past("two", 0, LONG));
        assert!((&mut two).now_or_never().is_none());
        assert_eq!(feeds.when_past("three", 0, LONG).now_or_never(), Some(false), "two wait");
        feeds.stop();
        assert!(!one.await && !two.await);
    }
}
