//! One case for operators, whole: how it stands, everything that happened to it with how long it took, what its bank and
//! others were told, and whether its evidence holds.
//!
//! Of an outcome it tells status, numbers and codes; what may name people is masked until an operator asks to see it, and
//! that is kept.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{Redirect, Response},
};
use minijinja::context;
use proto::v1::{CaseStatus, Outcome};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Console, acts::Deed, findings::moment, now::STATUS, personal::Personal, visitor::Asker,
};
use crate::{
    evidence::{
        act::Act,
        bundle::{Judge, Proof, Verdict},
        checkpoint::PublicKey,
        leaf::Leaf,
        proving::{self, NoProof},
    },
    exchange::Gateway,
    ledger::{
        Ledger, LedgerError, Record, State as Got,
        cases::{Life, Listed, Telling, Told},
        events::{Event, Kind},
        evidence::KeptLeaf,
    },
    pages,
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
    pub(super) status: &'static str,
    case_id: String,
    age_ms: i64,
    /// When its key was claimed.
    at: Option<String>,
    attempts: Option<i64>,
    given_up: bool,
}

/// A filing with all that operators may see.
#[derive(Debug, Serialize)]
struct Seen {
    found: Found,
    certificates: Vec<String>,
    refusal_code: Option<String>,
    registry_code: Option<String>,
    correction_deadline: Option<String>,
    life: Option<Lived>,
    timeline: Vec<Happened>,
    exchanges: usize,
    events: Vec<Happening>,
    evidence: Evidence,
    /// Whether anything is masked, or was.
    is_personal: bool,
    personal: Personal,
}

/// What has happened to it, as the page says it.
#[derive(Debug, Serialize)]
struct Lived {
    attempts: i64,
    claimed: String,
    changed: String,
    announced: Option<String>,
    due: Option<String>,
    given_up: Option<String>,
    follow_up: Option<String>,
    follow_ups: i64,
}

/// One line of the timeline: an exchange, an act of an operator, or an event.
#[derive(Debug, Serialize)]
struct Happened {
    #[serde(skip)]
    order: i128,
    at: String,
    /// How long after the first.
    after_ms: i64,
    kind: &'static str,
    what: String,
    took_ms: Option<i64>,
    result: String,
    /// The result is a status of the case, not the code of a refusal.
    is_status: bool,
    version: String,
    /// Its place in the log.
    place: Option<u64>,
    /// Whether it is in the log, as it was.
    proof: Option<Proved>,
    trace: String,
    trace_url: Option<String>,
}

/// Whether a leaf is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Proved {
    /// Under a checkpoint that one of the log's keys has signed, unchanged.
    Yes,
    /// Under a checkpoint, unchanged; by whom that is signed nobody has looked at.
    Unvouched,
    /// It is not what the log has there.
    No,
    /// There is no checkpoint over it.
    NotYet,
}

/// An event of the case, and how far each subscriber was told.
#[derive(Debug, Serialize)]
struct Happening {
    number: i64,
    id: String,
    at: String,
    status: &'static str,
    is_warning: bool,
    told: Vec<Hearer>,
}

/// A subscriber.
#[derive(Debug, Serialize)]
struct Hearer {
    subscriber: String,
    state: &'static str,
    tries: Option<i64>,
    due: Option<String>,
}

/// Whether what is kept as evidence proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Evidence {
    /// Everything is in the log under the newest checkpoint, which one of the log's keys has signed.
    Holds,
    /// Everything is in the log under the newest checkpoint; settings have no key to hold its signature to.
    Unvouched,
    /// It is not as it was.
    Fails,
    /// Something is not under a checkpoint yet.
    TooNew,
    /// Nothing is signed: settings name no key.
    Unsigned,
    /// Nothing is kept.
    None,
    /// The ledger could not say.
    Unread,
}

pub(super) async fn show(
    State(console): State<Console>,
    asker: Asker,
    Path((institution, key)): Path<(String, String)>,
) -> Response {
    page(&console, &asker, &institution, &key, false).await
}

/// Whoever loads again what an operator was shown sees it masked.
pub(super) async fn back(Path((institution, key)): Path<(String, String)>) -> Redirect {
    let [institution, key] = [institution, key].map(pages::segment);
    Redirect::to(&format!("/console/cases/{institution}/{key}"))
}

