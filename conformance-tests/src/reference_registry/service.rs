//! The service itself: who may call, what a call must carry, and the faults it meets on its way to the books.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use prost::Message;
use proto::v1::{
    Application, Case, CaseStatus, CertifyRecordRequest, CertifyRecordResponse, CorrectRequest,
    CorrectResponse, DescribeOfficesRequest, DescribeOfficesResponse, FetchCertificateRequest,
    FetchCertificateResponse, GetCaseRequest, GetCaseResponse, ListDayRequest, ListDayResponse,
    Outcome, QueryTitleRequest, QueryTitleResponse, SubmitRequest, SubmitResponse, SumDayRequest,
    SumDayResponse, UploadMaterialRequest, UploadMaterialResponse, VerifyCertificateRequest,
    VerifyCertificateResponse, WatchEventsRequest, WithdrawRequest, WithdrawResponse,
    get_case_request, registry_server::Registry,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::watch, time::sleep};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Shared, Step,
    cases::timestamp,
    evidence::Received,
    faults::{Call, Fault, SOMEBODY, Silence},
    listener::Caller,
    stream,
};

/// The counter that takes the calls.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes the call down and draws the fault it is to meet.
    pub(super) fn arrived(&self, call: Call, arrival: &Arrival, what: &What<'_>) -> Option<Fault> {
        self.shared.change(|books| {
            let fault = books.orders.take(call);
            match call {
                Call::Submit | Call::Correct => {
                    books.cases.count_submit(what.institution, what.key);
                }
                Call::GetCase => books.cases.count_question(),
                Call::Withdraw
                | Call::QueryTitle
                | Call::CertifyRecord
                | Call::VerifyCertificate
                | Call::FetchCertificate
                | Call::WatchEvents => {}
                Call::UploadMaterial => books.cases.count_material(),
            }
            books.log.note(Received {
                at: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
                call,
                institution: what.institution.to_owned(),
                key: what.key.to_owned(),
                request_sha256: sha256(&what.encoded),
                traceparent: arrival.traceparent.clone(),
                tracestate: arrival.tracestate.clone(),
                bank_certificate_sha256: arrival.bank_certificate_sha256(),
                gateway_certificate_sha256: sha256(&arrival.caller.certificate),
                fault,
            });
            fault
        })
    }

    /// Takes an application that was submitted, or that corrects another.
    async fn file(
        &self,
        call: Call,
        arrival: Arrival,
        encoded: Vec<u8>,
        application: Option<Application>,
    ) -> Result<Case, Status> {
        let application = application.ok_or_else(|| missing("application"))?;
        let institution = application.institution.as_ref().map_or("", |it| it.id.as_str());
        let key = application.idempotency_key.as_str();
        if arrival.bank_certificate.is_none() {
            return Err(Status::unauthenticated("metadata client-cert is missing"));
        }
        if institution.is_empty() || key.is_empty() {
            return Err(missing("application.institution.id or application.idempotency_key"));
        }
        if arrival.idempotency_key != key {
            let words = "metadata idempotency-key is not application.idempotency_key";
            return Err(Status::invalid_argument(words));
        }

        // Before the fault is known to have been met, so that a test may release the call as soon as it sees it.
        let released = self.shared.releases.subscribe();
        let what = What { institution, key, encoded };
        let fault = self.arrived(call, &arrival, &what);
        before(fault, &arrival.caller).await?;
        // On its own, because a registry that has the application acts on it, whether or not the caller still listens.
        let shared = Arc::clone(&self.shared);
        let bank = arrival.bank_certificate_sha256();
        let act = self.shared.tasks.spawn(async move {
            delay(fault, released).await;
            let now = shared.now();
            let case = shared.change(|books| match call {
                Call::Correct => books.cases.correct(application, bank, now),
                _ => books.cases.submit(application, bank, now),
            });
            review_slowly(shared, &case);
            case
        });
        let case = act.await.map_err(|failure| Status::internal(failure.to_string()))?;
        after(fault, &arrival.caller).await;
        Ok(case)
    }
}

/// Where reviewers take their time, a case that was accepted is reviewed, and then entered or refused, by itself.
fn review_slowly(shared: Arc<Shared>, case: &Case) {
    let outcome = case.outcome.clone().unwrap_or_default();
    let Some(time) = shared.books().cases.review_time() else { return };
    if outcome.status() != CaseStatus::Accepted {
        return;
    }
    tokio::spawn(async move {
        for step in [Step::Review, Step::Register] {
            sleep(time).await;
            let now = shared.now();
            // It was withdrawn meanwhile, or is the first case of a key that came again: then another sees to it.
            let _moved_on = shared.change(|books| books.cases.advance(&outcome.case_id, step, now));
        }
    });
}

