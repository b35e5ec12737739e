//! Hears what registries tell of cases by themselves: their streams of events, for those that have one.
//!
//! One task a registry. Of several replicas one has the watch over a registry's stream, under a lease in the ledger; it goes
//! on from the cursor that the ledger keeps, which moves with what was told, in one transaction, so that nothing is lost
//! or recorded twice whatever dies. What is told is judged by the ledger; of what nobody here has filed nothing is made.
//! It asks nobody anything, and never sets a cursor back.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::stream::StreamExt;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    exchange::Gateway,
    fault::{self, Point},
    ledger::{
        LedgerError,
        events::{Account, Recorded, Watch},
    },
    registry::{CallError, Notice, Registry},
    retry::Delays,
    settings,
    telemetry::{self, Heard, Later, LedgerVerb},
};

/// Hears one registry until `stop` is cancelled.
///
/// Dropped in the middle, what was told is recorded with its cursor, or told again to whoever has the watch next.
pub async fn listen(
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Resolver,
    stop: CancellationToken,
) {
    let listener = Listener { gateway, registry };
    let growing = || Delays::growing(settings.first, settings.longest);
    let mut delays = growing();
    while !stop.is_cancelled() {
        let idle_for = match listener.take_watch().await {
            Ok(Some(watch)) => {
                if listener.keep(watch, &stop).await {
                    delays = growing();
                }
                delays.next_delay()
            }
            // Another replica has it, or had it and died.
            Ok(None) => listener.gateway.lease / 4,
            Err(error) => {
                listener.failed(&error);
                delays.next_delay()
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(idle_for) => {}
        }
    }
}

struct Listener {
    gateway: Arc<Gateway>,
    registry: Registry,
}

/// Events per transaction, at most.
const TOGETHER_MAX: usize = 64;

/// Why a stream is not heard any more.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the registry's stream of events could not be had")]
    NotHad(#[from] CallError),
    #[error("the registry's stream of events broke off: {}", .0.code())]
    BrokeOff(Box<Status>), // Its words are the registry's: names may be in them.
    #[error("what a registry told could not be recorded")]
    Unrecorded(#[from] LedgerError),
    #[error("another replica hears the registry now")]
    Lost,
}

impl Listener {
    async fn take_watch(&self) -> Result<Option<Watch>, LedgerError> {
        let ledger = &self.gateway.ledger;
        let taken = ledger.claim_watch(self.registry.name(), self.gateway.lease);
        self.gateway.timed(LedgerVerb::ClaimWatch, taken).await
    }

    /// Hears the stream for as long as that goes well, and gives the watch back then. Whether anything was heard.
    async fn keep(&self, watch: Watch, stop: &CancellationToken) -> bool {
        let mut heard = false;
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            lost = self.renew(&watch) => Err(lost),
            ended = self.hear(&watch, &mut heard) => ended,
        };
        if let Err(error) = &ended {
            let error = error as &dyn std::error::Error;
            tracing::warn!(registry = self.registry.name(), error, "a registry is not heard");
        }
        let given_back = self.gateway.ledger.keep_watch(&watch, Duration::ZERO);
        // If not, its lease runs out.
        let _given_back = self.gateway.timed(LedgerVerb::KeepWatch, given_back).await;
        heard
    }

    /// Keeps the watch; comes back once it is lost.
    async fn renew(&self, watch: &Watch) -> Ended {
        loop {
            sleep(self.gateway.lease / 3).await;
            let kept = self.gateway.ledger.keep_watch(watch, self.gateway.lease);
            match self.gateway.timed(LedgerVerb::KeepWatch, kept).await {
                Ok(true) => {}
                Ok(false) => return Ended::Lost,
                // What is heard meanwhile is recorded only by who has the watch.
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Hears what is told after the watch's cursor, until the registry ends it.
    async fn hear(&self, watch: &Watch, heard: &mut bool) -> Result<(), Ended> {
        let told = self.registry.watch(&watch.cursor).await?;
        tracing::info!(registry = self.registry.name(), "a registry's events are heard");
        let mut told = told.ready_chunks(TOGETHER_MAX);
        let mut cursor = watch.cursor.clone();
        while let Some(together) = told.next().await {
            let mut notices = Vec::with_capacity(together.len());
            let mut broke_off = Ok(());
            for notice in together {
                match notice {
                    Ok(notice) => notices.push(notice),
                    Err(status) => broke_off = Err(Ended::BrokeOff(Box::new(status))),
                }
            }
            self.take(watch, notices, &mut cursor).await?;
            *heard = true;
            broke_off?;
        }
        Ok(())
    }

    /// Records what was told, each filing once in a transaction, with the cursor after it. What comes without one is
    /// told again if the stream breaks off before the next.
    async fn take(
        &self,
        watch: &Watch,
        notices: Vec<Notice>,
        cursor: &mut String,
    ) -> Result<(), Ended> {
        let (mut accounts, mut named) = (Vec::new(), HashSet::new());
        for Notice { cursor: place, account } in notices {
            if let Some((institution, key, testimony)) = account {
                if !named.insert((institution.clone(), key.clone())) {
                    self.record(watch, &std::mem::take(&mut accounts), cursor).await?;
                    named = HashSet::from([(institution.clone(), key.clone())]);
                }
                let account = self.gateway.account(&self.registry, institution, key, testimony);
                accounts.push(account.await?);
            } else {
                self.gateway.metrics.heard(self.registry.name(), Heard::Unreadable, "");
            }
            if !place.is_empty() {
                *cursor = place;
            }
        }
        self.record(watch, &accounts, cursor).await
    }

    async fn record(&self, watch: &Watch, accounts: &[Account], cursor: &str) -> Result<(), Ended> {
        fault::point(Point::Heard);
        let recorded = self.gateway.ledger.record_watched(watch, accounts, cursor);
        let recorded = self.gateway.timed(LedgerVerb::RecordWatched, recorded).await?;
        fault::point(Point::HeardRecorded);
        let recorded = recorded.ok_or(Ended::Lost)?;
        for (account, recorded) in accounts.iter().zip(&recorded) {
            let of = (account.institution.as_str(), account.key.as_str());
            let told = async { self.told(account, recorded) };
            let judge =
                |_: &()| matches!(recorded, Recorded::Impossible(..)).then_some("impossible");
            telemetry::later(Later::Event, of.0, of.1, told, judge).await;
        }
        Ok(())
    }

    fn told(&self, account: &Account, recorded: &Recorded) {
        let registry = self.registry.name();
        let status = account.outcome.status().as_str_name();
        self.gateway.metrics.heard(registry, Heard::of(recorded), status);
        self.gateway.tell(registry, account, recorded);
        if *recorded == Recorded::Unheard {
            tracing::error!(
                registry,
                institution = account.institution,
                key = account.key,
                case_id = account.outcome.case_id,
                "a registry tells of a case that nobody filed here"
            );
        }
    }

    fn failed(&self, error: &LedgerError) {
        let error = error as &dyn std::error::Error;
        tracing::error!(
            registry = self.registry.name(),
            error,
            "the listener cannot use the ledger"
        );
    }
}