/// The same page with what is masked, for an operator; the act is kept first.
pub(super) async fn unmask(
    State(console): State<Console>,
    asker: Asker,
    Path((institution, key)): Path<(String, String)>,
) -> Response {
    let Some(gateway) = console.gateway() else {
        return console.missing(&asker, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    match gateway.ledger.find(&institution, &key).await {
        Ok(Some(_)) => {}
        Ok(None) => return console.missing(&asker, "nothing", StatusCode::NOT_FOUND),
        Err(error) => return console.ledger_away(&asker, &error),
    }
    let case = Some((institution.as_str(), key.as_str()));
    let deed = Deed { act: Act::Unmask, case, subject: None };
    if !console.note(&gateway, &asker.visitor, deed).await {
        return console.missing(&asker, "unkept", StatusCode::SERVICE_UNAVAILABLE);
    }
    page(&console, &asker, &institution, &key, true).await
}

async fn page(
    console: &Console,
    asker: &Asker,
    institution: &str,
    key: &str,
    unmasked: bool,
) -> Response {
    let trace_url = console.0.own.trace_url.as_deref();
    let make = async |gateway: Arc<Gateway>| {
        let found = seen(&gateway, institution, key, asker, unmasked, trace_url).await?;
        Ok(found.map(|case| context! { place => "cases", case, unmasked }))
    };
    console.show_of(asker, "case.html", make).await
}

async fn seen(
    gateway: &Gateway,
    institution: &str,
    key: &str,
    asker: &Asker,
    unmasked: bool,
    trace_url: Option<&str>,
) -> Result<Option<Seen>, LedgerError> {
    let ledger = &*gateway.ledger;
    let Some(record) = ledger.find(institution, key).await? else { return Ok(None) };
    let life = ledger.life(institution, key).await?;
    let leaves = ledger.leaves_of(institution, key).await?;
    let events = ledger.events_of(institution, key).await?;
    let tellings = ledger.tellings(institution, key).await?;
    let (evidence, proofs) = evidence(ledger, gateway.keys.public(), &leaves).await;
    let mut timeline: Vec<_> = leaves
        .iter()
        .zip(proofs)
        .filter_map(|(kept, proof)| happened(kept, proof, trace_url))
        .collect();
    let exchanges = timeline.iter().filter(|it| it.kind == "exchange").count();
    timeline.extend(events.iter().map(told_of));
    in_order(&mut timeline);
    let sealed = match record.state {
        Got::Queued => ledger.sealed(institution, key).await?,
        Got::Claimed | Got::Unknown | Got::Settled | Got::Retired | Got::Released => None,
    };
    // What does not open any more is told by the opener; here it is nothing to show.
    let kept = sealed
        .zip(gateway.seals.as_ref())
        .and_then(|(sealed, seals)| seals.open(institution, key, &sealed).ok());
    let application = kept.as_ref().and_then(|kept| kept.application.as_ref());
    let amount_fen = life.as_ref().and_then(|it| it.amount_fen);
    let known = record.outcome.as_ref();
    let personal = Personal::of(amount_fen, known, application, asker.language);
    let is_personal = !personal.is_empty();
    let outcome = record.outcome.clone().unwrap_or_default();
    let refusal = outcome.refusal.as_ref();
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Ok(Some(Seen {
        refusal_code: refusal.and_then(|it| some(&it.code)),
        registry_code: refusal.and_then(|it| some(&it.registry_code)),
        correction_deadline: outcome.correction.as_ref().and_then(|it| some(&it.deadline)),
        certificates: outcome.certificate_numbers,
        life: life.as_ref().map(lived),
        timeline,
        exchanges,
        events: events.iter().map(|event| happening(event, &tellings)).collect(),
        evidence,
        is_personal,
        personal: if unmasked { personal } else { personal.masked() },
        found: Found::of(&record),
    }))
}

impl Found {
    pub(super) fn listed(listed: &Listed) -> Self {
        Self {
            at: Some(moment(listed.at)),
            attempts: Some(listed.attempts),
            given_up: listed.given_up,
            ..Self::of(&listed.record)
        }
    }

    fn of(record: &Record) -> Self {
        let outcome = record.outcome.as_ref();
        Self {
            institution: record.institution.clone(),
            key: record.key.clone(),
            matter: record.matter.clone(),
            registry: record.registry.clone(),
            office: record.office.clone(),
            state: state_name(record.state),
            status: match record.state {
                Got::Unknown => "OUTCOME_UNKNOWN",
                Got::Queued => "QUEUED_OUT_OF_HOURS",
                Got::Claimed | Got::Settled | Got::Retired | Got::Released => {
                    outcome.map_or("", status_of)
                }
            },
            case_id: outcome.map(|it| it.case_id.clone()).unwrap_or_default(),
            age_ms: i64::try_from(record.age.as_millis()).unwrap_or(i64::MAX),
            at: None,
            attempts: None,
            given_up: false,
        }
    }
}

/// The states a filing can be in, by the names that addresses and pages have for them.
pub(super) const STATES: [Got; 6] =
    [Got::Unknown, Got::Queued, Got::Claimed, Got::Settled, Got::Released, Got::Retired];

pub(super) fn state_name(state: Got) -> &'static str {
    match state {
        Got::Claimed => "claimed",
        Got::Unknown => "unknown",
        Got::Settled => "settled",
        Got::Retired => "retired",
        Got::Released => "released",
        Got::Queued => "queued",
    }
}

/// A case's status without its prefix; nothing, if it has none.
pub(super) fn status_of(outcome: &Outcome) -> &'static str {
    match outcome.status() {
        CaseStatus::Unspecified => "",
        status => status.as_str_name().trim_start_matches(STATUS),
    }
}

