//! Sends the filings that wait for their office once it is open: in the order they came, none before an earlier one for the
//! same property is answered, and no faster than the office takes them.
//!
//! Work is taken from the ledger under leases, one filing at a time, and the ledger keeps each office's pace: any number of
//! replicas may run this. What the queue sends is the queue's until it is settled or given up; the resolver does not touch
//! it. Whatever happens to this process, a filing is waiting, or leased, or may have been sent: then its registry is asked
//! by key first.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderValue;
use proto::v1::{Application, Outcome};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Gateway,
    fault::{self, Point},
    integrity,
    ledger::{Entry, LedgerError, Opening, Taken},
    refusal::{Code, Refusal},
    registry::{CallError, Caller, Purpose, Registry, Shut, Testimony},
    resolver, retry,
    seal::Seals,
    settings::{self, Office},
    telemetry::{self, Later, LedgerVerb},
};

mod papers;

/// Opens the queue of every office that is open, until `stop` is cancelled; what is being sent then is finished.
pub async fn open(
    gateway: Arc<Gateway>,
    seals: Arc<Seals>,
    settings: settings::Resolver,
    stop: CancellationToken,
) {
    let opener =
        Arc::new(Opener { gateway, seals, settings, stop, handed: papers::Handed::default() });
    let mut counters = JoinSet::new();
    let mut by_office: HashMap<String, AbortHandle> = HashMap::new();
    while !opener.stop.is_cancelled() {
        for office in opener.waiting().await {
            let runs = by_office.get(&office.code).is_some_and(|task| !task.is_finished());
            if !runs && opener.gateway.is_open(&office) {
                let (opener, code) = (Arc::clone(&opener), office.code.clone());
                let counter = counters.spawn(async move { opener.serve(&office.code).await });
                by_office.insert(code, counter);
            }
        }
        while counters.try_join_next().is_some() {}
        tokio::select! {
            () = opener.stop.cancelled() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
    while counters.join_next().await.is_some() {}
}

/// How often it is looked for offices that filings wait for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How many filings of one office are under way at a time, from each replica.
const AT_A_TIME: usize = 16;

/// How long to wait for a filing whose turn has not come, while others are under way.
const BREATH: Duration = Duration::from_millis(20);

struct Opener {
    gateway: Arc<Gateway>,
    seals: Arc<Seals>,
    settings: settings::Resolver,
    stop: CancellationToken,
    /// What was handed over already, so that papers that take longer than a lease get there in the end.
    handed: papers::Handed,
}

impl Opener {
    /// The offices that filings wait for, as far as they are in settings.
    async fn waiting(&self) -> Vec<Arc<Office>> {
        let queued = self.gateway.ledger.queued();
        let queued = match self.gateway.timed(LedgerVerb::Queued, queued).await {
            Ok(queued) => queued,
            Err(error) => {
                failed(&error);
                return Vec::new();
            }
        };
        self.gateway.metrics.queued(&queued);
        let offices = self.gateway.directory().route.offices();
        let waiting = queued.into_iter().filter_map(|(code, count)| {
            let office = offices.iter().find(|office| office.code == code);
            if office.is_none() {
                tracing::error!(
                    office = code,
                    count,
                    "filings wait for an office that is in settings no more"
                );
            }
            office.cloned()
        });
        waiting.collect()
    }

    /// The office of that code, as it is now.
    fn office(&self, code: &str) -> Option<Arc<Office>> {
        self.gateway.directory().route.named(code).cloned()
    }

    /// Sends what waits for one office, until nothing of it can be sent now.
    async fn serve(self: Arc<Self>, code: &str) {
        let mut under_way = JoinSet::new();
        // As the office is each time: it may move to another registry, or close, in the middle.
        while !self.stop.is_cancelled()
            && let Some(office) = self.office(code)
            && self.gateway.is_open(&office)
        {
            let interval = office.queue_interval();
            while under_way.len() >= AT_A_TIME {
                under_way.join_next().await;
            }
            let begun = Instant::now();
            let pause = match self.take(&office, interval).await {
                Ok(Some(taken)) => {
                    let opener = Arc::clone(&self);
                    // By the ledger its lease began no earlier.
                    let leased_until = begun + self.gateway.lease;
                    under_way.spawn(async move { opener.send(taken, leased_until).await });
                    // The ledger keeps the pace; who took long to take it need not wait as long again.
                    interval.saturating_sub(begun.elapsed())
                }
                Ok(None) if under_way.is_empty() => break,
                Ok(None) => BREATH,
                Err(Held::Shut(retry_after)) => retry_after,
                Err(Held::Ledger(error)) => {
                    failed(&error);
                    self.settings.first
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    }

    /// One filing for one lease, so that none waits under its lease for those before it.
    async fn take(&self, office: &Office, interval: Duration) -> Result<Option<Taken>, Held> {
        let directory = self.gateway.directory();
        let Some(registry) = directory.registry(&office.registry) else {
            return Ok(None);
        };
        if let Err(Shut::Paused { retry_after }) = registry.is_open(Purpose::Filing) {
            return Err(Held::Shut(retry_after));
        }
        let opening = Opening {
            office: office.code.clone(),
            registry: office.registry.clone(),
            lease: self.gateway.lease,
            interval,
        };
        let taken = self.gateway.ledger.claim_queued(&opening);
        let taken = self.gateway.timed(LedgerVerb::ClaimQueued, taken).await;
        taken.map_err(Held::Ledger)
    }

    async fn send(&self, taken: Taken, leased_until: Instant) {
        fault::point(Point::QueueTaken);
        let (institution, key) = (taken.entry.institution.clone(), taken.entry.key.clone());
        let trouble = |done: &Result<(), LedgerError>| done.as_ref().err().map(LedgerError::label);
        let sending = self.settle_or_put_off(taken, leased_until);
        let sent = telemetry::later(Later::Open, &institution, &key, sending, trouble).await;
        if let Err(error) = sent {
            // The lease runs out, and it is taken again.
            failed(&error);
        }
    }

    async fn settle_or_put_off(
        &self,
        taken: Taken,
        leased_until: Instant,
    ) -> Result<(), LedgerError> {
        let Taken { entry, ask_first, sealed } = taken;
        let kept = self.seals.open(&entry.institution, &entry.key, &sealed);
        let kept = kept.inspect_err(|error| {
            tracing::error!(
                institution = entry.institution, key = entry.key, %error,
                "a filing that waits cannot be opened"
            );
        });
        let directory = self.gateway.directory();
        let registry = directory.registry(&entry.registry);
        if registry.is_none() {
            tracing::error!(
                registry = entry.registry,
                "a queued filing's registry is in settings no more"
            );
        }
        let (Ok(kept), Some(registry)) = (kept, registry) else {
            return self.put_off(&entry, ask_first).await;
        };
        let (application, papers_at) = (kept.application.unwrap_or_default(), kept.papers_at);
        let caller = Caller {
            institution: application.institution.clone().unwrap_or_default(),
            client_cert: HeaderValue::from_bytes(&kept.client_cert).ok(),
        };
        if ask_first {
            let asked = registry.case_by_key(&entry.key, &caller).await;
            fault::point(Point::QueueAsked);
            match asked {
                Ok(Some(testimony)) => return self.believe(&entry, testimony).await,
                Ok(None) if registry.resend_after().is_some() => {}
                Ok(None) => return self.put_off(&entry, ask_first).await,
                Err(error) => {
                    tracing::warn!(registry = registry.name(), %error, "a queued filing could not be asked about");
                    return self.put_off(&entry, ask_first).await;
                }
            }
        }
        // What was sealed before this was noted has its papers where it went to.
        if !papers_at.is_empty() && papers_at != registry.name() {
            match self.hand_in(&entry, &application, registry, &caller).await {
                Ok(()) => {}
                Err(papers::Held::Refused(refusal)) if !ask_first => {
                    return self.refuse(&entry, *refusal).await;
                }
                Err(papers::Held::Later | papers::Held::Refused(_)) => {
                    return self.put_off(&entry, ask_first).await;
                }
            }
        }
        if !registry.is_idempotent() || !ask_first {
            let quiet = registry.resend_after().unwrap_or(Duration::MAX);
            let announced = self.gateway.ledger.announce(&entry, quiet);
            if !self.gateway.timed(LedgerVerb::Announce, announced).await? {
                return self.put_off(&entry, ask_first).await;
            }
            fault::point(Point::QueueAnnounced);
        }
        self.submit(&entry, registry, application, &caller, ask_first, leased_until).await
    }

    async fn submit(
        &self,
        entry: &Entry,
        registry: &Registry,
        application: Application,
        caller: &Caller,
        sent_before: bool,
        leased_until: Instant,
    ) -> Result<(), LedgerError> {
        let error = match registry.submit(application, caller, leased_until).await {
            Ok(testimony) => return self.believe(entry, testimony).await,
            Err(error) => error,
        };
        tracing::warn!(registry = registry.name(), %error, "a queued filing was not answered");
        match error {
            CallError::Rejected(_) if !sent_before => {
                // Sent again it would be rejected again, and hold up those behind it.
                self.refuse(entry, Refusal::of(Code::RegistryRejectedCall)).await
            }
            CallError::NoAnswer(_) | CallError::Rejected(_) => self.put_off(entry, true).await,
            CallError::Shut(_) | CallError::NotSent(_) => self.put_off(entry, sent_before).await,
        }
    }

    /// Settles what the registry says, compared with what was asked for.
    async fn believe(&self, entry: &Entry, testimony: Testimony) -> Result<(), LedgerError> {
        let asked = self.gateway.ledger.asked(&entry.institution, &entry.key);
        let asked = self.gateway.timed(LedgerVerb::Find, asked).await?;
        let outcome = integrity::judged(testimony, asked.as_ref());
        let of = (entry.institution.as_str(), entry.key.as_str());
        integrity::tell_operators(&self.gateway.metrics, &entry.registry, of, &outcome);
        self.settle(entry, outcome).await
    }

    /// Settles a refusal of our own. After its lease another may have sent the filing: then it is asked about, as it would
    /// have been without this try.
    async fn refuse(&self, entry: &Entry, refusal: Refusal) -> Result<(), LedgerError> {
        let outcome = Outcome { replayed: Some(false), ..refusal.outcome() };
        fault::point(Point::BeforeQueueSettle);
        let refused = self.gateway.ledger.refuse(entry, &outcome);
        let refused = self.gateway.timed(LedgerVerb::Settle, refused).await?;
        fault::point(Point::QueueSettled);
        match refused {
            true => Ok(()),
            false => self.put_off(entry, true).await,
        }
    }

    async fn settle(&self, entry: &Entry, outcome: Outcome) -> Result<(), LedgerError> {
        let outcome = Outcome { replayed: Some(false), ..outcome };
        fault::point(Point::BeforeQueueSettle);
        let follow_up = self.gateway.first_look(&entry.registry, &outcome);
        let settled = self.gateway.ledger.settle(entry, &outcome, follow_up);
        let settled = self.gateway.timed(LedgerVerb::Settle, settled).await;
        fault::point(Point::QueueSettled);
        settled
    }

    /// It is tried again later: as what waits, if nothing of it was ever sent, and else as what may have been sent.
    async fn put_off(&self, entry: &Entry, may_have_been_sent: bool) -> Result<(), LedgerError> {
        if may_have_been_sent && resolver::gives_up(&self.gateway, entry).await? {
            return Ok(());
        }
        let attempt = u32::try_from(entry.attempt).unwrap_or(u32::MAX);
        let delay = retry::delay_of(attempt, self.settings.first, self.settings.longest);
        let ledger = &self.gateway.ledger;
        fault::point(Point::BeforeRequeue);
        match may_have_been_sent {
            true => self.gateway.timed(LedgerVerb::Defer, ledger.defer(entry, delay)).await,
            false => self.gateway.timed(LedgerVerb::Requeue, ledger.requeue(entry, delay)).await,
        }
    }
}

/// Why nothing is taken now.
enum Held {
    /// The registry is left alone for so long.
    Shut(Duration),
    Ledger(LedgerError),
}

fn failed(error: &LedgerError) {
    tracing::error!(error = error as &dyn std::error::Error, "the queue cannot use the ledger");
}
