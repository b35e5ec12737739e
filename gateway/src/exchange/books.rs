//! An institution's own books of one day, as it asks for them to compare them with its own.

use adapters::FaultCode;
use proto::{
    Date,
    v1::{BookLine, Books, BooksQuery},
};

use super::Hearing;
use crate::{
    reconciliation::{
        self, Failed,
        books::{Entry, Sum},
    },
    refusal::Refusal,
    telemetry::LedgerVerb,
};

impl Hearing<'_> {
    /// What the institution filed on that day comes to; and the cases, if it asks for them.
    pub(super) async fn read_books(&self, query: BooksQuery) -> Result<Books, Refusal> {
        let BooksQuery { day, office, after, limit } = query;
        let no_day =
            || Refusal::of_faults(self.faults(FaultCode::DateInvalid, &["day".to_owned()]));
        let asked = Date::parse(&day).map_err(|_no_day| no_day())?;
        let wanted = Some(office.as_str()).filter(|office| !office.is_empty());
        let (ledger, id) = (&*self.gateway.ledger, self.bank.id());
        let reading = async {
            match reconciliation::of_institution(ledger, id, asked, wanted).await {
                Ok(filed) => Ok(Some(filed)),
                Err(Failed::Ledger(error)) => Err(error),
                // Nobody asks a registry here; what is left is a day beyond the calendar.
                Err(Failed::Registry(_) | Failed::Day(_)) => Ok(None),
            }
        };
        let filed = self.gateway.timed(LedgerVerb::Filed, reading).await;
        let filed = filed.map_err(|error| self.ledger_away(&error))?.ok_or_else(no_day)?;
        let entries: Vec<_> = filed.iter().map(|(_, entry)| entry.clone()).collect();
        let Sum { count, digest, parties: _ } = Sum::of(&entries);
        let page_max = self.gateway.events.page_max;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        let limit = limit.map_or(page_max, |limit| limit.min(page_max));
        let (cases, next) = page(filed, &after, usize::try_from(limit).unwrap_or(usize::MAX));
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Books { day, office, count, digest: digest.to_vec(), cases, next })
    }
}

/// The cases after a key, and the key to go on after; nothing where no cases are asked for.
fn page(filed: Vec<(String, Entry)>, after: &str, limit: usize) -> (Vec<BookLine>, String) {
    let after = match after {
        "" => return (Vec::new(), String::new()),
        BEGINNING => "",
        key => key,
    };
    let mut rest: Vec<_> = filed.into_iter().filter(|(_, it)| it.key.as_str() > after).collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let line = |(office, it): (String, Entry)| BookLine {
        key: it.key,
        case_id: it.case_id,
        status: it.status.into(),
        amount_fen: it.amount_fen,
        office,
    };
    let cases: Vec<BookLine> = rest.into_iter().map(line).collect();
    let next = cases.last().filter(|_| more).map(|it| it.key.clone()).unwrap_or_default();
    (cases, next)
}

/// The place before all keys, as banks write it.
const BEGINNING: &str = "start";

#[cfg(test)]
mod tests {
    use proto::v1::CaseStatus;

    use super::*;

    #[test]
    fn pages_go_on_after_each_other_and_end() {
        let entry = |key: &str| Entry {
            key: key.into(),
            case_id: String::new(),
            status: CaseStatus::Registered,
            amount_fen: None,
            parties: None,
        };
        let filed = || ["a", "b", "c"].map(|key| ("1".to_owned(), entry(key))).to_vec();
        let keys = |after: &str, limit: usize| {
            let (cases, next) = page(filed(), after, limit);
            (cases.into_iter().map(|it| it.key).collect::<String>(), next)
        };
        assert_eq!(keys("", 9), (String::new(), String::new()));
        assert_eq!(keys("start", 2), ("ab".into(), "b".into()));
        assert_eq!(keys("b", 2), ("c".into(), String::new()));
        assert_eq!(keys("start", 3), ("abc".into(), String::new()));
    }
}
