//! Asking rather than filing: what the register says, where a case stands. A question changes nothing and leaves nothing in
//! the ledger; of cases an institution hears about its own alone.

use std::time::Duration;

use proto::v1::{
    CaseQuery, CaseStatus, NextAction, Outcome, TitleAnswer, TitleQuery, case_query::Subject,
};
use tracing::Instrument;

use super::{Hearing, first_told, note, retired};
use crate::{
    case::{self, Told},
    fault::{self, Point},
    ledger::{Record, State},
    matter,
    refusal::{Code, Refusal},
    telemetry::{LedgerVerb, SpanKind, step},
};

impl Hearing<'_> {
    /// What the registry says of the properties.
    pub(super) async fn ask_title(&self, query: TitleQuery) -> Result<TitleAnswer, Refusal> {
        let office = self.office_for(&query.properties)?;
        let registry = self.registry_of(&office.registry)?;
        let caller = self.caller();
        let asking = registry
            .query_title(query, office.canonical(), &caller)
            .instrument(step("query_title", SpanKind::Client));
        asking.await.map_err(|error| {
            tracing::warn!(registry = registry.name(), %error, "a title query was not answered");
            self.untold(&error)
        })
    }

    /// Where a case of this institution stands.
    pub(super) async fn ask_case(&self, query: CaseQuery) -> Result<Outcome, Refusal> {
        let unknown = || Refusal::unsent(Code::CaseUnknown, NextAction::CorrectAndResend);
        let ledger = &self.gateway.ledger;
        let found = match query.subject {
            Some(Subject::Original(original)) => {
                let key = self
                    .contract
                    .key_of(&original)
                    .map_err(|fault| Refusal::of_faults(vec![fault]))?;
                self.gateway.timed(LedgerVerb::Find, ledger.find(self.bank.id(), &key)).await
            }
            Some(Subject::CaseId(case_id)) => {
                self.gateway
                    .timed(LedgerVerb::Find, ledger.find_case(self.bank.id(), &case_id))
                    .await
            }
            None => return Err(unknown()),
        };
        let record = found.map_err(|error| self.ledger_away(&error))?.ok_or_else(unknown)?;
        let status = match record.state {
            State::Claimed => CaseStatus::Received,
            State::Unknown => CaseStatus::OutcomeUnknown,
            State::Released => {
                return Err(Refusal::retry_same_key(Code::NeverSent, Duration::ZERO));
            }
            State::Settled => return Ok(first_told(self.present(record).await)),
            State::Retired => match self.present(record.clone()).await {
                now if now.status() == CaseStatus::Unspecified => return Err(retired(record)),
                now => return Ok(first_told(now)),
            },
        };
        Ok(first_told(Outcome { status: status.into(), ..Outcome::default() }))
    }

    /// The outcome of a settled filing as it stands now: a case that can still move is asked about; if the registry
    /// does not answer, what was last known is told.
    pub(super) async fn present(&self, record: Record) -> Outcome {
        let Record { institution, key, registry, outcome, .. } = record;
        let known = outcome.unwrap_or_default();
        let Some(registry) = self.gateway.registries.get(&registry) else { return known };
        if matter::is_final(known.status()) || known.case_id.is_empty() {
            return known;
        }
        match registry.case_by_id(&known.case_id, &self.caller()).await {
            Ok(Some(now)) => match case::judge(&known, &now) {
                Told::Same => known,
                Told::News => {
                    let ledger = &self.gateway.ledger;
                    fault::point(Point::BeforeUpdate);
                    let updated = ledger.update(&institution, &key, &now);
                    let updated = self.gateway.timed(LedgerVerb::Update, updated).await;
                    note(updated, "a case's present status could not be recorded");
                    now
                }
                Told::Impossible(why) => {
                    let (registry, why) = (registry.name(), why.label());
                    tracing::error!(
                        registry,
                        why,
                        "a registry tells of a case what cannot be: not believed"
                    );
                    self.gateway.metrics.impossible(registry, why);
                    known
                }
            },
            Ok(None) => {
                tracing::error!(registry = registry.name(), "the registry no longer knows a case");
                known
            }
            Err(error) => {
                tracing::warn!(registry = registry.name(), %error, "a case could not be asked about");
                known
            }
        }
    }
}
