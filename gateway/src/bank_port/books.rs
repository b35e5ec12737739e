//! An institution's own books of one day as CSV: `GET /reconciliations/YYYY-MM-DD.csv` on the HTTPS port, for every institution,
//! whatever its contract. What the standard API says in JSON is the same, page by page. What was told is in the log of
//! exchanges, as everything is that was told.

use std::time::SystemTime;

use adapters::wire::whole::HttpMessage;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header, request::Parts};
use proto::Date;

use super::problem::Problem;
use crate::{
    evidence::leaf::{Exchange, Leaf, Salt},
    exchange::Gateway,
    identity::VerifiedBank,
    ledger::evidence::NewLeaf,
    reconciliation::{
        self, Failed,
        books::{Entry, Sum, name},
    },
    telemetry::LedgerVerb,
};

/// What all paths of books begin with.
pub(super) const PATH: &str = "/reconciliations/";

/// Answers one request for books. `office=CODE` in the query leaves out all others.
pub(super) async fn answer(
    gateway: &Gateway,
    bank: &VerifiedBank,
    head: &Parts,
) -> Result<Response<Bytes>, Problem> {
    let at = SystemTime::now();
    let day = head.uri.path().strip_prefix(PATH).and_then(|name| name.strip_suffix(".csv"));
    let day = day.and_then(|day| Date::parse(day).ok()).ok_or(Problem::PathUnknown)?;
    if head.method != Method::GET {
        return Err(Problem::MethodNotAllowed { agreed: Method::GET.to_string() });
    }
    let query = head.uri.query().unwrap_or_default();
    let office = query.split('&').find_map(|pair| pair.strip_prefix("office="));
    let office = office.filter(|office| !office.is_empty());
    let filed = reconciliation::of_institution(&*gateway.ledger, bank.id(), day, office).await;
    let filed = filed.map_err(|failed| match failed {
        Failed::Ledger(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the ledger cannot be used");
            Problem::LedgerUnavailable
        }
        Failed::Registry(_) | Failed::Day(_) => Problem::PathUnknown,
    })?;
    let entries: Vec<_> = filed.iter().map(|(_, entry)| entry.clone()).collect();
    let sum = Sum::of(&entries);
    let told = written(&filed).ok_or(Problem::AnswerLost)?;
    witness(gateway, bank, head, &told, at).await;
    let mut response = Response::new(told);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert("books-count", HeaderValue::from(sum.count));
    if let Ok(digest) = HeaderValue::from_str(&hex::encode(sum.digest)) {
        headers.insert("books-digest", digest);
    }
    Ok(response)
}

/// Keeps what was told. The answer is what it is, whether or not that succeeds.
async fn witness(
    gateway: &Gateway,
    bank: &VerifiedBank,
    head: &Parts,
    told: &[u8],
    at: SystemTime,
) {
    let kept = async {
        let name = bank.contract();
        let contract = gateway.contracts.telling(name, at).ok_or("no contract is in force")?;
        let salt = Salt::fresh().map_err(|none| none.to_string())?;
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let start = format!("{} {target} HTTP/1.1", head.method).into();
        let asked = HttpMessage { start, headers: Vec::new(), body: [].as_slice().into() };
        let exchange = Exchange {
            origin: &gateway.origin,
            institution: bank.id(),
            key: None,
            message: None,
            contract: name,
            version: contract.version(),
            contract_digest: gateway.contracts.digest_of(name).unwrap_or_default(),
            heard: at.into(),
            answered: SystemTime::now().into(),
            result: BOOKS,
            registry: None,
            office: None,
            case: None,
            trace: None,
            received: &asked.bytes(),
            canonical: None,
            registry_answer: None,
            replied: told,
        };
        let text = Leaf::of(&exchange, &salt).text().to_owned();
        let leaf = NewLeaf {
            institution: bank.id().to_owned(),
            key: None,
            text,
            salt,
            mentions: Vec::new(),
        };
        let witnessed = gateway
            .timed(LedgerVerb::Witness, async { gateway.ledger.witness(&leaf, None).await.leaf });
        witnessed.await.map_err(|error| error.to_string())
    };
    if let Err(error) = kept.await {
        let error: String = error;
        gateway.metrics.evidence_unwritten(bank.id());
        tracing::error!(
            institution = bank.id(),
            error,
            "an exchange is answered without its evidence being kept"
        );
    }
}

/// What metrics and leaves call it.
pub(super) const BOOKS: &str = "BOOKS";

fn written(filed: &[(String, Entry)]) -> Option<Bytes> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["key", "case", "status", "amount_fen", "office"]).ok()?;
    for (office, it) in filed {
        let amount = it.amount_fen.map(|fen| fen.to_string()).unwrap_or_default();
        table.write_record([&*it.key, &it.case_id, name(it.status), &amount, office]).ok()?;
    }
    table.into_inner().ok().map(Bytes::from)
}
