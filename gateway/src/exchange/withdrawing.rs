//! What changes a filing that was made: its withdrawal (撤回), and whose case a correction (补正) may name.
//!
//! Neither needs a memory of its own. A correction is a filing under a key of its own. A case is withdrawn once, so a
//! withdrawal may be asked for again whatever became of the first time; that it happened is told only once the registry
//! says so. Source: docs/exactly-once.md.

use proto::v1::{
    Application, CaseStatus, NextAction, Outcome, Sent, Withdrawal, withdrawal::Subject,
};

use super::{Hearing, asking::no_such_case, first_told, replayed, retired};
use crate::{
    ledger::{Record, State},
    matter,
    refusal::{Code, Refusal},
    registry::{CallError, Registry, Testimony},
    settings::Office,
};

impl Hearing<'_> {
    /// Withdraws a case of this institution.
    pub(super) async fn withdraw(&self, withdrawal: Withdrawal) -> Result<Outcome, Refusal> {
        let Withdrawal { subject, reason, branch: _ } = withdrawal;
        let record = match subject {
            Some(Subject::CaseId(case_id)) => self.own_case(&case_id).await?,
            Some(Subject::Original(original)) => self.own_filing(&original).await?,
            None => return Err(self.no_subject("matter.case_id")),
        };
        let again = self.gateway.ask_again_after;
        let known = match record.state {
            State::Claimed => return Err(Refusal::still_working(again)),
            State::Queued => {
                let withdrawn = self.gateway.withdraw_queued(&record.institution, &record.key);
                let withdrawn = withdrawn.await.map_err(|error| self.ledger_away(&error))?;
                // Its office has opened meanwhile, and it is being sent.
                return withdrawn.ok_or_else(|| Refusal::still_working(again));
            }
            // What has no number yet cannot be named to the registry.
            State::Unknown => return Err(Refusal::outcome_unknown(again)),
            State::Released => {
                return Err(Refusal {
                    next: NextAction::CorrectAndResend,
                    ..Refusal::of(Code::NeverSent)
                });
            }
            State::Retired => return Err(retired(record)),
            State::Settled => record.outcome.clone().unwrap_or_default(),
        };
        match known.status() {
            CaseStatus::Withdrawn => return Ok(replayed(known)),
            // An entry in the register is discharged, not withdrawn.
            status if matter::is_final(status) || matter::is_entered(status) => {
                return Err(not_withdrawn(status, Sent::No));
            }
            _ => {}
        }
        let registry = self.registry_of(&record.registry)?;
        let said = self.withdrawn(&record, &known.case_id, reason, registry).await?;
        self.seen.registry_answered(&said);
        let now = self.gateway.compared(said, &record.institution, &record.key).await;
        let now = now.map_err(|_told| self.maybe_withdrawn())?;
        let now = self.believed(&record, known, now).await;
        match now.status() {
            CaseStatus::Withdrawn => Ok(first_told(now)),
            status => Err(not_withdrawn(status, Sent::Yes)),
        }
    }

    /// The case after the registry was asked to withdraw it.
    async fn withdrawn(
        &self,
        record: &Record,
        case_id: &str,
        reason: String,
        registry: &Registry,
    ) -> Result<Testimony, Refusal> {
        let caller = self.caller();
        let error = match registry.withdraw(case_id, &record.key, reason, &caller).await {
            Ok(now) => return Ok(now),
            Err(error) => error,
        };
        tracing::warn!(registry = registry.name(), %error, "a withdrawal was not answered");
        if !matches!(error, CallError::NoAnswer(_)) {
            return Err(self.untold(&error));
        }
        // It may have been withdrawn all the same. That it has not been yet proves nothing.
        match registry.case_by_id(case_id, &caller).await {
            Ok(Some(now)) if matter::is_final(now.outcome.status()) => Ok(now),
            Ok(_) | Err(_) => Err(self.maybe_withdrawn()),
        }
    }

    fn maybe_withdrawn(&self) -> Refusal {
        Refusal::retry_same_key(Code::WithdrawalUnknown, self.gateway.ask_again_after)
    }

    /// The registry that has the case which a correction names: it goes there, though its office may have moved to another
    /// registry since. `None`: it corrects none.
    pub(super) async fn corrected_at(
        &self,
        application: &Application,
        office: &Office,
    ) -> Result<Option<String>, Refusal> {
        let corrected = application.corrects_case_id.as_str();
        if corrected.is_empty() {
            return Ok(None);
        }
        let earlier = self.own_cases(corrected).await?;
        if earlier.is_empty() {
            return Err(no_such_case());
        }
        // Another registry may have a case of that number too.
        let here = earlier.iter().find(|it| it.registry == office.registry);
        let moved = || earlier.iter().find(|it| it.office == office.code && self.has_moved(it));
        let conflict = || Refusal::of(Code::RouteConflict).with_detail(corrected);
        let earlier = here.or_else(moved).ok_or_else(conflict)?;
        Ok(Some(earlier.registry.clone()))
    }

    /// Whether no office is any more where a case was filed.
    fn has_moved(&self, case: &Record) -> bool {
        let is_there = |it: &Office| (&it.code, &it.registry) == (&case.office, &case.registry);
        !self.directory.route.offices().iter().any(|it| is_there(it))
    }
}

fn not_withdrawn(status: CaseStatus, sent: Sent) -> Refusal {
    let status = status.as_str_name().trim_start_matches("CASE_STATUS_");
    Refusal { sent, ..Refusal::of(Code::NotWithdrawn) }.with_detail(status)
}
