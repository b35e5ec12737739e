//! Sees how cases stand of which a registry tells nothing by itself: those of registries that must be asked, and those whose
//! deadline is near or over.
//!
//! It asks, and records what it is told. That a deadline has passed is no answer: what became of the case then only its
//! registry can say, so it is asked, and nothing is declared here (docs/decisions/0016). Work is taken from the ledger
//! under leases: any number of replicas may run this.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{
    FutureExt,
    future::BoxFuture,
    stream::{self, Stream, StreamExt},
};
use proto::{
    Date,
    v1::{CaseStatus, Outcome},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Gateway,
    fault::{self, Point},
    ledger::{
        LedgerError,
        events::{FollowUp, Recorded},
    },
    matter,
    registry::{Purpose, Registry, Shut},
    retry,
    settings::{self, Answers},
    telemetry::{self, Deadline, Later, LedgerVerb},
};

/// How cases of one registry are followed up.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How the registry lets know what becomes of cases.
    pub answers: Answers,
    /// The greatest delay before it is asked the first time; it doubles from time to time.
    pub first: Duration,
    /// The greatest delay between two times.
    pub longest: Duration,
    /// How long before a deadline the bank is told that it is near.
    pub warn_before: Duration,
}

impl Policy {
    /// After what time it is to be seen how a case stands that has just come to stand so; `None`: not at all.
    pub fn first_look(&self, outcome: &Outcome, now: SystemTime) -> Option<Duration> {
        let polled = self.next_look(outcome, 1);
        let warned = ends_at(outcome).map(|end| until(end, now).saturating_sub(self.warn_before));
        match (polled, warned) {
            (Some(polled), Some(warned)) => Some(polled.min(warned)),
            (polled, warned) => polled.or(warned),
        }
    }

    /// After what time it is to be asked again, the `attempt`-th time, because that is how the registry works.
    fn next_look(&self, outcome: &Outcome, attempt: u32) -> Option<Duration> {
        let status = outcome.status();
        if self.answers != Answers::Polled || matter::is_final(status) {
            return None;
        }
        // What is entered stays so. Its certificate is waited for, but not for ever.
        let tries_worth_while = || {
            let growth = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
            self.first.saturating_mul(growth) < self.longest
        };
        if matter::is_entered(status) && !tries_worth_while() {
            return None;
        }
        Some(retry::delay_of(attempt, self.first, self.longest))
    }

    /// What is to be done about a case that was taken for following up.
    fn plan(&self, follow_up: &FollowUp, now: SystemTime) -> Plan {
        let outcome = follow_up.record.outcome.clone().unwrap_or_default();
        let attempt = u32::try_from(follow_up.attempt).unwrap_or(u32::MAX);
        let polled = self.next_look(&outcome, attempt.saturating_add(1));
        let Some(end) = ends_at(&outcome) else {
            let ask = self.answers == Answers::Polled;
            return Plan { warn: false, ask, over: false, next: polled };
        };
        let left = until(end, now);
        let (warn_in, over) = (left.saturating_sub(self.warn_before), left.is_zero());
        let own = match (over, warn_in.is_zero() || follow_up.warned) {
            (true, _) => retry::delay_of(attempt, self.first, self.longest),
            (false, true) => left,
            (false, false) => warn_in,
        };
        Plan {
            warn: !follow_up.warned && warn_in.is_zero() && !over,
            ask: over || self.answers == Answers::Polled,
            over,
            next: Some(polled.map_or(own, |polled| polled.min(own))),
        }
    }
}

/// What is to be done about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// The bank is told that the deadline is near.
    warn: bool,
    /// Its registry is asked.
    ask: bool,
    /// Its deadline is over.
    over: bool,
    /// When it is seen to again if nothing is new.
    next: Option<Duration>,
}

