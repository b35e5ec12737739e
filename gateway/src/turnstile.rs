//! Who may have a message answered now: how fast, and how many at a time, each institution may send, and how many
//! messages all of them together may have under way.
//!
//! It lets in or turns back at once; nobody waits here, so nothing queues. It is asked before a message is read, and
//! knows nothing of what one says. Which institutions there are, and what each may, changes with the settings; whoever is inside
//! keeps the account it came with. What a registry has room for is another matter: `registry/gate.rs`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    limits::{Limits, Share},
    settings::Institution,
    telemetry::{Metrics, TurnedBack},
};

/// The turnstile all institutions come through.
#[derive(Debug)]
pub struct Turnstile {
    limits: Limits,
    accounts: ArcSwap<HashMap<String, Arc<Account>>>,
    /// Of all institutions together.
    all_exchanges: Arc<Semaphore>,
    metrics: Metrics,
}

/// What one institution has under way.
#[derive(Debug)]
pub struct Account {
    institution: String,
    share: Share,
    pace: DefaultDirectRateLimiter,
    exchanges: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Of all institutions together.
    all_exchanges: Arc<Semaphore>,
    metrics: Metrics,
}

/// A message's place until it is dropped.
#[derive(Debug)]
pub struct Place {
    _of_institution: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// Why a message is turned back; nothing of it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// The institution sends faster, or has more under way, than it may.
    Institution {
        /// When it may come again.
        retry_after: Duration,
    },
    /// All institutions together have as much under way as the gateway takes.
    Gateway {
        /// When it may come again.
        retry_after: Duration,
    },
}

/// When to come again where only the end of something else makes room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Turnstile {
    /// A turnstile nobody has come through yet.
    pub fn new(limits: &Limits, institutions: &[Arc<Institution>], metrics: &Metrics) -> Self {
        let all_exchanges = Arc::new(Semaphore::new(limits.exchanges_max));
        let (size, taken) = (limits.exchanges_max, Arc::clone(&all_exchanges));
        metrics.watch_exchanges(move || size.saturating_sub(taken.available_permits()));
        let turnstile = Self {
            limits: limits.clone(),
            accounts: ArcSwap::default(),
            all_exchanges,
            metrics: metrics.clone(),
        };
        turnstile.know(institutions);
        turnstile
    }

    /// Has accounts for these institutions from now on. One of which nothing else may be had than before is kept, with all that
    /// is under way.
    pub fn know(&self, institutions: &[Arc<Institution>]) {
        let before = self.accounts.load();
        let account = |institution: &Arc<Institution>| {
            let (id, share) = (&institution.id, self.limits.share_of(institution));
            let kept = before.get(id).filter(|account| account.share == share).map(Arc::clone);
            (id.clone(), kept.unwrap_or_else(|| Arc::new(self.account_of(id, share))))
        };
        self.accounts.store(Arc::new(institutions.iter().map(account).collect()));
    }

    fn account_of(&self, institution: &str, share: Share) -> Account {
        let Share { exchanges_max, connections_max, messages_per_second_max, messages_burst_max } =
            share;
        Account {
            institution: institution.to_owned(),
            share,
            pace: RateLimiter::direct(
                Quota::per_second(messages_per_second_max).allow_burst(messages_burst_max),
            ),
            exchanges: Arc::new(Semaphore::new(exchanges_max)),
            connections: Arc::new(Semaphore::new(connections_max)),
            all_exchanges: Arc::clone(&self.all_exchanges),
            metrics: self.metrics.clone(),
        }
    }

    /// The account of an institution, by its id; `None` if settings do not name it.
    pub fn account(&self, institution: &str) -> Option<Arc<Account>> {
        self.accounts.load().get(institution).cloned()
    }
}

