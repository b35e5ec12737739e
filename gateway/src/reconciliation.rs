//! Reconciliation (对账): one day's books of this ledger and of a registry, compared; sums first, and case by case where
//! they differ.
//!
//! A case that one side has under another day, for the clocks differ or it waited for its office, is looked up by its key
//! before anything is said of it: what is found is a difference, whatever day it is. Nothing is mended here. Sources:
//! docs/reconciliation.md; docs/decisions/0021.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::SystemTime,
};

use proto::{
    Date,
    v1::{self, BookedCase, DaySum},
};
use time::{Duration, OffsetDateTime};

use crate::{
    hours::ZONE,
    integrity,
    ledger::{
        Ledger, LedgerError,
        books::{Asked, Filed, Finding, Kind, Parties},
    },
    registry::{CallError, Caller, Registry},
};

pub mod books;
pub mod difference;

use books::{Entry, Sum};

/// Which part of the books.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Of one institution, by its id in settings; `None`: of all.
    pub institution: Option<String>,
    /// Of one office, by the registry's own code; `None`: of all.
    pub office: Option<String>,
}

impl Scope {
    fn holds(&self, place: &Place) -> bool {
        let is = |wanted: &Option<String>, it: &str| wanted.as_deref().is_none_or(|is| is == it);
        is(&self.institution, &place.0) && is(&self.office, &place.1)
    }
}

/// An institution and an office.
type Place = (String, String);

/// What came of a comparison.
#[derive(Debug)]
pub struct Report {
    /// The sums, by institution and office.
    pub compared: Vec<Compared>,
    /// In what they differ.
    pub findings: Vec<Finding>,
    /// How many cases the two sides have under different days, and agree on.
    pub other_days: u64,
}

/// What one institution filed at one office, on both sides.
#[derive(Debug)]
pub struct Compared {
    /// Whose.
    pub institution: String,
    /// Where, by the registry's own code.
    pub office: String,
    /// What this ledger has.
    pub ours: Sum,
    /// What the registry has.
    pub theirs: Sum,
    /// In how many points they differ.
    pub differences: u64,
}