fn lived(life: &Life) -> Lived {
    Lived {
        attempts: life.attempts,
        claimed: moment(life.claimed),
        changed: moment(life.changed),
        announced: life.announced.map(moment),
        due: life.due.map(moment),
        given_up: life.given_up.map(moment),
        follow_up: life.follow_up.map(moment),
        follow_ups: life.follow_ups,
    }
}

fn happened(kept: &KeptLeaf, proof: Proved, trace_url: Option<&str>) -> Option<Happened> {
    let leaf = Leaf::read(&kept.text).ok()?;
    let says = |name: &str| leaf.says(name).unwrap_or_default();
    let at = |name: &str| OffsetDateTime::parse(&says(name), &Rfc3339).ok();
    let heard = at("heard")?;
    let took = at("answered").map(|answered| answered - heard);
    let (result, trace) = (says("result"), says("trace"));
    let is_act = leaf.is_act();
    Some(Happened {
        order: heard.unix_timestamp_nanos(),
        at: to_the_millisecond(heard),
        after_ms: 0,
        kind: if is_act { "act" } else { "exchange" },
        what: if is_act { format!("{} · {}", says("act"), says("who")) } else { says("message") },
        took_ms: took.and_then(|took| i64::try_from(took.whole_milliseconds()).ok()),
        is_status: result.starts_with(STATUS),
        result: result.trim_start_matches(STATUS).to_owned(),
        version: says("contract-version"),
        place: kept.index,
        proof: Some(proof),
        trace_url: trace_url
            .filter(|_| !trace.is_empty())
            .map(|url| url.replace("{trace_id}", &trace)),
        trace,
    })
}

/// An event as a line of the timeline.
fn told_of(event: &Event) -> Happened {
    let at = OffsetDateTime::from(event.happened_at);
    Happened {
        order: at.unix_timestamp_nanos(),
        at: to_the_millisecond(at),
        after_ms: 0,
        kind: "event",
        what: event.id().to_string(),
        took_ms: None,
        result: status_of(&event.outcome).to_owned(),
        is_status: true,
        version: String::new(),
        place: None,
        proof: None,
        trace: String::new(),
        trace_url: None,
    }
}

/// Puts what happened in its order, and says how long after the first each was.
fn in_order(timeline: &mut [Happened]) {
    timeline.sort_by_key(|it| it.order);
    let first = timeline.first().map_or(0, |it| it.order);
    for it in timeline {
        let after = it.order.saturating_sub(first) / 1_000_000;
        it.after_ms = i64::try_from(after).unwrap_or(i64::MAX);
    }
}

fn to_the_millisecond(at: OffsetDateTime) -> String {
    format!("{}.{:03}", crate::pages::moment(at.unix_timestamp()), at.millisecond())
}

fn happening(event: &Event, tellings: &[Telling]) -> Happening {
    let told = tellings.iter().filter(|it| it.position == event.position);
    let hearer = |telling: &Telling| {
        let (state, tries, due) = match telling.told {
            Told::Yes => ("told", None, None),
            Told::NotYet => ("waiting", None, None),
            Told::Again { tries, due } => ("again", Some(tries), Some(moment(due))),
            Told::Parked { tries } => ("parked", Some(tries), None),
        };
        Hearer { subscriber: telling.subscriber.clone(), state, tries, due }
    };
    Happening {
        number: event.sequence,
        id: event.id().to_string(),
        at: to_the_millisecond(event.happened_at.into()),
        status: status_of(&event.outcome),
        is_warning: event.kind == Kind::DeadlineNear,
        told: told.map(hearer).collect(),
    }
}

/// How many leaves are proved one by one.
const PROOFS_MAX: usize = 100;

