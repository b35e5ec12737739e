//! Asking rather than filing: what the register says, what a certificate is worth, where a case stands. A question changes
//! nothing and leaves nothing in the ledger; of cases an institution hears about its own alone.

use std::{slice, sync::Arc, time::Duration};

use adapters::FaultCode;
use proto::v1::{
    CaseQuery, CaseStatus, CertificateAnswer, CertificateDownload, CertificateQuery,
    DischargeAnswer, DischargeCheck, Document, OriginalFiling, Outcome, Property, RecordAnswer,
    RecordQuery, TitleAnswer, TitleQuery, case_query::Subject,
    certificate_query::Subject as Certificate, verify_certificate_request::By,
};

use super::{Hearing, first_told, retired};
use crate::{
    case::{self, Told},
    discharge_check,
    fault::{self, Point},
    ledger::{Record, State, events::Recorded},
    matter,
    refusal::{Code, Refusal},
    registry::{CallError, Registry, Unsound},
    settings::Office,
    telemetry::LedgerVerb,
};

impl Hearing<'_> {
    /// What the register says of the properties.
    pub(super) async fn ask_title(&self, query: TitleQuery) -> Result<TitleAnswer, Refusal> {
        let (office, registry) = self.in_charge_of(&query.properties)?;
        let caller = self.caller();
        let asking = registry.query_title(query, office.canonical(), &caller);
        let asked = asking.await;
        let answer = asked.map_err(|error| self.unasked(registry, &error))?;
        self.seen.registry_said(&answer);
        Ok(answer)
    }

    /// The same as a document that the registry answers for.
    pub(super) async fn ask_record(&self, query: RecordQuery) -> Result<RecordAnswer, Refusal> {
        let (office, registry) = self.in_charge_of(&query.properties)?;
        let (caller, bytes_max) = (self.caller(), self.gateway.document_bytes_max);
        let asking = registry.certify_record(query, office.canonical(), bytes_max, &caller);
        let asked = asking.await;
        let answer = asked.map_err(|error| self.unasked(registry, &error))?;
        let answer = answer.map_err(|unsound| self.not_passed_on(registry, unsound))?;
        self.seen.registry_said(&answer);
        Ok(answer)
    }

    /// What a certificate is worth, whoever it was issued to.
    pub(super) async fn ask_certificate(
        &self,
        query: CertificateQuery,
    ) -> Result<CertificateAnswer, Refusal> {
        let registry = self.registry_of_certificate(&query)?;
        let by = match query.subject {
            Some(Certificate::CertificateNumber(number)) => By::CertificateNumber(number),
            Some(Certificate::VerificationCode(code)) => By::VerificationCode(code),
            None => return Err(self.no_subject("matter.certificate_number")),
        };
        let caller = self.caller();
        let asking = registry.verify_certificate(by, &caller);
        let asked = asking.await;
        let answer = asked.map_err(|error| self.unasked(registry, &error))?;
        self.seen.registry_said(&answer);
        Ok(answer)
    }

    /// An electronic certificate that came of a case of this institution.
    pub(super) async fn download(&self, wanted: CertificateDownload) -> Result<Document, Refusal> {
        let CertificateDownload { case_id, certificate_number, branch: _ } = wanted;
        let record = self.own_case(&case_id).await?;
        let registry = self.registry_of(&record.registry)?;
        let outcome = self.present(record.clone()).await;
        if !outcome.certificate_numbers.contains(&certificate_number) {
            return Err(Refusal::of(Code::CertificateUnknown));
        }
        let (caller, bytes_max) = (self.caller(), self.gateway.document_bytes_max);
        let asking = registry.fetch_certificate(certificate_number, bytes_max, &caller);
        let asked = asking.await;
        let document = asked.map_err(|error| self.unasked(registry, &error))?;
        let document = document.map_err(|unsound| self.not_passed_on(registry, unsound))?;
        self.seen.registry_said(&document);
        Ok(document)
    }

    /// What stands in the way of a discharge.
    pub(super) async fn check_discharge(
        &self,
        check: DischargeCheck,
    ) -> Result<DischargeAnswer, Refusal> {
        let query = TitleQuery {
            branch: check.branch.clone(),
            purpose: proto::v1::QueryPurpose::LoanManagement.into(),
            authorisation_number: check.authorisation_number.clone(),
            properties: check.properties.clone(),
        };
        let titles = self.ask_title(query).await?;
        Ok(discharge_check::worked_out(&check, titles))
    }

    /// Where a case of this institution stands.
    pub(super) async fn ask_case(&self, query: CaseQuery) -> Result<Outcome, Refusal> {
        let record = match query.subject {
            Some(Subject::Original(original)) => self.own_filing(&original).await?,
            Some(Subject::CaseId(case_id)) => self.own_case(&case_id).await?,
            None => return Err(no_such_case()),
        };
        let status = match record.state {
            State::Claimed => CaseStatus::Received,
            State::Unknown => CaseStatus::OutcomeUnknown,
            State::Queued => return Ok(first_told(self.gateway.queued_outcome(&record.office))),
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

    /// A case of this institution, by the registry's number. Two registries may have given it to a case each: then nobody
    /// knows which is meant, and the bank is told the offices.
    pub(super) async fn own_case(&self, case_id: &str) -> Result<Record, Refusal> {
        let mut found = self.own_cases(case_id).await?;
        let case = found.pop().ok_or_else(no_such_case)?;
        if !found.is_empty() {
            let offices = found.iter().chain([&case]).map(|it| it.office.as_str());
            let offices = offices.collect::<Vec<_>>().join(", ");
            let several = format!("{case_id}: {offices}");
            return Err(Refusal::of(Code::RouteConflict).with_detail(several));
        }
        self.seen.about(&case.key, &case.registry, &case.office);
        Ok(case)
    }

    /// Cases of this institution that have a number, one of each registry.
    pub(super) async fn own_cases(&self, case_id: &str) -> Result<Vec<Record>, Refusal> {
        let found = self.gateway.ledger.find_case(self.bank.id(), case_id);
        let found = self.gateway.timed(LedgerVerb::Find, found).await;
        found.map_err(|error| self.ledger_away(&error))
    }

    /// A filing of this institution, by its own serial.
    pub(super) async fn own_filing(&self, original: &OriginalFiling) -> Result<Record, Refusal> {
        let key = self.contract.key_of(original);
        let key = key.map_err(|fault| Refusal::of_faults(vec![fault]))?;
        let found = self.gateway.ledger.find(self.bank.id(), &key);
        let found = self.gateway.timed(LedgerVerb::Find, found).await;
        let found = found.map_err(|error| self.ledger_away(&error))?.ok_or_else(no_such_case)?;
        self.seen.about(&found.key, &found.registry, &found.office);
        Ok(found)
    }

    /// The outcome of a settled filing as it stands now: a case that can still move is asked about; if the registry
    /// does not answer, what was last known is told.
    pub(super) async fn present(&self, record: Record) -> Outcome {
        let known = record.outcome.clone().unwrap_or_default();
        let Some(registry) = self.directory.registry(&record.registry) else { return known };
        if matter::is_final(known.status()) {
            return known;
        }
        match registry.case_of(&record, &self.caller()).await {
            Ok(Some(testimony)) => {
                self.seen.registry_answered(&testimony);
                let now = self.gateway.compared(testimony, &record.institution, &record.key);
                let Ok(now) = now.await else { return known };
                self.believed(&record, known, now).await
            }
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

    /// What a case has become by what its registry tells of it: what cannot be is not believed, what is news is recorded.
    pub(super) async fn believed(&self, record: &Record, known: Outcome, now: Outcome) -> Outcome {
        fault::point(Point::BeforeUpdate);
        match self.gateway.record(record, now.clone()).await {
            // What is not heard of any more was retired meanwhile: nobody knows more of it than the registry.
            Ok(Recorded::News { .. } | Recorded::Unheard) => now,
            Ok(Recorded::Same(known) | Recorded::Impossible(_, known)) => known,
            Err(_told) => match case::judge(&known, &now) {
                Told::News => now,
                Told::Same | Told::Impossible(_) => known,
            },
        }
    }

    fn in_charge_of(&self, properties: &[Property]) -> Result<(Arc<Office>, &Registry), Refusal> {
        let office = self.office_for(properties, "")?;
        let registry = self.registry_of(&office.registry)?;
        self.seen.at(&office.registry, &office.code);
        Ok((office, registry))
    }

    /// The registry that is asked about a certificate: where its unit lies, or its office belongs; of a single one there is
    /// no question.
    fn registry_of_certificate(&self, query: &CertificateQuery) -> Result<&Registry, Refusal> {
        let CertificateQuery { unit_code, office_code, .. } = query;
        let unknown = |field: &str| {
            Refusal::of(Code::OfficeUnknown)
                .with_faults(self.faults(FaultCode::RouteUnknown, &[format!("matter.{field}")]))
        };
        let route = &self.directory.route;
        let office = match (unit_code.is_empty(), office_code.is_empty()) {
            (false, _) => {
                let unit = Property { unit_code: unit_code.clone(), ..Property::default() };
                route
                    .office_for(slice::from_ref(&unit), "")
                    .map_err(|_none| unknown("unit_code"))?
            }
            (true, false) => {
                Arc::clone(route.named(office_code).ok_or_else(|| unknown("office_code"))?)
            }
            (true, true) => {
                return self.directory.only_registry().ok_or_else(|| unknown("unit_code"));
            }
        };
        self.registry_of(&office.registry)
    }

    /// What a message is about is missing.
    pub(super) fn no_subject(&self, field: &str) -> Refusal {
        Refusal::of_faults(self.faults(FaultCode::FieldRequired, &[field.to_owned()]))
    }

    /// How a bank is told that a question was not answered. Whatever became of the call, nothing was registered by it.
    fn unasked(&self, registry: &Registry, error: &CallError) -> Refusal {
        tracing::warn!(registry = registry.name(), %error, "a question was not answered");
        match error {
            CallError::NoAnswer(_) => {
                Refusal::retry_same_key(Code::QuestionUnanswered, self.gateway.ask_again_after)
            }
            CallError::Shut(_) | CallError::NotSent(_) | CallError::Rejected(_) => {
                self.untold(error)
            }
        }
    }

    /// How a bank is told that there is no document for it.
    fn not_passed_on(&self, registry: &Registry, unsound: Unsound) -> Refusal {
        tracing::error!(registry = registry.name(), %unsound, "a document is not passed on");
        match unsound {
            Unsound::Absent => Refusal::of(Code::CertificateUnknown).for_people(),
            Unsound::Digest | Unsound::Length => {
                Refusal::retry_same_key(Code::DocumentUnsound, self.gateway.ask_again_after)
            }
            Unsound::TooLarge { bytes_max } => Refusal::of(Code::DocumentUnsound)
                .for_people()
                .with_detail(format!("{bytes_max}字节")),
        }
    }
}

pub(super) fn no_such_case() -> Refusal {
    Refusal::of(Code::CaseUnknown)
}