impl Account {
    /// Room for one more connection, until what is returned is dropped; `None` if it has as many as it may.
    pub fn connect(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// Lets one message in.
    ///
    /// # Errors
    /// It may not come in now.
    pub fn enter(&self) -> Result<Place, Busy> {
        if let Err(early) = self.pace.check() {
            let retry_after = early.wait_time_from(DefaultClock::default().now());
            self.metrics.turned_back(&self.institution, TurnedBack::TooFast);
            return Err(Busy::Institution { retry_after });
        }
        let Ok(of_institution) = Arc::clone(&self.exchanges).try_acquire_owned() else {
            self.metrics.turned_back(&self.institution, TurnedBack::TooMany);
            return Err(Busy::Institution { retry_after: RETRY_AFTER });
        };
        let Ok(of_all) = Arc::clone(&self.all_exchanges).try_acquire_owned() else {
            self.metrics.turned_back(&self.institution, TurnedBack::GatewayFull);
            return Err(Busy::Gateway { retry_after: RETRY_AFTER });
        };
        Ok(Place { _of_institution: of_institution, _of_all: of_all })
    }
}

impl Busy {
    /// When to come again.
    pub fn retry_after(self) -> Duration {
        let (Self::Institution { retry_after } | Self::Gateway { retry_after }) = self;
        retry_after
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn institution(id: &str, more: &str) -> Arc<Institution> {
        let text = format!(
            "id = \"{id}\"\nname = \"\"\nkind = \"BANK\"\ncontract = \"\"\n\
             certificate_issuer = \"\"\ncertificate_san = \"\"\n{more}"
        );
        Arc::new(toml::from_str(&text).unwrap())
    }

    fn turnstile(limits: Limits) -> Turnstile {
        let institutions = [
            institution("noisy", ""),
            institution("quiet", ""),
            institution("large", "exchanges_max = 3"),
        ];
        Turnstile::new(&limits, &institutions, &Metrics::new().unwrap())
    }

    /// So many messages at a time as it may have.
    fn fill(account: &Account) -> Vec<Place> {
        std::iter::from_fn(|| account.enter().ok()).take(100).collect()
    }

    #[test]
    fn a_noisy_institution_takes_nothing_from_a_quiet_one() {
        let limits = Limits {
            institution_exchanges_max: 2,
            institution_connections_max: 1,
            ..Limits::default()
        };
        let turnstile = turnstile(limits);
        let noisy = turnstile.account("noisy").unwrap();
        let places = fill(&noisy);
        assert_eq!(places.len(), 2);
        assert_eq!(noisy.enter().err(), Some(Busy::Institution { retry_after: RETRY_AFTER }));
        assert_eq!(fill(&turnstile.account("large").unwrap()).len(), 3, "its own setting holds");
        let _connection = noisy.connect().unwrap();
        assert!(noisy.connect().is_none());

        let quiet = turnstile.account("quiet").unwrap();
        assert!(quiet.enter().is_ok() && quiet.connect().is_some());
        drop(places);
        assert!(noisy.enter().is_ok());
        assert!(turnstile.account("unknown").is_none());
    }

    #[test]
    fn who_sends_too_fast_is_told_when_to_come_again() {
        let one = NonZeroU32::MIN;
        let limits = Limits {
            institution_messages_per_second_max: one,
            institution_messages_burst_max: one,
            ..Limits::default()
        };
        let turnstile = turnstile(limits);
        let noisy = turnstile.account("noisy").unwrap();
        assert!(noisy.enter().is_ok());
        let Err(Busy::Institution { retry_after }) = noisy.enter() else { panic!("let in") };
        assert!(!retry_after.is_zero() && retry_after <= Duration::from_secs(1), "{retry_after:?}");
        assert!(turnstile.account("quiet").unwrap().enter().is_ok());
    }

    #[test]
    fn all_together_have_no_more_under_way_than_the_gateway_takes() {
        let turnstile = turnstile(Limits { exchanges_max: 3, ..Limits::default() });
        let places = fill(&turnstile.account("noisy").unwrap());
        assert_eq!(places.len(), 3);
        let quiet = turnstile.account("quiet").unwrap();
        assert_eq!(quiet.enter().err(), Some(Busy::Gateway { retry_after: RETRY_AFTER }));
        drop(places);
        assert_eq!(fill(&quiet).len(), 3, "who was turned back left nothing taken");
    }
}
