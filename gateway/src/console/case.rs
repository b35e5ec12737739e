//! One case for operators: how it stands, every exchange about it with how long it took, and whether its evidence holds.
//!
//! Of an outcome it tells status, numbers and codes; a registry's own words stay out, for they may name people.

use proto::v1::CaseStatus;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::now::STATUS;
use crate::{
    evidence::{
        bundle::{Judge, Proof, Verdict},
        leaf::Leaf,
        proving::{self, NoProof},
    },
    ledger::{Ledger, LedgerError, Record, State},
    pages::Language,
};

/// A filing as a line.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    institution: String,
    key: String,
    matter: String,
    registry: String,
    office: String,
    state: &'static str,
    status: &'static str,
    case_id: String,
    age_seconds: u64,
}

/// A filing with all that operators may see.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    found: Found,
    matter: String,
    certificates: Vec<String>,
    refusal_code: Option<String>,
    registry_code: Option<String>,
    correction_deadline: Option<String>,
    corrections: usize,
    exchanges: Vec<Exchanged>,
    evidence: Evidence,
}

/// One exchange about it.
#[derive(Debug, Serialize)]
struct Exchanged {
    heard: String,
    took_ms: Option<i64>,
    message: String,
    result: String,
    /// The result is a status of the case, not the code of a refusal.
    is_status: bool,
    version: String,
    /// Its place in the log.
    place: Option<u64>,
}

/// Whether what is kept as evidence proves itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Evidence {
    /// Every exchange is in the log under the newest checkpoint.
    Holds,
    /// It is not as it was.
    Fails,
    /// So many are not under a checkpoint yet.
    TooNew(usize),
    /// Nothing is signed: settings name no key.
    Unsigned,
    /// No exchange is kept.
    None,
    /// The ledger could not say.
    Unread,
}

/// Filings with that key or case number, of any of the institutions.
pub(super) async fn search(
    ledger: &dyn Ledger,
    institutions: impl Iterator<Item = &String>,
    wanted: &str,
) -> Result<Vec<Found>, LedgerError> {
    let mut found = Vec::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    for institution in institutions {
        let by_key = ledger.find(institution, wanted).await?;
        let record = match by_key {
            Some(record) => Some(record),
            None => ledger.find_case(institution, wanted).await?,
        };
        found.extend(record.map(|record| line(&record)));
    }
    Ok(found)
}

/// The filing under a key; `None` if there is none.
pub(super) async fn one(
    ledger: &dyn Ledger,
    institution: &str,
    key: &str,
    language: Language,
) -> Result<Option<Seen>, LedgerError> {
    let Some(record) = ledger.find(institution, key).await? else { return Ok(None) };
    let leaves = ledger.leaves_of(institution, key).await?;
    let exchanges = leaves.iter().filter_map(|kept| exchanged(&kept.text, kept.index));
    let exchanges = exchanges.collect();
    let outcome = record.outcome.clone().unwrap_or_default();
    let refusal = outcome.refusal.as_ref();
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Ok(Some(Seen {
        matter: language.word(&format!("matter.{}", record.matter)),
        refusal_code: refusal.and_then(|it| some(&it.code)),
        registry_code: refusal.and_then(|it| some(&it.registry_code)),
        correction_deadline: outcome.correction.as_ref().map(|it| it.deadline.clone()),
        corrections: outcome.correction.as_ref().map_or(0, |it| it.items.len()),
        certificates: outcome.certificate_numbers,
        exchanges,
        evidence: evidence(ledger, institution, key).await,
        found: line(&record),
    }))
}

fn line(record: &Record) -> Found {
    let outcome = record.outcome.as_ref();
    Found {
        institution: record.institution.clone(),
        key: record.key.clone(),
        matter: record.matter.clone(),
        registry: record.registry.clone(),
        office: record.office.clone(),
        state: match record.state {
            State::Claimed => "claimed",
            State::Unknown => "unknown",
            State::Settled => "settled",
            State::Retired => "retired",
            State::Released => "released",
            State::Queued => "queued",
        },
        status: match record.state {
            State::Unknown => "OUTCOME_UNKNOWN",
            State::Queued => "QUEUED_OUT_OF_HOURS",
            State::Claimed | State::Settled | State::Retired | State::Released => outcome
                .map(|it| it.status())
                .filter(|status| *status != CaseStatus::Unspecified)
                .map_or("", |it| it.as_str_name().trim_start_matches(STATUS)),
        },
        case_id: outcome.map(|it| it.case_id.clone()).unwrap_or_default(),
        age_seconds: record.age.as_secs(),
    }
}

fn exchanged(leaf: &str, place: Option<u64>) -> Option<Exchanged> {
    let leaf = Leaf::read(leaf).ok()?;
    let says = |name: &str| leaf.says(name).unwrap_or_default();
    let moment = |name: &str| OffsetDateTime::parse(&says(name), &Rfc3339).ok();
    let took = moment("heard").zip(moment("answered")).map(|(heard, answered)| answered - heard);
    let result = says("result");
    Some(Exchanged {
        heard: moment("heard")
            .map_or_else(|| says("heard"), |heard| crate::pages::moment(heard.unix_timestamp())),
        took_ms: took.and_then(|took| i64::try_from(took.whole_milliseconds()).ok()),
        message: says("message"),
        is_status: result.starts_with(STATUS),
        result: result.trim_start_matches(STATUS).to_owned(),
        version: says("contract-version"),
        place,
    })
}

async fn evidence(ledger: &dyn Ledger, institution: &str, key: &str) -> Evidence {
    match proving::exchanges_of(ledger, institution, key).await {
        Ok(bundle) => match Judge::default().judge(&Proof::Bundle(bundle)).verdict() {
            // Who may sign is for whoever judges a bundle elsewhere to know; here it is this gateway's own log.
            Verdict::Holds | Verdict::Unvouched => Evidence::Holds,
            Verdict::Fails => Evidence::Fails,
        },
        Err(NoProof::TooNew(count)) => Evidence::TooNew(count),
        Err(NoProof::Unsigned) => Evidence::Unsigned,
        Err(NoProof::None) => Evidence::None,
        Err(
            NoProof::Ledger(_)
            | NoProof::NoCheckpointOf(_)
            | NoProof::Checkpoint(_)
            | NoProof::Missing(_),
        ) => Evidence::Unread,
    }
}