/// The end of the last day on which a correction (补正) may come, if one is waited for.
fn ends_at(outcome: &Outcome) -> Option<SystemTime> {
    if outcome.status() != CaseStatus::CorrectionRequested {
        return None;
    }
    let last = Date::parse(&outcome.correction.as_ref()?.deadline).ok()?;
    let seconds = (last.days_since_1970() + 1) * 24 * 60 * 60 - EIGHT_HOURS;
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// Asia/Shanghai is that far ahead of UTC.
const EIGHT_HOURS: i64 = 8 * 60 * 60;

fn until(end: SystemTime, now: SystemTime) -> Duration {
    end.duration_since(now).unwrap_or(Duration::ZERO)
}

/// Follows up the cases of one registry until `stop` is cancelled; what is under way then is finished.
///
/// Dropped in the middle, cases stay under their leases and are taken again once those have run out.
pub async fn follow_up(
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Resolver,
    stop: CancellationToken,
) {
    Follower { gateway, registry, settings }.follow_all(&stop).await;
}

struct Follower {
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Resolver,
}

impl Follower {
    /// A future of a named type: the compiler cannot tell otherwise that it may be sent.
    fn follow_all<'f>(&'f self, stop: &'f CancellationToken) -> BoxFuture<'f, ()> {
        let asks_max = self.settings.asks_max;
        self.due(stop).for_each_concurrent(asks_max, |follow_up| self.see(follow_up)).boxed()
    }

    /// Cases whose turn has come, each taken when it can be seen to at once, and no faster than settings say.
    fn due<'f>(&'f self, stop: &'f CancellationToken) -> impl Stream<Item = FollowUp> + 'f {
        let pace = Duration::from_secs(1) / self.settings.asks_per_second_max.max(1);
        stream::unfold(Duration::ZERO, move |mut idle_for| async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return None,
                    () = sleep(idle_for) => {}
                }
                if let Err(Shut::Paused { retry_after }) = self.registry.is_open(Purpose::Resolving)
                {
                    idle_for = retry_after;
                    continue;
                }
                let ledger = &self.gateway.ledger;
                let due = ledger.claim_follow_ups(self.registry.name(), 1, self.gateway.lease);
                idle_for = match self.gateway.timed(LedgerVerb::ClaimFollowUps, due).await {
                    Ok(mut taken) => match taken.pop() {
                        Some(follow_up) => return Some((follow_up, pace)),
                        None => self.settings.first,
                    },
                    Err(error) => {
                        self.failed(&error);
                        self.settings.longest
                    }
                };
            }
        })
    }

    async fn see(&self, follow_up: FollowUp) {
        fault::point(Point::FollowUpTaken);
        let of = (follow_up.record.institution.as_str(), follow_up.record.key.as_str());
        let failed = |done: &Result<(), LedgerError>| done.as_ref().err().map(LedgerError::label);
        let seen = telemetry::later(Later::FollowUp, of.0, of.1, self.see_to(&follow_up), failed);
        if let Err(error) = seen.await {
            self.failed(&error);
        }
    }

    async fn see_to(&self, follow_up: &FollowUp) -> Result<(), LedgerError> {
        let plan = self.gateway.policy(&self.registry).plan(follow_up, SystemTime::now());
        if plan.ask && self.ask(follow_up).await? {
            return Ok(());
        }
        let ledger = &self.gateway.ledger;
        if plan.warn {
            let delay = plan.next.unwrap_or_default();
            let warned = ledger.warn(follow_up, delay);
            if self.gateway.timed(LedgerVerb::Warn, warned).await? {
                self.tell(follow_up, Deadline::Near);
            }
            return Ok(());
        }
        if plan.over {
            self.tell(follow_up, Deadline::Over);
        }
        let put_off = ledger.put_off_follow_up(follow_up, plan.next);
        self.gateway.timed(LedgerVerb::PutOffFollowUp, put_off).await
    }

    /// Asks the registry how the case stands. Whether that was news.
    async fn ask(&self, follow_up: &FollowUp) -> Result<bool, LedgerError> {
        let record = &follow_up.record;
        let caller = Registry::on_behalf_of(&record.institution);
        let registry = self.registry.name();
        match self.registry.case_of(record, &caller).await {
            Ok(Some(testimony)) => {
                fault::point(Point::FollowedUp);
                let now = self.gateway.compared(testimony, &record.institution, &record.key);
                let recorded = self.gateway.record(record, now.await?).await?;
                Ok(matches!(recorded, Recorded::News { .. }))
            }
            Ok(None) => {
                tracing::error!(registry, "the registry no longer knows a case");
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(registry, %error, "a case could not be asked about");
                Ok(false)
            }
        }
    }

    /// Tells operators of a deadline.
    fn tell(&self, follow_up: &FollowUp, deadline: Deadline) {
        let record = &follow_up.record;
        let outcome = record.outcome.as_ref();
        tracing::warn!(
            registry = self.registry.name(),
            institution = record.institution,
            key = record.key,
            case_id = outcome.map(|outcome| outcome.case_id.as_str()),
            deadline = outcome.and_then(|it| it.correction.as_ref()).map(|it| it.deadline.as_str()),
            "{}",
            deadline.words()
        );
        self.gateway.metrics.deadline(self.registry.name(), deadline);
    }

    fn failed(&self, error: &LedgerError) {
        let error = error as &dyn std::error::Error;
        tracing::error!(
            registry = self.registry.name(),
            error,
            "following up cannot use the ledger"
        );
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::Correction;

    use super::*;
    use crate::ledger::{Record, State};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn policy(answers: Answers) -> Policy {
        let (first, longest) = (Duration::from_secs(60), Duration::from_secs(3_600));
        Policy { answers, first, longest, warn_before: 3 * DAY }
    }

    fn at(status: CaseStatus, deadline: &str) -> Outcome {
        let correction = (!deadline.is_empty())
            .then(|| Correction { deadline: deadline.into(), items: Vec::new() });
        Outcome { case_id: "c".into(), status: status.into(), correction, ..Outcome::default() }
    }

    fn taken(outcome: Outcome, attempt: i64, warned: bool) -> FollowUp {
        let record = Record {
            institution: "bank".into(),
            key: "k".into(),
            matter: String::new(),
            registry: String::new(),
            office: String::new(),
            state: State::Settled,
            outcome: Some(outcome),
            age: Duration::ZERO,
        };
        FollowUp { record, attempt, warned }
    }

    /// Noon of a day in Asia/Shanghai.
    fn noon(day: &str) -> SystemTime {
        let seconds = Date::parse(day).unwrap().days_since_1970() * 86_400 + 4 * 3_600;
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap())
    }

    #[test]
    fn only_a_registry_that_must_be_asked_is_asked_and_not_about_what_has_ended() {
        use CaseStatus::{Accepted, Completed, Refused, Registered};
        let look = |answers, status| policy(answers).first_look(&at(status, ""), SystemTime::now());
        for answers in [Answers::AtOnce, Answers::Events] {
            assert_eq!(look(answers, Accepted), None);
        }
        assert!(look(Answers::Polled, Accepted).is_some_and(|it| it <= Duration::from_secs(60)));
        assert!(look(Answers::Polled, Registered).is_some());
        assert_eq!(look(Answers::Polled, Completed), None);
        assert_eq!(look(Answers::Polled, Refused), None);
        let plan = |status, attempt| {
            policy(Answers::Polled).plan(&taken(at(status, ""), attempt, false), SystemTime::now())
        };
        assert!(plan(Accepted, 1_000).next.is_some(), "however long it takes");
        assert!(plan(Registered, 1).next.is_some() && plan(Registered, 20).next.is_none());
    }

    #[test]
    fn a_deadline_is_warned_of_once_and_after_it_the_registry_is_asked() {
        let policy = policy(Answers::Events);
        let asked = at(CaseStatus::CorrectionRequested, "2026-03-31");
        let first = policy.first_look(&asked, noon("2026-03-01")).unwrap();
        assert_eq!(noon("2026-03-01") + first, noon("2026-03-28") + DAY / 2, "three days before");
        let plan = |day, warned| policy.plan(&taken(asked.clone(), 1, warned), noon(day));
        let early = plan("2026-03-27", false);
        assert!(!early.warn && !early.ask && early.next == Some(DAY + DAY / 2));
        let near = plan("2026-03-29", false);
        assert!(near.warn && !near.ask && near.next == Some(2 * DAY + DAY / 2));
        let told = plan("2026-03-31", true);
        assert!(
            !told.warn && !told.ask && told.next == Some(DAY / 2),
            "the last day is the bank's"
        );
        let over = plan("2026-04-01", true);
        assert!(!over.warn && over.ask && over.over && over.next.is_some());
        // A registry that is asked anyway is asked about this too, before it is over.
        let polled = Policy { answers: Answers::Polled, ..policy };
        let early = polled.plan(&taken(asked.clone(), 1, false), noon("2026-03-27"));
        assert!(early.ask && !early.over && !early.warn);
        assert!(early.next.is_some_and(|next| next <= Duration::from_secs(3_600)));
    }
}
