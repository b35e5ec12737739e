//! An institution's own books of one day as CSV: `GET /reconciliations/YYYY-MM-DD.csv` on the HTTPS port, for every institution,
//! whatever its contract. What the standard API says in JSON is the same, page by page.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header, request::Parts};
use http_body_util::Full;
use proto::Date;

use super::problem::Problem;
use crate::{
    ledger::Ledger,
    reconciliation::{
        self, Failed,
        books::{Entry, Sum, name},
    },
};

/// What all paths of books begin with.
pub(super) const PATH: &str = "/reconciliations/";

/// Answers one request for books. `office=CODE` in the query leaves out all others.
pub(super) async fn answer(
    ledger: &dyn Ledger,
    institution: &str,
    head: &Parts,
) -> Result<Response<Full<Bytes>>, Problem> {
    let day = head.uri.path().strip_prefix(PATH).and_then(|name| name.strip_suffix(".csv"));
    let day = day.and_then(|day| Date::parse(day).ok()).ok_or(Problem::PathUnknown)?;
    if head.method != Method::GET {
        return Err(Problem::MethodNotAllowed { agreed: Method::GET.to_string() });
    }
    let query = head.uri.query().unwrap_or_default();
    let office = query.split('&').find_map(|pair| pair.strip_prefix("office="));
    let office = office.filter(|office| !office.is_empty());
    let filed = reconciliation::of_institution(ledger, institution, day, office).await;
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
    let mut response = Response::new(Full::new(written(&filed).ok_or(Problem::AnswerLost)?));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert("books-count", HeaderValue::from(sum.count));
    if let Ok(digest) = HeaderValue::from_str(&hex::encode(sum.digest)) {
        headers.insert("books-digest", digest);
    }
    Ok(response)
}

fn written(filed: &[(String, Entry)]) -> Option<Bytes> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["key", "case", "status", "amount_fen", "office"]).ok()?;
    for (office, it) in filed {
        let amount = it.amount_fen.map(|fen| fen.to_string()).unwrap_or_default();
        table.write_record([&*it.key, &it.case_id, name(it.status), &amount, office]).ok()?;
    }
    table.into_inner().ok().map(Bytes::from)
}
