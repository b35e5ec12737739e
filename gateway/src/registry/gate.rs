//! Who may call a registry now: not while it is in trouble, and no more at a time than it has room for.
//!
//! Each registry has its own gate, so that a slow or dead one holds nobody else's calls up; what waits at it is bounded
//! in number and time. Filings and questions have rooms of their own, and the resolver keeps count of its own calls, so
//! that none of the three can take the others' room. All share what the breaker knows. It calls nobody itself.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::breaker::{Breaker, Change, End, Paused, Permit, Rules};
use crate::{settings::Registry as Settings, telemetry::Metrics};

/// What a registry is to be called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To submit an application.
    Filing,
    /// To answer a bank's question, or to find out about a filing that it repeats.
    Question,
    /// To find out about an unknown outcome, nobody waiting.
    Resolving,
}

/// Why a registry is not called now; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// It did not answer lately and is left alone for a while.
    #[error("the registry did not answer lately: it is left alone for {retry_after:?}")]
    Paused {
        /// How long, at least.
        retry_after: Duration,
    },
    /// As many calls are under way as may be.
    #[error("as many calls to the registry are under way as may be")]
    Full,
}

impl From<Paused> for Shut {
    fn from(paused: Paused) -> Self {
        Self::Paused { retry_after: paused.retry_after }
    }
}

/// The gate of one registry.
pub(super) struct Gate {
    registry: String,
    breaker: Mutex<Breaker>,
    filings: Arc<Room>,
    questions: Arc<Room>,
    metrics: Metrics,
}

impl Gate {
    pub(super) fn new(settings: &Settings, metrics: Metrics) -> Self {
        let rules = Rules { failures_max: settings.failures_max, pause: settings.pause };
        let room = |places| Arc::new(Room::new(places, settings.room_wait));
        let gate = Self {
            registry: settings.name.clone(),
            breaker: Mutex::new(Breaker::new(rules)),
            filings: room(settings.filings_max),
            questions: room(settings.questions_max),
            metrics,
        };
        for (room, purpose) in [(&gate.filings, "filing"), (&gate.questions, "question")] {
            // The question outlives a gate that has another in its place.
            let room = Arc::downgrade(room);
            let taken = move || room.upgrade().map(|room| room.taken());
            gate.metrics.watch_room(&gate.registry, purpose, taken);
        }
        gate.metrics.registry_paused(&gate.registry, 0);
        gate
    }

    /// Whether one could go through at this moment.
    pub(super) fn check(&self, purpose: Purpose) -> Result<(), Shut> {
        let open = self.breaker().check(Instant::now()).map_err(Shut::from);
        let open = open.and_then(|()| match self.room(purpose) {
            Some(room) if room.is_full() => Err(Shut::Full),
            Some(_) | None => Ok(()),
        });
        open.inspect_err(|shut| self.metrics.shut_out(&self.registry, *shut))
    }

    /// Goes through, once there is room. Whoever drops what is returned without a word is taken to have given up.
    pub(super) async fn enter(&self, purpose: Purpose) -> Result<Pass<'_>, Shut> {
        let entered = async {
            self.breaker().check(Instant::now())?;
            let place = match self.room(purpose) {
                Some(room) => Some(room.enter().await.ok_or(Shut::Full)?),
                None => None,
            };
            let permit = self.breaker().admit(Instant::now())?;
            Ok(Pass { gate: self, permit: Some(permit), _place: place })
        };
        entered.await.inspect_err(|shut| self.metrics.shut_out(&self.registry, *shut))
    }

    fn room(&self, purpose: Purpose) -> Option<&Room> {
        match purpose {
            Purpose::Filing => Some(&self.filings),
            Purpose::Question => Some(&self.questions),
            Purpose::Resolving => None,
        }
    }

    fn ended(&self, permit: Permit, end: End) {
        match self.breaker().ended(permit, end, Instant::now()) {
            Change::None => {}
            Change::Paused => {
                tracing::error!(
                    registry = self.registry,
                    "the registry does not answer: it is left alone for a while"
                );
                self.metrics.registry_paused(&self.registry, 1);
            }
            Change::Resumed => {
                tracing::warn!(registry = self.registry, "the registry answers again");
                self.metrics.registry_paused(&self.registry, 0);
            }
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // No code that can panic runs under the lock.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Gate").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// The right to make one call.
pub(super) struct Pass<'g> {
    gate: &'g Gate,
    /// `None` once the gate was told how the call ended.
    permit: Option<Permit>,
    _place: Option<SemaphorePermit<'g>>,
}

impl Pass<'_> {
    /// Tells how the call ended.
    pub(super) fn ended(mut self, end: End) {
        if let Some(permit) = self.permit.take() {
            self.gate.ended(permit, end);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.gate.ended(permit, End::Abandoned);
        }
    }
}