/// Whether all leaves of a case are in the log, and each of them.
async fn evidence(
    ledger: &dyn Ledger,
    keys: &[PublicKey],
    leaves: &[KeptLeaf],
) -> (Evidence, Vec<Proved>) {
    let mut proofs = Vec::with_capacity(leaves.len());
    let mut all = if leaves.is_empty() { Evidence::None } else { Evidence::Holds };
    for (number, kept) in leaves.iter().enumerate() {
        let (proof, one) = match kept.index {
            Some(index) if number < PROOFS_MAX => proved(ledger, keys, kept, index).await,
            Some(_) => (Proved::NotYet, Evidence::Unread),
            None => (Proved::NotYet, Evidence::TooNew),
        };
        // What is worst is said of the whole.
        let rank = |evidence: Evidence| match evidence {
            Evidence::Fails => 4,
            Evidence::Unread => 3,
            Evidence::Unsigned | Evidence::Unvouched => 2,
            Evidence::TooNew => 1,
            Evidence::Holds | Evidence::None => 0,
        };
        if rank(one) > rank(all) {
            all = one;
        }
        proofs.push(proof);
    }
    (all, proofs)
}

async fn proved(
    ledger: &dyn Ledger,
    keys: &[PublicKey],
    kept: &KeptLeaf,
    index: u64,
) -> (Proved, Evidence) {
    match proving::exchange_at(ledger, index).await {
        Ok(bundle) => {
            let is_it = bundle.exchanges.iter().all(|it| it.leaf == kept.text);
            let judge = Judge { keys: keys.to_vec(), ..Judge::default() };
            match judge.judge(&Proof::Bundle(bundle)).verdict() {
                Verdict::Holds if is_it => (Proved::Yes, Evidence::Holds),
                Verdict::Unvouched if is_it => (Proved::Unvouched, Evidence::Unvouched),
                Verdict::Holds | Verdict::Unvouched | Verdict::Fails => {
                    (Proved::No, Evidence::Fails)
                }
            }
        }
        Err(NoProof::TooNew(_)) => (Proved::NotYet, Evidence::TooNew),
        Err(NoProof::Unsigned) => (Proved::NotYet, Evidence::Unsigned),
        Err(NoProof::None) => (Proved::No, Evidence::Fails),
        Err(
            NoProof::Ledger(_)
            | NoProof::NoCheckpointOf(_)
            | NoProof::Checkpoint(_)
            | NoProof::Missing(_),
        ) => (Proved::NotYet, Evidence::Unread),
    }
}

/// That long ago, by this machine's clock.
pub(super) fn ago(length: Duration) -> SystemTime {
    SystemTime::now().checked_sub(length).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::{
            checkpoint::{Checkpoint, SigningKey},
            leaf::{Exchange, Salt},
            sequencer,
        },
        ledger::{self, LedgerSettings, SqliteSettings, evidence::NewLeaf},
    };

    fn leaf() -> NewLeaf {
        let exchange = Exchange {
            origin: "log",
            institution: "bank",
            key: Some("k"),
            message: None,
            contract: "bank",
            version: "1",
            contract_digest: [7; 32],
            heard: OffsetDateTime::UNIX_EPOCH,
            answered: OffsetDateTime::UNIX_EPOCH,
            result: "A",
            registry: None,
            office: None,
            case: None,
            trace: None,
            received: b"sent",
            canonical: None,
            registry_answer: None,
            replied: b"heard",
        };
        let salt = Salt::fresh().unwrap();
        let text = Leaf::of(&exchange, &salt).text().to_owned();
        let (institution, key) = ("bank".to_owned(), Some("k".to_owned()));
        NewLeaf { institution, key, text, salt, mentions: Vec::new() }
    }

    #[tokio::test]
    async fn evidence_holds_only_under_a_signature_by_one_of_the_logs_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let log = ledger::open(&LedgerSettings::Sqlite(SqliteSettings { path })).await.unwrap();
        log.witness(&leaf(), None).await.leaf.unwrap();
        while !sequencer::grow(&*log).await.unwrap().is_all {}
        let head = log.head().await.unwrap();
        let [own, stranger] = [(), ()].map(|()| SigningKey::generate("log").unwrap().0);
        let checkpoint = Checkpoint { origin: "log".into(), size: head.size, root: head.root };
        log.keep_checkpoint(head.size, &checkpoint.signed([&own])).await.unwrap();
        let leaves = log.leaves_of("bank", "k").await.unwrap();
        for (keys, expected) in [
            (vec![own.public().clone()], (Evidence::Holds, Proved::Yes)),
            (vec![stranger.public().clone()], (Evidence::Fails, Proved::No)),
            (Vec::new(), (Evidence::Unvouched, Proved::Unvouched)),
        ] {
            let (all, each) = evidence(&*log, &keys, &leaves).await;
            assert_eq!((all, each.as_slice()), (expected.0, &[expected.1][..]));
        }
    }
}
