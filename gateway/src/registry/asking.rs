//! What a registry is asked for banks besides filings: what the register says, certificates, and to withdraw a case.

use std::time::{Duration, Instant};

use proto::{
    Date,
    v1::{
        self, CertificateAnswer, CertifyRecordRequest, Document, FetchCertificateRequest,
        ListDayRequest, QueryTitleRequest, RecordAnswer, SumDayRequest, VerifyCertificateRequest,
        WithdrawRequest, get_case_request::By, registry_client::RegistryClient,
        verify_certificate_request::By as Certificate,
    },
};

use super::{
    CallError, Caller, Registry, Testimony,
    document::{Gathering, Unsound, checked},
    gate::Purpose,
    silent, testimony,
};
use crate::telemetry::RegistryCall;

impl Registry {
    /// What the register says of properties.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn query_title(
        &self,
        query: v1::TitleQuery,
        office: v1::Office,
        caller: &Caller,
    ) -> Result<v1::TitleAnswer, CallError> {
        let asked = query.properties.clone();
        let message = QueryTitleRequest {
            institution: Some(caller.institution.clone()),
            office: Some(office),
            query: Some(query),
        };
        let call = self.call(RegistryCall::QueryTitle, message, caller, self.until());
        let mut client = RegistryClient::new(self.courier.clone());
        let answer = self.answer(call, async |request| {
            let answer = client.query_title(request).await?.into_inner().answer;
            testimony::titles_of(answer.ok_or_else(silent)?, &asked)
                .map_err(|flaw| self.not_believed(flaw))
        });
        self.through_gate(Purpose::Question, answer).await
    }

    /// A registration record certificate, its document of `bytes_max` at most.
    ///
    /// # Errors
    /// [`CallError`]; inside, why the document that came is not passed on.
    pub async fn certify_record(
        &self,
        query: v1::RecordQuery,
        office: v1::Office,
        bytes_max: usize,
        caller: &Caller,
    ) -> Result<Result<RecordAnswer, Unsound>, CallError> {
        let asked = query.properties.clone();
        let message = CertifyRecordRequest {
            institution: Some(caller.institution.clone()),
            office: Some(office),
            query: Some(query),
        };
        let call = self.call(RegistryCall::CertifyRecord, message, caller, self.until());
        let mut client = RegistryClient::new(self.courier.clone())
            .max_decoding_message_size(bytes_max.saturating_add(AROUND_A_DOCUMENT));
        let answer = self.answer(call, async |request| {
            let answer = client.certify_record(request).await?.into_inner().answer;
            let mut answer = testimony::record_of(answer.ok_or_else(silent)?, &asked)
                .map_err(|flaw| self.not_believed(flaw))?;
            Ok(checked(answer.document.take(), bytes_max)
                .map(|document| RecordAnswer { document: Some(document), ..answer }))
        });
        self.through_gate(Purpose::Question, answer).await
    }

    /// What a certificate is worth.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn verify_certificate(
        &self,
        by: Certificate,
        caller: &Caller,
    ) -> Result<CertificateAnswer, CallError> {
        let institution = Some(caller.institution.clone());
        let message = VerifyCertificateRequest { institution, by: Some(by.clone()) };
        let call = self.call(RegistryCall::VerifyCertificate, message, caller, self.until());
        let mut client = RegistryClient::new(self.courier.clone());
        let answer = self.answer(call, async |request| {
            let answer = client.verify_certificate(request).await?.into_inner();
            testimony::certificate_of(answer, &by).map_err(|flaw| self.not_believed(flaw))
        });
        self.through_gate(Purpose::Question, answer).await
    }

    /// An electronic certificate of `bytes_max` at most.
    ///
    /// # Errors
    /// [`CallError`]; inside, why the document that came is not passed on.
    pub async fn fetch_certificate(
        &self,
        certificate_number: String,
        bytes_max: usize,
        caller: &Caller,
    ) -> Result<Result<Document, Unsound>, CallError> {
        let institution = Some(caller.institution.clone());
        let message = FetchCertificateRequest { institution, certificate_number };
        let call = self.call(RegistryCall::FetchCertificate, message, caller, self.until());
        let mut client = RegistryClient::new(self.courier.clone());
        let answer = self.answer(call, async |request| {
            let mut pieces = client.fetch_certificate(request).await?.into_inner();
            let mut gathering = Gathering::new(bytes_max);
            while let Some(piece) = pieces.message().await? {
                if let Err(unsound) = gathering.take(piece) {
                    return Ok(Err(unsound));
                }
            }
            Ok(gathering.whole())
        });
        self.through_gate(Purpose::Question, answer).await
    }

    /// Asks that a case be withdrawn, and tells how it stands then; `key` is the one it was submitted under. It may be
    /// asked again: withdrawing twice is the same as once.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn withdraw(
        &self,
        case_id: &str,
        key: &str,
        reason: String,
        caller: &Caller,
    ) -> Result<Testimony, CallError> {
        let message = WithdrawRequest {
            institution: Some(caller.institution.clone()),
            case_id: case_id.to_owned(),
            idempotency_key: key.to_owned(),
            reason,
        };
        let call = self.call(RegistryCall::Withdraw, message, caller, self.until());
        let mut client = RegistryClient::new(self.courier.clone());
        let by = By::CaseId(case_id.to_owned());
        let answer = self.answer(call, async |request| {
            let case = client.withdraw(request).await?.into_inner().case;
            let case: v1::Case = case.ok_or_else(silent)?;
            self.believed(testimony::testimony_of(case, &caller.institution.id, &by))
        });
        self.through_gate(Purpose::Filing, answer).await
    }

    /// What it took on one day, by institution and office.
    ///
    /// # Errors
    /// [`CallError`]; it is rejected by a registry that does not offer this.
    pub async fn sum_day(&self, day: Date) -> Result<Vec<v1::DaySum>, CallError> {
        let message = SumDayRequest { day: day.to_string() };
        let call = self.call(RegistryCall::SumDay, message, &nobody(), self.until());
        let mut client = RegistryClient::new(self.courier.clone());
        let answer = self.answer(call, async |request| {
            let sums = client.sum_day(request).await?.into_inner().sums;
            testimony::sums_of(sums).map_err(|flaw| self.not_believed(flaw))
        });
        self.through_gate(Purpose::Resolving, answer).await
    }

    /// A page of what one institution filed at one office on one day, by the registry's own code.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_day(
        &self,
        day: Date,
        institution: &str,
        office: &str,
        after: String,
        limit: u32,
    ) -> Result<v1::ListDayResponse, CallError> {
        let message = ListDayRequest {
            day: day.to_string(),
            institution_id: institution.to_owned(),
            office: office.to_owned(),
            after: after.clone(),
            limit: i32::try_from(limit).unwrap_or(i32::MAX),
        };
        let call = self.call(RegistryCall::ListDay, message, &nobody(), self.until());
        let mut client = RegistryClient::new(self.courier.clone());
        let answer = self.answer(call, async |request| {
            let page = client.list_day(request).await?.into_inner();
            testimony::page_of(page, &after).map_err(|flaw| self.not_believed(flaw))
        });
        self.through_gate(Purpose::Resolving, answer).await
    }

    /// When a call that begins now is given up.
    fn until(&self) -> Instant {
        let deadline: Duration = self.settings.deadline;
        Instant::now() + deadline
    }
}

/// The gateway asks for all institutions at once.
fn nobody() -> Caller {
    Caller { institution: v1::Institution::default(), client_cert: None }
}

/// What stands around a document in a message, at most.
const AROUND_A_DOCUMENT: usize = 1024 * 1024;
