//! The registry's books of one day (对账): sums and cases, written after docs/reconciliation.md alone, so that the page is
//! tried; and the ways in which a test alters them by hand.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use proto::v1::{
    BookedCase, CaseStatus, DaySum, ListDayRequest, ListDayResponse, Registered, SumDayRequest,
    SumDayResponse,
};
use time::{OffsetDateTime, macros::offset};
use tonic::{Request, Response, Status};

use super::{
    account,
    cases::{Cases, File},
    service::{Arrival, Desk, missing},
};

/// What is done to a case by hand; nobody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// It was never there.
    Forget,
    /// There is another like it.
    Copy {
        /// Its key.
        key: String,
        /// Its number.
        case_id: String,
    },
    /// It stands otherwise.
    Status(CaseStatus),
    /// Another amount was entered, in fen.
    Amount(i64),
    /// Somebody else was entered: each list's first has this identity number.
    Party(String),
    /// It was submitted so many days earlier.
    Earlier(i64),
}

impl Cases {
    /// Does something to a case by hand.
    ///
    /// # Errors
    /// There is no such case.
    pub(super) fn alter(&mut self, case_id: &str, alteration: Alteration) -> anyhow::Result<()> {
        let file = self.file_mut(case_id).with_context(|| format!("no case {case_id}"))?;
        match alteration {
            Alteration::Forget => self.forget(case_id),
            Alteration::Copy { key, case_id } => {
                let mut copy = file.clone();
                copy.case.idempotency_key = key;
                let outcome = copy.case.outcome.get_or_insert_default();
                outcome.case_id = case_id;
                self.add(copy);
            }
            Alteration::Status(status) => {
                file.case.outcome.get_or_insert_default().set_status(status);
            }
            Alteration::Amount(fen) => file.entered_mut().amount_fen = Some(fen),
            Alteration::Party(id_number) => {
                for list in &mut file.entered_mut().parties {
                    list.id_numbers.iter_mut().take(1).for_each(|id| id.clone_from(&id_number));
                }
            }
            Alteration::Earlier(days) => {
                file.case.submitted_at.get_or_insert_default().seconds -= days * 24 * 60 * 60;
            }
        }
        Ok(())
    }

    fn of_day(&self, day: &str) -> impl Iterator<Item = &File> {
        self.files().iter().filter(move |file| file.day() == day)
    }

    fn sums(&self, day: &str) -> Vec<DaySum> {
        let mut places: BTreeMap<(&str, &str), Vec<BookedCase>> = BTreeMap::new();
        for file in self.of_day(day) {
            let place = (file.case.institution_id.as_str(), file.office());
            places.entry(place).or_default().push(file.booked());
        }
        let sum = |((institution, office), cases): ((&str, &str), Vec<BookedCase>)| DaySum {
            institution_id: institution.to_owned(),
            office: office.to_owned(),
            count: i64::try_from(cases.len()).unwrap_or(i64::MAX),
            digest: of_lines(cases.iter().map(line).collect()),
            parties_digest: Some(of_lines(cases.iter().map(parties_line).collect())),
        };
        places.into_iter().map(sum).collect()
    }

    fn page(&self, asked: &ListDayRequest) -> ListDayResponse {
        let limit = usize::try_from(asked.limit).unwrap_or(0);
        let mut cases: Vec<_> = self
            .of_day(&asked.day)
            .filter(|file| {
                file.case.institution_id == asked.institution_id && file.office() == asked.office
            })
            .map(File::booked)
            .filter(|case| case.idempotency_key > asked.after)
            .collect();
        cases.sort_by(|one, other| one.idempotency_key.cmp(&other.idempotency_key));
        cases.dedup_by(|later, first| later.idempotency_key == first.idempotency_key);
        let more = cases.len() > limit;
        cases.truncate(limit);
        ListDayResponse { cases, more }
    }
}

impl File {
    fn day(&self) -> String {
        let at = self.case.submitted_at.map_or(0, |at| at.seconds);
        let at = OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        at.to_offset(offset!(+8)).date().to_string()
    }

    fn office(&self) -> &str {
        self.application.office.as_ref().map_or("", |office| office.code.as_str())
    }

    /// What is entered, or was applied for.
    fn entered(&self) -> Registered {
        let applied = || account::of(&self.application, false);
        self.case.registered.clone().or_else(applied).unwrap_or_default()
    }

    fn entered_mut(&mut self) -> &mut Registered {
        let entered = self.entered();
        self.case.registered.insert(entered)
    }

    fn booked(&self) -> BookedCase {
        let outcome = self.case.outcome.clone().unwrap_or_default();
        let entered = self.entered();
        let key = self.case.idempotency_key.clone();
        let mut listed: Vec<_> = entered
            .parties
            .iter()
            .flat_map(|list| list.id_numbers.iter().map(|id| format!("{}\t{id}\n", list.list)))
            .collect();
        listed.sort();
        let mut parties = sha256(&format!("{key}\n{}", listed.concat()));
        parties.truncate(16);
        BookedCase {
            idempotency_key: key,
            status: outcome.status,
            case_id: outcome.case_id,
            amount_fen: entered.amount_fen,
            parties: Some(parties),
        }
    }
}

fn line(case: &BookedCase) -> String {
    let status = case.status().as_str_name().trim_start_matches("CASE_STATUS_");
    let amount = case.amount_fen.map(|fen| fen.to_string()).unwrap_or_default();
    format!("{}\t{}\t{status}\t{amount}\n", case.idempotency_key, case.case_id)
}

fn parties_line(case: &BookedCase) -> String {
    format!("{}\t{}\n", case.idempotency_key, hex::encode(case.parties.as_deref().unwrap_or(&[])))
}

fn of_lines(mut lines: Vec<String>) -> Vec<u8> {
    lines.sort();
    sha256(&lines.concat())
}

fn sha256(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

impl Desk {
    pub(super) fn sum(
        &self,
        request: Request<SumDayRequest>,
    ) -> Result<Response<SumDayResponse>, Status> {
        Arrival::of(&request)?;
        let day = request.into_inner().day;
        proto::Date::parse(&day).map_err(|_no_day| missing("day"))?;
        let sums = self.shared.books().cases.sums(&day);
        Ok(Response::new(SumDayResponse { sums }))
    }

    pub(super) fn list(
        &self,
        request: Request<ListDayRequest>,
    ) -> Result<Response<ListDayResponse>, Status> {
        Arrival::of(&request)?;
        let asked = request.into_inner();
        if asked.limit < 1 {
            return Err(missing("limit"));
        }
        Ok(Response::new(self.shared.books().cases.page(&asked)))
    }
}
