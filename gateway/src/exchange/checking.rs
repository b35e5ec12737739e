//! What is wrong with a message, all of it at once: what the contract found, what only the gateway can know, and where it
//! leads nowhere.

use adapters::{Fault, FaultCode, Undecoded};
use proto::v1::{Application, CaseStatus, Exchange, Outcome};

use super::{Hearing, Told};
use crate::{checks, matter};

impl Hearing<'_> {
    /// A message that did not read to its end may have more wrong with it than its form.
    pub(super) fn faulty(&self, undecoded: Undecoded) -> Told {
        let Undecoded { faults, exchange, .. } = &undecoded;
        self.seen.asked_under(undecoded.application.as_deref());
        let faults = self.all_wrong(exchange, undecoded.application.as_deref(), faults.clone());
        Told::faulty(Undecoded { faults, ..undecoded })
    }

    /// Everything wrong with it, in order of offset, beside the faults `found` already.
    pub(super) fn all_wrong(
        &self,
        exchange: &Exchange,
        application: Option<&Application>,
        mut found: Vec<Fault>,
    ) -> Vec<Fault> {
        let mut wrong = Vec::new();
        if !self.is_named(exchange) {
            wrong.push((FaultCode::InstitutionMismatch, "exchange.institution_code".to_owned()));
        }
        if let Some(application) = application {
            let today = matter::today();
            wrong.extend(checks::faults_of(application, self.bank.settings(), &today));
        }
        for (code, field) in wrong {
            found.extend(self.faults(code, &[field]));
        }
        // Where only the way is wrong, that is told when it is looked for.
        if let Some(application) = application.filter(|_| !found.is_empty())
            && let Err(refusal) =
                self.office_for(matter::properties(application), &application.stated_office_code)
        {
            let told = |fault: &Fault| found.iter().any(|it| it.field == fault.field);
            let more: Vec<_> = refusal.faults.into_iter().filter(|fault| !told(fault)).collect();
            found.extend(more);
        }
        found.sort_by_key(|fault| fault.offset);
        found
    }

    /// A body may name an institution, but only the one the certificate names.
    fn is_named(&self, exchange: &Exchange) -> bool {
        let named = exchange.institution_code.as_str();
        let codes = self.bank.codes();
        named.is_empty() || codes.is_empty() || codes.iter().any(|code| code == named)
    }
}

/// What is told of an application that is in order and was only to be checked.
pub(super) fn only_checked() -> Outcome {
    Outcome {
        status: CaseStatus::Validating.into(),
        replayed: Some(false),
        dry_run: Some(true),
        ..Outcome::default()
    }
}