/// Why books could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The ledger could not be read.
    #[error("the ledger cannot be read")]
    Ledger(#[from] LedgerError),
    /// The registry did not answer, or cannot tell its books.
    #[error("the registry did not tell its books")]
    Registry(#[from] CallError),
    /// Not a day that books can be of.
    #[error("{0} is no day that books can be of")]
    Day(Date),
}

/// Compares one day's books with a registry's.
///
/// # Errors
/// [`Failed`]: one side could not be read to its end, and nothing is said of the other.
pub async fn reconcile(
    ledger: &dyn Ledger,
    registry: &Registry,
    day: Date,
    scope: &Scope,
) -> Result<Report, Failed> {
    let told = registry.sum_day(day).await?;
    let mut theirs: BTreeMap<Place, Sum> = told.into_iter().map(placed).collect();
    let mut ours: BTreeMap<Place, Vec<Entry>> = BTreeMap::new();
    let filed = of_day(ledger, day, None).await?;
    for filed in filed.iter().filter(|filed| filed.record.registry == registry.name()) {
        let place = (filed.record.institution.clone(), filed.record.office.clone());
        ours.entry(place).or_default().extend(Entry::of(filed));
    }
    let places: BTreeSet<Place> = ours.keys().chain(theirs.keys()).cloned().collect();
    let mut report = Report { compared: Vec::new(), findings: Vec::new(), other_days: 0 };
    for place in places.into_iter().filter(|place| scope.holds(place)) {
        let ours = ours.remove(&place).unwrap_or_default();
        let summed: Vec<_> = ours.iter().filter(|it| difference::is_summed(it)).cloned().collect();
        let our_sum = Sum::of(&summed);
        let their_sum = theirs.remove(&place).unwrap_or_else(|| Sum::of(&[]));
        let before = report.findings.len();
        if !our_sum.agrees_with(&their_sum) {
            let side = Side { ledger, registry, place: &place };
            side.case_by_case(day, ours, &mut report).await?;
        }
        let (institution, office) = place;
        let found = report.findings.len().saturating_sub(before);
        report.compared.push(Compared {
            institution,
            office,
            ours: our_sum,
            theirs: their_sum,
            differences: u64::try_from(found).unwrap_or(u64::MAX),
        });
    }
    Ok(report)
}

/// Compares one day's books of one institution with its own list.
///
/// # Errors
/// The ledger could not be read.
pub async fn reconcile_with_bank(
    ledger: &dyn Ledger,
    institution: &str,
    day: Date,
    office: Option<&str>,
    listed: Vec<Entry>,
) -> Result<Report, Failed> {
    let ours = of_institution(ledger, institution, day, office).await?;
    let (our_sum, their_sum) = (Sum::of(&without_parties(&ours)), Sum::of(&listed));
    let mut report = Report { compared: Vec::new(), findings: Vec::new(), other_days: 0 };
    let mut theirs: BTreeMap<_, _> = listed.into_iter().map(|it| (it.key.clone(), it)).collect();
    for (office, ours) in &ours {
        let theirs = theirs.remove(&ours.key);
        let place = (institution, office.as_str());
        report.findings.extend(difference::differences(place, Some(ours), theirs.as_ref()));
    }
    for theirs in theirs.into_values() {
        let filed = ledger.filed_under(institution, &theirs.key).await?;
        let at = filed.as_ref().map(|it| it.record.office.clone()).unwrap_or_default();
        let ours = filed.as_ref().and_then(Entry::of);
        let found = difference::differences((institution, &at), ours.as_ref(), Some(&theirs));
        report.other_days += u64::from(found.is_empty());
        report.findings.extend(found);
    }
    report.compared.push(Compared {
        institution: institution.to_owned(),
        office: office.unwrap_or("*").to_owned(),
        ours: our_sum,
        theirs: their_sum,
        differences: u64::try_from(report.findings.len()).unwrap_or(u64::MAX),
    });
    Ok(report)
}

/// What an institution filed on one day, with the office of each, in order of keys.
///
/// # Errors
/// The ledger could not be read.
pub async fn of_institution(
    ledger: &dyn Ledger,
    institution: &str,
    day: Date,
    office: Option<&str>,
) -> Result<Vec<(String, Entry)>, Failed> {
    let filed = of_day(ledger, day, Some(institution)).await?;
    let wanted = filed.iter().filter(|it| office.is_none_or(|office| office == it.record.office));
    let entry = |it: &Filed| Some((it.record.office.clone(), Entry::of(it)?));
    Ok(wanted.filter_map(entry).collect())
}

/// Parties are compared with registries alone.
fn without_parties(entries: &[(String, Entry)]) -> Vec<Entry> {
    entries.iter().map(|(_, it)| Entry { parties: None, ..it.clone() }).collect()
}

/// What the ledger has of one day.
async fn of_day(
    ledger: &dyn Ledger,
    day: Date,
    institution: Option<&str>,
) -> Result<Vec<Filed>, Failed> {
    let span = span(day)?;
    let mut found = Vec::new();
    let mut after = (String::new(), String::new());
    loop {
        let asked = Asked {
            from: span.start,
            until: span.end,
            institution: institution.map(str::to_owned),
            after: after.clone(),
            limit: PAGE,
        };
        let page = ledger.filed(&asked).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = (last.record.institution.clone(), last.record.key.clone());
        let is_last = u32::try_from(page.len()).unwrap_or(u32::MAX) < PAGE;
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

/// Cases a page, on both sides.
const PAGE: u32 = 1_000;

/// From when until when a day is.
///
/// # Errors
/// The calendar ends before it.
pub fn span(day: Date) -> Result<Range<SystemTime>, Failed> {
    let start = OffsetDateTime::UNIX_EPOCH
        .checked_add(Duration::days(day.days_since_1970()))
        .and_then(|midnight| midnight.date().midnight().checked_sub(ZONE_AHEAD));
    let start = start.map(|it| SystemTime::from(it.assume_utc())).ok_or(Failed::Day(day))?;
    let end = start.checked_add(std::time::Duration::from_secs(24 * 60 * 60));
    Ok(start..end.ok_or(Failed::Day(day))?)
}

/// How much earlier a day begins in Asia/Shanghai than in UTC.
const ZONE_AHEAD: Duration = Duration::seconds(ZONE.whole_seconds() as i64);

/// The day it was in Asia/Shanghai at a moment; `None` beyond the calendar.
pub fn day_of(moment: OffsetDateTime) -> Option<Date> {
    let (year, month, day) = moment.to_offset(ZONE).date().to_calendar_date();
    Date::new(u16::try_from(year).ok()?, u8::from(month), day).ok()
}

fn placed(told: DaySum) -> (Place, Sum) {
    let digest = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap_or_default();
    let sum = Sum {
        count: u64::try_from(told.count).unwrap_or_default(),
        digest: digest(&told.digest),
        parties: told.parties_digest.as_deref().map(digest),
    };
    ((told.institution_id, told.office), sum)
}

fn entry(told: BookedCase) -> Entry {
    Entry {
        status: told.status(),
        parties: told.parties.as_deref().and_then(Parties::of),
        key: told.idempotency_key,
        case_id: told.case_id,
        amount_fen: told.amount_fen,
    }
}

/// The two sides of one institution's business at one office.
struct Side<'s> {
    ledger: &'s dyn Ledger,
    registry: &'s Registry,
    place: &'s Place,
}

impl Side<'_> {
    async fn case_by_case(
        &self,
        day: Date,
        ours: Vec<Entry>,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let mut theirs = self.listed(day).await?;
        for ours in ours {
            let here = theirs.remove(&ours.key);
            let theirs = match &here {
                Some(theirs) => Some(theirs.clone()),
                None => self.known_to_registry(&ours.key).await?,
            };
            self.compare(Some(&ours), theirs.as_ref(), here.is_some(), report).await?;
        }
        for theirs in theirs.into_values() {
            let ours = self.ledger.filed_under(&self.place.0, &theirs.key).await?;
            let ours = ours.as_ref().and_then(Entry::of);
            self.compare(ours.as_ref(), Some(&theirs), false, report).await?;
        }
        Ok(())
    }

    async fn compare(
        &self,
        ours: Option<&Entry>,
        theirs: Option<&Entry>,
        same_day: bool,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let place = (self.place.0.as_str(), self.place.1.as_str());
        let mut found = difference::differences(place, ours, theirs);
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            let known = ours.parties.zip(theirs.parties);
            if known.is_some_and(|(ours, theirs)| ours != theirs) {
                found.extend(self.parties_differ(ours, theirs).await?);
            }
            if found.is_empty() && !same_day {
                report.other_days += 1;
            }
        }
        report.findings.append(&mut found);
        Ok(())
    }

    /// The digests say that somebody else stands somewhere. In which list, the registry's own account of what it entered
    /// says; where that has no list that differs, it counts lists that others leave out, and nothing is found.
    async fn parties_differ(
        &self,
        ours: &Entry,
        theirs: &Entry,
    ) -> Result<Option<Finding>, Failed> {
        let case = self.registry.case_by_key(&ours.key, &self.caller()).await?;
        let registered = case.and_then(|testimony| testimony.registered);
        let asked = self.ledger.asked(&self.place.0, &ours.key).await?;
        let lists = match (registered, asked) {
            (Some(registered), Some(asked)) => {
                let lists = integrity::parties_that_differ(&registered, &asked);
                if lists.is_empty() {
                    return Ok(None);
                }
                lists.join(" ")
            }
            // It was not entered yet, or nobody knows any more what was asked.
            _ => String::new(),
        };
        Ok(Some(Finding {
            institution: self.place.0.clone(),
            key: ours.key.clone(),
            kind: Kind::Party,
            office: self.place.1.clone(),
            case_id: theirs.case_id.clone(),
            ours: lists.clone(),
            theirs: lists,
        }))
    }

    /// The registry's cases of that day, by key.
    async fn listed(&self, day: Date) -> Result<BTreeMap<String, Entry>, Failed> {
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        loop {
            let after = found.last_key_value().map(|(key, _)| key.clone()).unwrap_or_default();
            let page =
                self.registry.list_day(day, &self.place.0, &self.place.1, after, PAGE).await?;
            let more = page.more;
            found.extend(page.cases.into_iter().map(entry).map(|it| (it.key.clone(), it)));
            if !more {
                return Ok(found);
            }
        }
    }

    /// What the registry says of a case that it has under no key of that day.
    async fn known_to_registry(&self, key: &str) -> Result<Option<Entry>, Failed> {
        let case = self.registry.case_by_key(key, &self.caller()).await?;
        Ok(case.map(|testimony| Entry {
            key: key.to_owned(),
            status: testimony.outcome.status(),
            case_id: testimony.outcome.case_id.clone(),
            amount_fen: testimony.registered.and_then(|it| it.amount_fen),
            parties: None,
        }))
    }

    fn caller(&self) -> Caller {
        let institution =
            v1::Institution { id: self.place.0.clone(), ..v1::Institution::default() };
        Caller { institution, client_cert: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_shanghai() {
        let day = Date::parse("2026-03-05").unwrap();
        let span = span(day).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        assert_eq!(span, at(1_772_640_000)..at(1_772_726_400));
        let day_at = |seconds| day_of(OffsetDateTime::from_unix_timestamp(seconds).unwrap());
        assert_eq!(day_at(1_772_640_000), Some(day));
        assert_ne!(day_at(1_772_639_999), Some(day));
    }
}
