//! What banks ask of the registry besides filings: certificates and records of it, and to take back what was filed.

use aws_lc_rs::digest::{Context, SHA256};
use prost::Message;
use proto::v1::{
    Case, CertifyRecordRequest, FetchCertificateRequest, FetchCertificateResponse, RecordAnswer,
    UploadMaterialRequest, UploadMaterialResponse, VerifyCertificateRequest,
    VerifyCertificateResponse, WithdrawRequest, verify_certificate_request::By,
};
use tonic::{Request, Status, Streaming};

use super::{
    cases::timestamp,
    certificates::{self, code_of},
    faults::{Call, Fault},
    service::{Arrival, Desk, What, after, before, delay, missing},
};

impl Desk {
    pub(super) async fn issue(
        &self,
        request: Request<CertifyRecordRequest>,
    ) -> Result<RecordAnswer, Status> {
        let (arrival, encoded) = (Arrival::of(&request)?, request.get_ref().encode_to_vec());
        let request = request.into_inner();
        let institution = request.institution.map(|it| it.id).unwrap_or_default();
        let query = request.query.ok_or_else(|| missing("query"))?;
        let what = What { institution: &institution, key: "", encoded };
        let fault = self.met(Call::CertifyRecord, &arrival, &what).await?;
        let as_of = timestamp(self.shared.now());
        let mut answer =
            self.shared.change(|books| books.cases.register.records.issue(&query, as_of));
        if let (Some(Fault::Spoil), Some(document)) = (fault, &mut answer.document) {
            document.content.reverse();
        }
        after(fault, &arrival.caller).await;
        Ok(answer)
    }

    pub(super) async fn verify(
        &self,
        request: Request<VerifyCertificateRequest>,
    ) -> Result<VerifyCertificateResponse, Status> {
        let (arrival, encoded) = (Arrival::of(&request)?, request.get_ref().encode_to_vec());
        let request = request.into_inner();
        let institution = request.institution.map(|it| it.id).unwrap_or_default();
        let by = request.by.ok_or_else(|| missing("certificate_number or verification_code"))?;
        let what = What { institution: &institution, key: "", encoded };
        let fault = self.met(Call::VerifyCertificate, &arrival, &what).await?;
        let as_of = timestamp(self.shared.now());
        let answer = {
            let register = &self.shared.books().cases.register;
            let number = match by {
                By::CertificateNumber(number) => number,
                By::VerificationCode(code) => {
                    let mut numbers = register.certificate_numbers();
                    numbers.find(|number| code_of(number) == code).unwrap_or_default().to_owned()
                }
            };
            register.verify(&number, as_of)
        };
        after(fault, &arrival.caller).await;
        Ok(answer)
    }

    pub(super) async fn fetch(
        &self,
        request: Request<FetchCertificateRequest>,
    ) -> Result<Vec<FetchCertificateResponse>, Status> {
        let (arrival, encoded) = (Arrival::of(&request)?, request.get_ref().encode_to_vec());
        let request = request.into_inner();
        let institution = request.institution.map(|it| it.id).unwrap_or_default();
        let number = request.certificate_number;
        let what = What { institution: &institution, key: "", encoded };
        let fault = self.met(Call::FetchCertificate, &arrival, &what).await?;
        if !self.shared.books().cases.has_certificate(&institution, &number) {
            return Ok(Vec::new());
        }
        let mut pieces = certificates::pieces(certificates::document(&number));
        match fault {
            Some(Fault::Spoil) => pieces.iter_mut().for_each(|piece| piece.chunk.reverse()),
            Some(Fault::CutShort) => drop(pieces.pop()),
            _ => {}
        }
        after(fault, &arrival.caller).await;
        Ok(pieces)
    }

    pub(super) async fn take_back(
        &self,
        request: Request<WithdrawRequest>,
    ) -> Result<Option<Case>, Status> {
        let (arrival, encoded) = (Arrival::of(&request)?, request.get_ref().encode_to_vec());
        let request = request.into_inner();
        let institution = request.institution.map(|it| it.id).unwrap_or_default();
        if institution.is_empty() || request.case_id.is_empty() {
            return Err(missing("institution.id or case_id"));
        }
        let what = What { institution: &institution, key: &request.idempotency_key, encoded };
        let fault = self.met(Call::Withdraw, &arrival, &what).await?;
        let now = self.shared.now();
        let withdrawn =
            self.shared.change(|books| books.cases.withdraw(&institution, &request.case_id, now));
        after(fault, &arrival.caller).await;
        Ok(withdrawn)
    }

    /// Takes a material, of which it keeps nothing: it counts those that are what they are said to be.
    pub(super) async fn take_material(
        &self,
        request: Request<Streaming<UploadMaterialRequest>>,
    ) -> Result<UploadMaterialResponse, Status> {
        let arrival = Arrival::of(&request)?;
        let mut pieces = request.into_inner();
        let (mut digest, mut size_bytes) = (Context::new(&SHA256), 0_i64);
        let mut announced = None;
        while let Some(piece) = pieces.message().await? {
            announced = announced.or(piece.material);
            digest.update(&piece.chunk);
            size_bytes += i64::try_from(piece.chunk.len()).unwrap_or(i64::MAX);
        }
        let sha256 = digest.finish().as_ref().to_vec();
        let announced = announced.ok_or_else(|| missing("material"))?;
        if announced.sha256 != sha256 || announced.size_bytes != Some(size_bytes) {
            return Err(Status::data_loss("the material is not what was said of it"));
        }
        let key = hex::encode(&sha256);
        let what = What { institution: "", key: &key, encoded: announced.encode_to_vec() };
        let fault = self.met(Call::UploadMaterial, &arrival, &what).await?;
        after(fault, &arrival.caller).await;
        Ok(UploadMaterialResponse { sha256, size_bytes })
    }

    /// Writes the call down and lets it meet its fault as far as that comes before acting.
    async fn met(
        &self,
        call: Call,
        arrival: &Arrival,
        what: &What<'_>,
    ) -> Result<Option<Fault>, Status> {
        let released = self.shared.releases.subscribe();
        let fault = self.arrived(call, arrival, what);
        before(fault, &arrival.caller).await?;
        delay(fault, released).await;
        Ok(fault)
    }
}