#[tonic::async_trait]
impl Registry for Desk {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let (arrival, encoded) = (Arrival::of(&request)?, request.get_ref().encode_to_vec());
        let application = request.into_inner().application;
        let case = self.file(Call::Submit, arrival, encoded, application).await?;
        Ok(Response::new(SubmitResponse { case: Some(case) }))
    }

    async fn get_case(
        &self,
        request: Request<GetCaseRequest>,
    ) -> Result<Response<GetCaseResponse>, Status> {
        let arrival = Arrival::of(&request)?;
        let encoded = request.get_ref().encode_to_vec();
        let request = request.into_inner();
        let institution = request.institution.map(|it| it.id).unwrap_or_default();
        let by = request.by.ok_or_else(|| missing("case_id or idempotency_key"))?;
        if institution.is_empty() {
            return Err(missing("institution.id"));
        }
        let (get_case_request::By::CaseId(key) | get_case_request::By::IdempotencyKey(key)) = &by;
        let released = self.shared.releases.subscribe();
        let what = What { institution: &institution, key, encoded };
        let fault = self.arrived(Call::GetCase, &arrival, &what);
        before(fault, &arrival.caller).await?;
        delay(fault, released).await;
        let mut case = {
            let books = self.shared.books();
            match &by {
                get_case_request::By::CaseId(id) => books.cases.by_id(&institution, id).cloned(),
                get_case_request::By::IdempotencyKey(key) => {
                    books.cases.by_key(&institution, key).cloned()
                }
            }
        };
        if let (Some(Fault::Behind), Some(Case { outcome: Some(outcome), .. })) = (fault, &mut case)
        {
            let case_id = std::mem::take(&mut outcome.case_id);
            let status = CaseStatus::Accepted.into();
            *outcome = Outcome { case_id, status, ..Outcome::default() };
        }
        after(fault, &arrival.caller).await;
        Ok(Response::new(GetCaseResponse { case }))
    }

    async fn query_title(
        &self,
        request: Request<QueryTitleRequest>,
    ) -> Result<Response<QueryTitleResponse>, Status> {
        let arrival = Arrival::of(&request)?;
        let encoded = request.get_ref().encode_to_vec();
        let request = request.into_inner();
        let institution = request.institution.map(|it| it.id).unwrap_or_default();
        let query = request.query.ok_or_else(|| missing("query"))?;
        if institution.is_empty() {
            return Err(missing("institution.id"));
        }
        let released = self.shared.releases.subscribe();
        let what = What { institution: &institution, key: "", encoded };
        let fault = self.arrived(Call::QueryTitle, &arrival, &what);
        before(fault, &arrival.caller).await?;
        delay(fault, released).await;
        let as_of = timestamp(self.shared.now());
        let answer = self.shared.books().cases.register.answer(&query, as_of);
        after(fault, &arrival.caller).await;
        Ok(Response::new(QueryTitleResponse { answer: Some(answer) }))
    }

    async fn verify_certificate(
        &self,
        request: Request<VerifyCertificateRequest>,
    ) -> Result<Response<VerifyCertificateResponse>, Status> {
        Ok(Response::new(self.verify(request).await?))
    }

    async fn certify_record(
        &self,
        request: Request<CertifyRecordRequest>,
    ) -> Result<Response<CertifyRecordResponse>, Status> {
        let answer = self.issue(request).await?;
        Ok(Response::new(CertifyRecordResponse { answer: Some(answer) }))
    }

    async fn describe_offices(
        &self,
        request: Request<DescribeOfficesRequest>,
    ) -> Result<Response<DescribeOfficesResponse>, Status> {
        let prefix = request.into_inner().division_prefix;
        self.shared.change(|books| books.cases.count_description());
        let books = self.shared.books();
        let offices = books.cases.register.offices.iter().map(|office| &office.description);
        let asked = offices
            .filter(|office| {
                office.office.as_ref().is_some_and(|office| office.division.starts_with(&prefix))
            })
            .cloned()
            .collect();
        Ok(Response::new(DescribeOfficesResponse { offices: asked }))
    }

    async fn sum_day(
        &self,
        request: Request<SumDayRequest>,
    ) -> Result<Response<SumDayResponse>, Status> {
        self.sum(request)
    }

    async fn list_day(
        &self,
        request: Request<ListDayRequest>,
    ) -> Result<Response<ListDayResponse>, Status> {
        self.list(request)
    }

    async fn withdraw(
        &self,
        request: Request<WithdrawRequest>,
    ) -> Result<Response<WithdrawResponse>, Status> {
        Ok(Response::new(WithdrawResponse { case: self.take_back(request).await? }))
    }

    async fn correct(
        &self,
        request: Request<CorrectRequest>,
    ) -> Result<Response<CorrectResponse>, Status> {
        let (arrival, encoded) = (Arrival::of(&request)?, request.get_ref().encode_to_vec());
        let application = request.into_inner().application;
        let case = self.file(Call::Correct, arrival, encoded, application).await?;
        Ok(Response::new(CorrectResponse { case: Some(case) }))
    }

    type FetchCertificateStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<FetchCertificateResponse, Status>>>;

    async fn fetch_certificate(
        &self,
        request: Request<FetchCertificateRequest>,
    ) -> Result<Response<Self::FetchCertificateStream>, Status> {
        let pieces: Vec<_> = self.fetch(request).await?.into_iter().map(Ok).collect();
        Ok(Response::new(tokio_stream::iter(pieces)))
    }

    async fn upload_material(
        &self,
        request: Request<Streaming<UploadMaterialRequest>>,
    ) -> Result<Response<UploadMaterialResponse>, Status> {
        Ok(Response::new(self.take_material(request).await?))
    }

    type WatchEventsStream = stream::Told;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Ok(Response::new(self.tell(request).await?))
    }
}

