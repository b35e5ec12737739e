//! Cases by number, by what they have in common, and those of which nobody knows what became of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration, time::SystemTime};

use axum::{
    extract::{Query, State},
    response::Response,
};
use minijinja::context;
use serde::{Deserialize, Serialize};
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, Time, macros::format_description, macros::offset,
};

use super::{
    Console,
    case::{Found, STATES, state_name},
    visitor::Asker,
};
use crate::{
    exchange::Gateway,
    ledger::{
        LedgerError,
        cases::{Place, Sought},
    },
    matter,
};

/// How many filings stand on a page.
const PAGE: u32 = 50;

/// How many filings are looked through for one page, where a status is asked for: only outcomes say it.
const LOOKED_THROUGH_MAX: usize = 2_000;

/// How many filings of a number are listed.
const CALLED_MAX: u32 = 50;

/// How far back a list goes where nobody says.
const DAYS_BACK: u32 = 7;

/// What is looked for; what is empty makes no difference.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Search {
    /// A key, or a number of a case, certificate or contract.
    q: String,
    institution: String,
    office: String,
    matter: String,
    state: String,
    status: String,
    from: String,
    to: String,
    /// Where the page before ended.
    after: String,
}

pub(super) async fn show(
    State(console): State<Console>,
    asker: Asker,
    Query(mut search): Query<Search>,
) -> Response {
    search.q = search.q.trim().to_owned();
    let institutions = console.institutions();
    let make = async |gateway: Arc<Gateway>| {
        let (found, next) = match search.q.is_empty() {
            true => page(&gateway, &search).await?,
            false => {
                let chosen: Vec<String> = institutions
                    .iter()
                    .filter(|id| search.institution.is_empty() || **id == search.institution)
                    .cloned()
                    .collect();
                let found = gateway.ledger.called(&chosen, &search.q, CALLED_MAX).await?;
                (found.iter().map(Found::listed).collect(), String::new())
            }
        };
        let offices = gateway.directory().route.offices();
        let offices: BTreeSet<String> = offices.iter().map(|it| it.code.clone()).collect();
        Ok(Some(context! {
            place => "cases", search, institutions, offices, matters => matter::names(),
            states => STATES.map(state_name), statuses => STATUSES, found, next,
            days_back => DAYS_BACK,
        }))
    };
    console.show_of(&asker, "cases.html", make).await
}

/// The statuses that are looked for, in the order in which cases have them.
const STATUSES: [&str; 11] = [
    "SUBMITTED",
    "ACCEPTED",
    "IN_REVIEW",
    "CORRECTION_REQUESTED",
    "REGISTERED",
    "COMPLETED",
    "NOT_ACCEPTED",
    "REFUSED",
    "WITHDRAWN",
    "TERMINATED",
    "LAPSED",
];

/// One page of a list, and where the next begins; nothing, if it is the last.
async fn page(gateway: &Gateway, search: &Search) -> Result<(Vec<Found>, String), LedgerError> {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let by_status = !search.status.is_empty();
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let mut sought = Sought {
        from: day(&search.from, 0).unwrap_or_else(days_back),
        until: day(&search.to, 1).unwrap_or_else(soon),
        institution: some(&search.institution),
        office: some(&search.office),
        matter: some(&search.matter),
        state: STATES.into_iter().find(|state| state_name(*state) == search.state),
        after: read_place(&search.after),
        limit: if by_status { PAGE * 4 } else { PAGE },
    };
    let (mut found, mut looked) = (Vec::new(), 0_usize);
    loop {
        let listed = gateway.ledger.cases(&sought).await?;
        let is_last = listed.len() < usize::try_from(sought.limit).unwrap_or(usize::MAX);
        for it in &listed {
            looked = looked.saturating_add(1);
            sought.after = Some(it.place());
            let line = Found::listed(it);
            if !by_status || line.status == search.status {
                found.push(line);
            }
            if found.len() >= page {
                let next = if is_last && looked >= listed.len() { None } else { sought.after };
                return Ok((found, next.map(|it| written(&it)).unwrap_or_default()));
            }
        }
        if is_last {
            return Ok((found, String::new()));
        }
        if !by_status || looked >= LOOKED_THROUGH_MAX {
            return Ok((found, sought.after.map(|it| written(&it)).unwrap_or_default()));
        }
    }
}

/// Midnight of a day in Asia/Shanghai, so many days later.
fn day(text: &str, later: i64) -> Option<SystemTime> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    let day = day.checked_add(time::Duration::days(later))?;
    Some(PrimitiveDateTime::new(day, Time::MIDNIGHT).assume_offset(offset!(+8)).into())
}

fn days_back() -> SystemTime {
    super::case::ago(Duration::from_secs(u64::from(DAYS_BACK) * 24 * 3_600))
}

/// What has just been claimed is in the list too, by another machine's clock.
fn soon() -> SystemTime {
    let now = SystemTime::now();
    now.checked_add(Duration::from_secs(3_600)).unwrap_or(now)
}

/// A place as it stands in an address: moment, institution and key.
fn written(place: &Place) -> String {
    let at = OffsetDateTime::from(place.at).unix_timestamp_nanos() / 1_000;
    format!("{at}~{}~{}", place.institution, place.key)
}

fn read_place(text: &str) -> Option<Place> {
    let (at, rest) = text.split_once('~')?;
    let (institution, key) = rest.split_once('~')?;
    let at = at.parse::<i128>().ok()?.checked_mul(1_000)?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(at).ok()?;
    Some(Place { at: at.into(), institution: institution.to_owned(), key: key.to_owned() })
}

/// How many filings with unknown outcome are listed.
const UNKNOWN_MAX: u32 = 200;

pub(super) async fn unknown(State(console): State<Console>, asker: Asker) -> Response {
    let settings = console.settings();
    let make = async |gateway: Arc<Gateway>| {
        let mut registries = Vec::new();
        for registry in &settings.registries {
            let unknown = gateway.ledger.unknown(&registry.name).await?;
            registries.push(context! {
                name => registry.name,
                idempotent => registry.idempotent,
                count => unknown.count,
                oldest_ms => i64::try_from(unknown.oldest.as_millis()).unwrap_or(i64::MAX),
            });
        }
        let unsettled = gateway.ledger.unsettled(UNKNOWN_MAX).await?;
        let cases: Vec<_> = unsettled.iter().map(Found::listed).collect();
        Ok(Some(context! { place => "unknown", registries, cases }))
    };
    console.show_of(&asker, "unknown.html", make).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_whatever_the_key() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_772_673_154_123_456);
        let place = Place { at, institution: "bank".into(), key: "a~b/c".into() };
        assert_eq!(read_place(&written(&place)), Some(place));
        for odd in ["", "x~bank~k", "1~bank"] {
            assert_eq!(read_place(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_day_is_one_of_shanghais_and_ends_with_the_next() {
        let begun = OffsetDateTime::from(day("2026-03-05", 0).unwrap());
        assert_eq!(begun.to_offset(time::UtcOffset::UTC).hour(), 16);
        let length = day("2026-03-05", 1).unwrap().duration_since(begun.into()).unwrap();
        assert_eq!(length, Duration::from_secs(86_400));
        assert_eq!(day("2026-02-30", 0), None);
    }
}
