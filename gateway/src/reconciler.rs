//! Compares the books of finished days with a registry's, once a day, and keeps what it finds for operators.
//!
//! Whoever has the lease does it, whichever replica that is; how far it came stands in the ledger. It mends nothing. A day
//! that could not be compared is compared later.

use std::{sync::Arc, time::Duration};

use proto::Date;
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Gateway,
    hours::ZONE,
    ledger::{LedgerError, events::Watch},
    reconciliation::{self, Failed, Report, Scope},
    registry::Registry,
    settings,
    telemetry::LedgerVerb,
};

/// Reconciles with one registry until `stop` is cancelled.
///
/// Dropped in the middle, what was found of whole days is kept, and the day it was at is compared again.
pub async fn reconcile(
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Reconciliation,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let work = Work { gateway: &gateway, registry: &registry, settings, stop: &stop };
        work.once(OffsetDateTime::now_utc()).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// How often it is looked whether a day is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long nobody else tries, from the last sign of life; and after a failure.
const LEASE: Duration = Duration::from_secs(10 * 60);

struct Work<'w> {
    gateway: &'w Gateway,
    registry: &'w Registry,
    settings: settings::Reconciliation,
    stop: &'w CancellationToken,
}

impl Work<'_> {
    async fn once(&self, now: OffsetDateTime) {
        let done = match due(self.settings, now) {
            Some(last) => self.up_to(last).await,
            None => Ok(()),
        };
        if let Err(error) = done.and(self.count_open().await) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, registry = self.registry.name(), "the ledger cannot be used");
        }
    }

    async fn up_to(&self, last: Date) -> Result<(), LedgerError> {
        let ledger = &self.gateway.ledger;
        let name = watch_name(self.registry.name());
        let claimed = ledger.claim_watch(&name, LEASE);
        let Some(watch) = self.gateway.timed(LedgerVerb::ClaimWatch, claimed).await? else {
            return Ok(());
        };
        let (mut rest, until) = (Duration::ZERO, last.to_string());
        if watch.cursor < until {
            let compared = tokio::select! {
                // Whoever comes next need not wait for the lease to run out.
                () = self.stop.cancelled() => None,
                compared = self.compare(&watch, last) => Some(compared),
            };
            match compared {
                None => {}
                Some(Ok(())) => {
                    let moved = ledger.record_watched(&watch, &[], &until);
                    self.gateway.timed(LedgerVerb::RecordWatched, moved).await?;
                }
                Some(Err(failed)) => {
                    let error = &failed as &dyn std::error::Error;
                    let registry = self.registry.name();
                    tracing::warn!(error, registry, "books could not be compared");
                    self.gateway.metrics.reconciled(registry, "failed");
                    rest = LEASE;
                }
            }
        }
        let kept = ledger.keep_watch(&watch, rest);
        self.gateway.timed(LedgerVerb::KeepWatch, kept).await.map(drop)
    }

    async fn compare(&self, watch: &Watch, last: Date) -> Result<(), Failed> {
        for back in (0..self.settings.days_back).rev() {
            let Some(day) = days_before(last, back) else { continue };
            let ledger = &self.gateway.ledger;
            let report =
                reconciliation::reconcile(&**ledger, self.registry, day, &Scope::default()).await?;
            self.keep(day, &report).await?;
            if !ledger.keep_watch(watch, LEASE).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn keep(&self, day: Date, report: &Report) -> Result<(), LedgerError> {
        let registry = self.registry.name();
        let of_day = day.to_string();
        let recording = self.gateway.ledger.record_findings(registry, &of_day, &report.findings);
        let new = self.gateway.timed(LedgerVerb::RecordFindings, recording).await?;
        self.gateway
            .metrics
            .reconciled(registry, if report.findings.is_empty() { "agree" } else { "differ" });
        for finding in &report.findings {
            tracing::error!(
                registry,
                institution = finding.institution,
                office = finding.office,
                key = finding.key,
                case_id = finding.case_id,
                kind = finding.kind.name(),
                day = %day,
                "the books differ"
            );
        }
        let cases: u64 = report.compared.iter().map(|it| it.ours.count).sum();
        let found = report.findings.len();
        tracing::info!(registry, day = %day, cases, found, new, "books were compared");
        Ok(())
    }

    async fn count_open(&self) -> Result<(), LedgerError> {
        let open = self.gateway.ledger.open_findings();
        let open = self.gateway.timed(LedgerVerb::OpenFindings, open).await?;
        let registry = self.registry.name();
        let own = open.iter().find(|(name, _)| name == registry).map_or(0, |(_, count)| *count);
        self.gateway.metrics.open_findings(registry, own);
        Ok(())
    }
}

/// No registry is called so.
fn watch_name(registry: &str) -> String {
    format!("{registry}/books")
}

/// The last day whose books are to be compared by now.
fn due(settings: settings::Reconciliation, now: OffsetDateTime) -> Option<Date> {
    let here = now.to_offset(ZONE);
    let back = if here.hour() >= settings.hour { 1 } else { 2 };
    reconciliation::day_of(here.checked_sub(time::Duration::days(back))?)
}

fn days_before(day: Date, back: u8) -> Option<Date> {
    let noon = time::Duration::days(day.days_since_1970()) + time::Duration::hours(4);
    let at = OffsetDateTime::UNIX_EPOCH.checked_add(noon)?;
    reconciliation::day_of(at.checked_sub(time::Duration::days(back.into()))?)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_day_is_due_from_the_hour_on_and_those_before_it_are_compared_again() {
        let settings = settings::Reconciliation { hour: 6, days_back: 3, ..Default::default() };
        let due = |now| due(settings, now).unwrap().to_string();
        assert_eq!(due(datetime!(2026-03-05 05:59 +8)), "2026-03-03");
        assert_eq!(due(datetime!(2026-03-05 06:00 +8)), "2026-03-04");
        let before = |back| days_before(Date::parse("2026-03-01").unwrap(), back).unwrap();
        assert_eq!(
            [0, 1, 2].map(|back| before(back).to_string()),
            ["2026-03-01", "2026-02-28", "2026-02-27"]
        );
    }
}