/// So many places; when all are taken, as many again may wait for one, for a while.
struct Room {
    size: usize,
    places: Semaphore,
    waiting: Semaphore,
    wait: Duration,
}

impl Room {
    fn new(size: usize, wait: Duration) -> Self {
        Self { size, places: Semaphore::new(size), waiting: Semaphore::new(size), wait }
    }

    async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(place) = self.places.try_acquire() {
            return Some(place);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        timeout(self.wait, self.places.acquire()).await.ok()?.ok()
    }

    fn is_full(&self) -> bool {
        self.waiting.available_permits() == 0
    }

    fn taken(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn gate() -> Gate {
        let settings = r#"
            name = "north"
            address = "https://127.0.0.1:1"
            server_name = "north.example"
            ca = "ca.pem"
            certificate = "own.pem"
            key = "own.key"
            filings_max = 1
            questions_max = 1
            failures_max = 1
        "#;
        let settings = toml::from_str::<Settings>(settings).unwrap();
        let settings = Settings { room_wait: Duration::from_millis(1), ..settings };
        Gate::new(&settings, Metrics::new().unwrap())
    }

    #[tokio::test]
    async fn neither_filings_nor_questions_nor_the_resolver_take_each_others_room() {
        let gate = gate();
        let _filing = gate.enter(Purpose::Filing).await.ok().unwrap();
        assert_eq!(gate.enter(Purpose::Filing).await.err(), Some(Shut::Full));
        let _question = gate.enter(Purpose::Question).await.ok().unwrap();
        assert_eq!(gate.enter(Purpose::Question).await.err(), Some(Shut::Full));
        assert!(gate.enter(Purpose::Resolving).await.is_ok());
        assert!(gate.enter(Purpose::Resolving).await.is_ok());
    }

    #[tokio::test]
    async fn what_one_call_finds_out_holds_for_all() {
        let gate = gate();
        gate.enter(Purpose::Resolving).await.ok().unwrap().ended(End::Failed);
        for purpose in [Purpose::Filing, Purpose::Question, Purpose::Resolving] {
            assert!(matches!(gate.check(purpose), Err(Shut::Paused { .. })));
            assert!(matches!(gate.enter(purpose).await, Err(Shut::Paused { .. })));
        }
        assert_eq!((gate.filings.taken(), gate.questions.taken()), (0, 0));
    }

    #[tokio::test]
    async fn a_full_room_lets_as_many_wait_as_it_holds() {
        let room = Room::new(1, Duration::from_secs(60));
        let place = room.enter().await.unwrap();
        let mut waits = Box::pin(room.enter());
        assert!((&mut waits).now_or_never().is_none(), "it waits");
        assert!(room.is_full());
        assert!(room.enter().now_or_never().is_some_and(|told| told.is_none()), "no third");
        drop(place);
        let place = waits.await;
        assert!(place.is_some() && !room.is_full());
        assert_eq!(room.taken(), 1);
        drop(place);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_long() {
        let room = Room::new(1, Duration::from_millis(1));
        let place = room.enter().await;
        assert!(room.enter().await.is_none(), "in vain");
        drop(place);
        assert!(room.enter().await.is_some());
    }
}