/// What a call is about, for the log.
pub(super) struct What<'a> {
    pub(super) institution: &'a str,
    pub(super) key: &'a str,
    pub(super) encoded: Vec<u8>,
}

/// Who called and what the metadata say.
pub(super) struct Arrival {
    pub(super) caller: Caller,
    /// DER, from RFC 9440 `client-cert`.
    bank_certificate: Option<Vec<u8>>,
    idempotency_key: String,
    traceparent: String,
    tracestate: String,
}

impl Arrival {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let metadata = request.metadata();
        Ok(Self {
            caller: caller.ok_or_else(|| Status::unauthenticated("no client certificate"))?,
            bank_certificate: client_cert(metadata)?,
            idempotency_key: text(metadata, "idempotency-key"),
            traceparent: text(metadata, "traceparent"),
            tracestate: text(metadata, "tracestate"),
        })
    }

    fn bank_certificate_sha256(&self) -> String {
        self.bank_certificate.as_deref().map(sha256).unwrap_or_default()
    }
}

/// The bank's certificate: RFC 9440 section 2.2, a structured-field byte sequence (base64 between colons) of the DER.
fn client_cert(metadata: &MetadataMap) -> Result<Option<Vec<u8>>, Status> {
    let words = text(metadata, "client-cert");
    if words.is_empty() {
        return Ok(None);
    }
    words
        .strip_prefix(':')
        .and_then(|rest| rest.strip_suffix(':'))
        .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
        .filter(|der| X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty()))
        .map(Some)
        .ok_or_else(|| Status::unauthenticated("metadata client-cert is no certificate (RFC 9440)"))
}

fn text(metadata: &MetadataMap, name: &str) -> String {
    metadata.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

pub(super) async fn before(fault: Option<Fault>, caller: &Caller) -> Result<(), Status> {
    match fault {
        Some(Fault::Unavailable) => Err(Status::unavailable(format!("not now, {SOMEBODY}"))),
        Some(Fault::DropBeforeCommit { how }) => match vanish(how, caller).await {},
        Some(
            Fault::Delay { .. }
            | Fault::DelayAfterCommit { .. }
            | Fault::Hold
            | Fault::DropAfterCommit { .. }
            | Fault::Behind
            | Fault::Spoil
            | Fault::CutShort,
        )
        | None => Ok(()),
    }
}

pub(super) async fn delay(fault: Option<Fault>, mut released: watch::Receiver<()>) {
    match fault {
        Some(Fault::Delay { ms }) => sleep(Duration::from_millis(ms)).await,
        // Fails only when the registry is gone, and then nobody waits.
        Some(Fault::Hold) => drop(released.changed().await),
        Some(
            Fault::DelayAfterCommit { .. }
            | Fault::DropBeforeCommit { .. }
            | Fault::DropAfterCommit { .. }
            | Fault::Unavailable
            | Fault::Behind
            | Fault::Spoil
            | Fault::CutShort,
        )
        | None => {}
    }
}

pub(super) async fn after(fault: Option<Fault>, caller: &Caller) {
    match fault {
        Some(Fault::DelayAfterCommit { ms }) => sleep(Duration::from_millis(ms)).await,
        Some(Fault::DropAfterCommit { how }) => match vanish(how, caller).await {},
        Some(
            Fault::Delay { .. }
            | Fault::Hold
            | Fault::DropBeforeCommit { .. }
            | Fault::Unavailable
            | Fault::Behind
            | Fault::Spoil
            | Fault::CutShort,
        )
        | None => {}
    }
}

/// Leaves the call without an answer; ends only with the connection, which takes the call along.
async fn vanish(how: Silence, caller: &Caller) -> Infallible {
    match how {
        Silence::Close => caller.cut.cancel(),
        Silence::Never => {}
    }
    pending().await
}

pub(super) fn missing(what: &str) -> Status {
    Status::invalid_argument(format!("{what} is missing"))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}
