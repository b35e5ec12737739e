//! Finds out what became of filings whose outcome is unknown, by asking their registry by key.
//!
//! One task a registry, so that a slow one holds up nobody else's; within it several questions are under way at a time,
//! so that a slow key holds up no other. Work is taken from the ledger under leases: any number of replicas may run
//! this. It never sends an application: that is the bank's retry.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::BoxFuture,
    stream::{self, Stream, StreamExt},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Gateway,
    fault::{self, Point},
    integrity,
    ledger::{Entry, LedgerError},
    registry::{CallError, Purpose, Registry, Shut, Testimony},
    retry, settings,
    telemetry::{self, Later, LedgerVerb},
};

/// Asks one registry until `stop` is cancelled; what is under way then is finished.
///
/// Dropped in the middle, entries stay under their leases and are taken again once those have run out.
pub async fn resolve(
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Resolver,
    stop: CancellationToken,
) {
    let resolver = Resolver { gateway, registry, settings };
    tokio::join!(resolver.ask_all(&stop), resolver.count(&stop));
}

struct Resolver {
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Resolver,
}

/// How often it is counted how much is unknown.
const COUNT_EVERY: Duration = Duration::from_secs(5);

impl Resolver {
    /// Asks about whatever is due. A future of a named type: the compiler cannot tell otherwise that it may be sent.
    fn ask_all<'r>(&'r self, stop: &'r CancellationToken) -> BoxFuture<'r, ()> {
        let asks_max = self.settings.asks_max;
        let ask = async |entry: Entry| {
            let (institution, key) = (entry.institution.clone(), entry.key.clone());
            telemetry::later(Later::Resolve, &institution, &key, self.ask(entry), |()| None).await;
        };
        self.due(stop).for_each_concurrent(asks_max, ask).boxed()
    }

    /// Filings whose turn has come, each taken when it can be asked about at once, and no faster than settings say. Ends
    /// once `stop` is cancelled.
    fn due<'r>(&'r self, stop: &'r CancellationToken) -> impl Stream<Item = Entry> + 'r {
        let pace = Duration::from_secs(1) / self.settings.asks_per_second_max.max(1);
        stream::unfold(Duration::ZERO, move |mut idle_for| async move {
            while idles(idle_for, stop).await {
                if let Err(Shut::Paused { retry_after }) = self.registry.is_open(Purpose::Resolving)
                {
                    idle_for = retry_after;
                    continue;
                }
                idle_for = match self.take().await {
                    Ok(Some(entry)) => return Some((entry, pace)),
                    Ok(None) => self.settings.first,
                    Err(error) => {
                        self.failed(&error);
                        self.settings.longest
                    }
                };
            }
            None
        })
    }

    /// One filing for one lease, so that none waits under its lease for those before it.
    async fn take(&self) -> Result<Option<Entry>, LedgerError> {
        let ledger = &self.gateway.ledger;
        let due = ledger.claim_due(self.registry.name(), 1, self.gateway.lease);
        Ok(self.gateway.timed(LedgerVerb::ClaimDue, due).await?.pop())
    }

    async fn ask(&self, entry: Entry) {
        fault::point(Point::DueTaken);
        let caller = Registry::on_behalf_of(&entry.institution);
        let answer = self.registry.case_by_key(&entry.key, &caller).await;
        fault::point(Point::Asked);
        let noted = match answer {
            Ok(Some(testimony)) => {
                tracing::info!(registry = self.registry.name(), "an unknown outcome was found out");
                let settled = self.settle(&entry, testimony).await;
                fault::point(Point::Resolved);
                settled
            }
            // Not known now does not prove that an earlier call is not still on its way: nobody may be told that nothing
            // was sent. A bank that comes again has it sent again, where that cannot register twice.
            Ok(None) => self.put_off(&entry).await,
            Err(
                error @ (CallError::Shut(_)
                | CallError::NotSent(_)
                | CallError::NoAnswer(_)
                | CallError::Rejected(_)),
            ) => {
                tracing::warn!(registry = self.registry.name(), %error, "an unknown outcome stays unknown");
                self.put_off(&entry).await
            }
        };
        if let Err(error) = noted {
            self.failed(&error);
        }
    }

    /// Records what was found out, compared with what was asked for.
    async fn settle(&self, entry: &Entry, testimony: Testimony) -> Result<(), LedgerError> {
        let ledger = &self.gateway.ledger;
        let asked = ledger.asked(&entry.institution, &entry.key);
        let asked = self.gateway.timed(LedgerVerb::Find, asked).await?;
        let outcome = integrity::judged(testimony, asked.as_ref());
        let of = (entry.institution.as_str(), entry.key.as_str());
        integrity::tell_operators(&self.gateway.metrics, self.registry.name(), of, &outcome);
        let follow_up = self.gateway.first_look(self.registry.name(), &outcome);
        let settle = ledger.settle(entry, &outcome, follow_up);
        self.gateway.timed(LedgerVerb::Settle, settle).await
    }

    async fn put_off(&self, entry: &Entry) -> Result<(), LedgerError> {
        let ledger = &self.gateway.ledger;
        if gives_up(&self.gateway, entry).await? {
            return Ok(());
        }
        let attempt = u32::try_from(entry.attempt).unwrap_or(u32::MAX);
        let delay = retry::delay_of(attempt, self.settings.first, self.settings.longest);
        let deferred = self.gateway.timed(LedgerVerb::Defer, ledger.defer(entry, delay)).await;
        fault::point(Point::Deferred);
        deferred
    }

    /// Says again and again how much is unknown at this registry.
    async fn count(&self, stop: &CancellationToken) {
        let mut idle_for = Duration::ZERO;
        while idles(idle_for, stop).await {
            let unknown = self.gateway.ledger.unknown(self.registry.name());
            match self.gateway.timed(LedgerVerb::Unknown, unknown).await {
                Ok(unknown) => self.gateway.metrics.unknown(self.registry.name(), unknown),
                Err(error) => self.failed(&error),
            }
            idle_for = COUNT_EVERY;
        }
    }

    fn failed(&self, error: &LedgerError) {
        tracing::error!(
            registry = self.registry.name(),
            error = error as &dyn std::error::Error,
            "the resolver cannot use the ledger"
        );
    }
}

/// Gives a filing up if its registry has been asked for so long that people have to find out; an operator is told, once.
pub(crate) async fn gives_up(gateway: &Gateway, entry: &Entry) -> Result<bool, LedgerError> {
    let found = gateway.ledger.find(&entry.institution, &entry.key);
    let found = gateway.timed(LedgerVerb::Find, found).await?;
    if found.is_none_or(|record| record.age < gateway.give_up_after) {
        return Ok(false);
    }
    if gateway.timed(LedgerVerb::GiveUp, gateway.ledger.give_up(entry)).await? {
        tracing::error!(
            registry = entry.registry,
            office = entry.office,
            institution = entry.institution,
            key = entry.key,
            "an outcome was not found out in time: the registry is not asked any more, somebody has to ask the office"
        );
    }
    Ok(true)
}

/// Waits; false if it is told to stop meanwhile.
async fn idles(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = sleep(time) => true,
    }
}
