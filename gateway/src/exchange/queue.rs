//! Filings for an office that is closed: kept in the queue, told with when it opens, and withdrawn while they wait.
//!
//! Whoever files at opening, while earlier filings for the same property are still in the queue, waits behind them. The
//! opener sends what waits.

use prost_types::Timestamp;
use proto::v1::{Application, CaseStatus, Outcome};
use time::OffsetDateTime;

use super::{Gateway, Hearing, first_told};
use crate::{
    fault::{self, Point},
    fingerprint,
    ledger::{LedgerError, State, Waiting},
    matter,
    refusal::{Code, Refusal},
    registry::Registry,
    seal::Kept,
    settings::Office,
    telemetry::LedgerVerb,
};

impl Gateway {
    /// Whether an office takes filings now, as far as anybody says when it does.
    pub(crate) fn is_open(&self, office: &Office) -> bool {
        let hours = self.capabilities.of(office).hours();
        let calendar = &self.directory().calendar;
        hours.is_none_or(|hours| hours.is_open(calendar, OffsetDateTime::now_utc()))
    }

    /// When an office takes filings next; now, if it is open.
    fn opens_at(&self, office: &Office) -> Option<Timestamp> {
        let now = OffsetDateTime::now_utc();
        let opens = match self.capabilities.of(office).hours() {
            Some(hours) => hours.opens_next(&self.directory().calendar, now)?,
            None => now,
        };
        Some(Timestamp { seconds: opens.unix_timestamp(), nanos: 0 })
    }

    /// What an institution is told of a filing that waits for `office`, by its code.
    pub(crate) fn queued_outcome(&self, office: &str) -> Outcome {
        let office = self.directory().route.offices().into_iter().find(|it| it.code == office);
        Outcome {
            status: CaseStatus::QueuedOutOfHours.into(),
            opens_at: office.and_then(|office| self.opens_at(&office)),
            ..Outcome::default()
        }
    }

    /// Withdraws a filing that waits for its office, by its key: it is never sent, and its loan may be filed anew. `None`:
    /// it does not wait (any more), so that only its registry could withdraw it.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn withdraw_queued(
        &self,
        institution: &str,
        key: &str,
    ) -> Result<Option<Outcome>, LedgerError> {
        let outcome =
            first_told(Outcome { status: CaseStatus::Withdrawn.into(), ..Outcome::default() });
        let withdrawn = self.ledger.withdraw_queued(institution, key, &outcome);
        let withdrawn = self.timed(LedgerVerb::WithdrawQueued, withdrawn).await?;
        Ok(withdrawn.then_some(outcome))
    }
}

impl Hearing<'_> {
    /// What is kept of a filing should it have to wait; `None`: nothing ever waits here.
    pub(super) fn waiting(
        &self,
        application: &Application,
        office: &Office,
        registry: &Registry,
    ) -> Result<Option<Waiting>, Refusal> {
        let Some(seals) = &self.gateway.seals else { return Ok(None) };
        let kept = Kept {
            application: Some(application.clone()),
            client_cert: self.bank.client_cert().as_bytes().to_vec(),
            papers_at: registry.name().to_owned(),
        };
        let sealed = seals.seal(self.bank.id(), &application.idempotency_key, &kept);
        let sealed = sealed.map_err(|error| {
            tracing::error!(%error, "a filing could not be sealed");
            Refusal::retry_same_key(Code::LedgerUnavailable, self.gateway.ask_again_after)
        })?;
        Ok(Some(Waiting {
            closed: !self.gateway.is_open(office),
            properties: fingerprint::places(matter::properties(application)),
            sealed,
        }))
    }

    /// What the bank is told of a filing that is in the queue.
    pub(super) fn queued(
        &self,
        state: State,
        office: &str,
        again: bool,
    ) -> Result<Outcome, Refusal> {
        fault::point(Point::Queued);
        match state {
            State::Queued => {
                let outcome = self.gateway.queued_outcome(office);
                Ok(Outcome { replayed: Some(again), ..outcome })
            }
            // It was sent, or may have been, and the queue is finding out.
            State::Claimed | State::Unknown | State::Settled | State::Released | State::Retired => {
                Err(Refusal::outcome_unknown(self.gateway.ask_again_after))
            }
        }
    }
}
