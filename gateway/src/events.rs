//! What the gateway makes of what a registry tells of a case, however it came to tell: recorded by the ledger, and told to
//! operators where it concerns them.
//!
//! Nothing is applied here that the ledger did not judge, and no registry's state is ever made up.

use std::time::{Duration, SystemTime};

use proto::v1::Outcome;

use crate::{
    case::{self, Told},
    exchange::Gateway,
    follow_up::Policy,
    integrity,
    ledger::{
        LedgerError, Record,
        events::{Account, Recorded},
    },
    registry::{Registry, Testimony},
    telemetry::LedgerVerb,
};

impl Gateway {
    /// Records how a case stands by its registry's own account, compared with what was asked for.
    pub(crate) async fn record(
        &self,
        record: &Record,
        now: Outcome,
    ) -> Result<Recorded, LedgerError> {
        // The ledger need not be troubled for what it has said itself a moment ago.
        if let Some(known) = record.outcome.as_ref()
            && case::judge(known, &now) == Told::Same
        {
            return Ok(Recorded::Same(known.clone()));
        }
        let account = Account {
            institution: record.institution.clone(),
            key: record.key.clone(),
            follow_up: self.first_look(&record.registry, &now),
            outcome: now,
        };
        let recorded = self.timed(LedgerVerb::Record, self.ledger.record(&account)).await;
        match &recorded {
            Ok(recorded) => self.tell(&record.registry, &account, recorded),
            Err(error) => {
                let error = error as &dyn std::error::Error;
                tracing::error!(error, "a case's present status could not be recorded");
            }
        }
        recorded
    }

    /// How a registry says that a case stands, compared with what was asked for.
    pub(crate) async fn account(
        &self,
        registry: &Registry,
        institution: String,
        key: String,
        testimony: Testimony,
    ) -> Result<Account, LedgerError> {
        let outcome = self.compared(testimony, &institution, &key).await?;
        let follow_up = self.first_look(registry.name(), &outcome);
        Ok(Account { institution, key, outcome, follow_up })
    }

    /// What a registry says of a case, compared with what was asked for, as long as that is known.
    pub(crate) async fn compared(
        &self,
        testimony: Testimony,
        institution: &str,
        key: &str,
    ) -> Result<Outcome, LedgerError> {
        if testimony.registered.is_none() {
            return Ok(integrity::judged(testimony, None));
        }
        let asked = self.timed(LedgerVerb::Find, self.ledger.asked(institution, key)).await;
        if let Err(error) = &asked {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "what was registered could not be compared with what was asked for"
            );
        }
        Ok(integrity::judged(testimony, asked?.as_ref()))
    }

    /// After what time it is to be seen how a case stands that its registry has just told of.
    pub(crate) fn first_look(&self, registry: &str, outcome: &Outcome) -> Option<Duration> {
        let directory = self.directory();
        let policy = self.policy(directory.registry(registry)?);
        policy.first_look(outcome, SystemTime::now())
    }

    /// How cases of a registry are followed up.
    pub(crate) fn policy(&self, registry: &Registry) -> Policy {
        Policy { warn_before: self.events.warn_before, ..registry.policy() }
    }

    /// Tells operators what was made of an account, where they have to know.
    pub(crate) fn tell(&self, registry: &str, account: &Account, recorded: &Recorded) {
        match recorded {
            Recorded::News { before } => {
                let refusal = before.as_ref().and_then(|before| before.refusal.as_ref());
                if account.outcome.refusal.as_ref() != refusal {
                    let of = (account.institution.as_str(), account.key.as_str());
                    integrity::tell_operators(&self.metrics, registry, of, &account.outcome);
                }
            }
            Recorded::Impossible(why, _) => {
                tracing::error!(
                    registry,
                    institution = account.institution,
                    key = account.key,
                    why = why.label(),
                    "a registry tells of a case what cannot be: not believed"
                );
                self.metrics.impossible(registry, why.label());
            }
            Recorded::Same(_) | Recorded::Unheard => {}
        }
    }
}
