//! What a ledger promises, asked of both stores: every behaviour below runs over SQLite and over a
//! real Postgres of its own. Source: the doc comments of `gateway::ledger`, and docs/domain.md,
//! "Idempotency".
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use gateway::ledger::{
    Admission, Claim, Entry, Fingerprint, Guard, Ledger, LedgerError, PastCases, Record,
    books::Booked,
};
use prost_types::Timestamp;
use proto::v1::{CaseStatus, Outcome};
use store::Store;
use tokio::time::Instant;

#[macro_use]
#[path = "ledger/store.rs"]
mod store;
#[path = "ledger/cases.rs"]
mod cases;
#[path = "ledger/claims.rs"]
mod claims;
#[path = "ledger/events.rs"]
mod events;
#[path = "ledger/failing_postgres.rs"]
mod failing_postgres;
#[path = "ledger/findings.rs"]
mod findings;
#[path = "ledger/loans.rs"]
mod loans;
#[path = "ledger/notices.rs"]
mod notices;
#[path = "ledger/older_queue.rs"]
mod older_queue;
#[path = "ledger/queue.rs"]
mod queue;
#[path = "ledger/retired.rs"]
mod retired;
#[path = "ledger/unknown.rs"]
mod unknown;

over_both_stores! {
    a_filing_is_found_by_key_and_by_case
    a_dropped_call_leaves_a_ledger_that_works
    everything_is_there_after_reopening
    odd_text_and_bytes_survive
    the_last_cases_of_an_office_say_how_long_they_took
    ping_writes
}

#[tokio::test]
async fn a_second_opener_of_a_sqlite_file_is_told_why_not() {
    let store = Store::sqlite();
    let _first = store.open().await;
    let Err(LedgerError::Unavailable(cause)) = gateway::ledger::open(&store.settings()).await
    else {
        panic!("two have the file open");
    };
    assert!(cause.to_string().contains("ledger.db is in use by another process"), "{cause}");
}

async fn a_filing_is_found_by_key_and_by_case(store: &Store) {
    let ledger = store.open().await;
    assert!(ledger.find("bank", "k").await.unwrap().is_none());
    assert!(ledger.find_case("bank", "YWH-1").await.unwrap().is_empty());
    assert!(ledger.find_case("bank", "").await.unwrap().is_empty());
    assert_eq!(ledger.asked("bank", "k").await.unwrap(), None);

    let entry = new(ledger.admit(&claim("k")).await);
    assert_eq!(ledger.asked("bank", "k").await.unwrap(), Some(claim("k").fingerprint));
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    assert_eq!(ledger.find_case("bank", "YWH-1").await.unwrap()[0].key, "k");

    // Another registry numbers its cases as it likes, and may have given the number twice.
    for key in ["k2", "k3"] {
        let elsewhere = Claim { registry: "another".into(), ..claim(key) };
        let entry = new(ledger.admit(&elsewhere).await);
        ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await; // The store's clock is nobody's to turn.
    }
    let found = ledger.find_case("bank", "YWH-1").await.unwrap();
    assert_eq!(found.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["k3", "k"]);

    // A registry that refuses at the door may give no number: such filings have none in common.
    let entry = new(ledger.admit(&claim("refused")).await);
    ledger.settle(&entry, &accepted(""), None).await.unwrap();
    assert!(ledger.find_case("bank", "").await.unwrap().is_empty());
}

async fn a_dropped_call_leaves_a_ledger_that_works(store: &Store) {
    let ledger = store.open().await;
    for round in 0..40 {
        let (ledger, claim) = (Arc::clone(&ledger), claim(&format!("k{round}")));
        let call = tokio::spawn(async move { ledger.admit(&claim).await.map(drop) });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
        let _dropped_or_done = call.await;
    }
    for round in 0..40 {
        // It happened or it did not; one or the other, and the next is told.
        let admission = ledger.admit(&claim(&format!("k{round}"))).await.unwrap();
        assert!(matches!(admission, Admission::New(_) | Admission::InFlight { .. }));
    }
}

async fn everything_is_there_after_reopening(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&claim("claimed")).await);
    let entry = new(ledger.admit(&claim("unknown")).await);
    ledger.defer(&entry, LONG).await.unwrap();
    let entry = new(ledger.admit(&claim("settled")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let entry = new(ledger.admit(&claim("released")).await);
    ledger.release(&entry).await.unwrap();
    drop(ledger);

    let ledger = store.open().await;
    in_flight(ledger.admit(&claim("claimed")).await);
    assert!(due(&*ledger, "province").await.is_empty());
    assert_eq!(ask_first(ledger.admit(&claim("unknown")).await), entry_of("unknown", 2));
    settled(ledger.admit(&claim("settled")).await, &accepted("YWH-1"));
    assert_eq!(new(ledger.admit(&claim("released")).await), entry_of("released", 2));
    assert_eq!(ledger.find_case("bank", "YWH-1").await.unwrap()[0].key, "settled");
}

async fn odd_text_and_bytes_survive(store: &Store) {
    let ledger = store.open().await;
    let odd = Claim {
        institution: "银行's \"𠮷\"".into(),
        key: "'; DROP TABLE filing; --%_?1$1:key".into(),
        fingerprint: Fingerprint { digest: [0; 32], leaves: (0..=255).collect() },
        booked: Booked { amount_fen: Some(i64::MAX), parties: None },
        ..claim("")
    };
    let entry = new(ledger.admit(&odd).await);
    assert_eq!((&entry.institution, &entry.key), (&odd.institution, &odd.key));
    let other = Claim { fingerprint: fingerprint(1), ..odd.clone() };
    match ledger.admit(&other).await.unwrap() {
        Admission::Conflict { earlier } => assert_eq!(earlier, odd.fingerprint),
        admission => panic!("{admission:?}"),
    }
    // A lease and a delay beyond all dates, and none at all.
    ledger.defer(&entry, Duration::MAX).await.unwrap();
    let forever = Claim { lease: Duration::MAX, ..odd.clone() };
    assert_eq!(ask_first(ledger.admit(&forever).await).attempt, 2);
    in_flight(ledger.admit(&odd).await);
    new(ledger.admit(&Claim { lease: Duration::ZERO, ..claim("k") }).await);
    ask_first(ledger.admit(&claim("k")).await);
}

async fn the_last_cases_of_an_office_say_how_long_they_took(store: &Store) {
    let ledger = store.open().await;
    let registered = |case_id: &str, in_seconds: u64| Outcome {
        status: CaseStatus::Registered.into(),
        registered_at: Some((SystemTime::now() + Duration::from_secs(in_seconds)).into()),
        ..accepted(case_id)
    };
    let settle = async |claim: Claim, outcome: Outcome| {
        let entry = new(ledger.admit(&claim).await);
        ledger.settle(&entry, &outcome, None).await.unwrap();
    };
    settle(claim("an hour"), registered("1", 3_600)).await;
    settle(claim("not yet"), accepted("2")).await;
    settle(Claim { matter: "seizure".into(), ..claim("other") }, registered("3", 9)).await;
    settle(Claim { office: "1402".into(), ..claim("elsewhere") }, registered("4", 9)).await;
    settle(Claim { registry: "city".into(), ..claim("away") }, registered("5", 9)).await;
    settle(claim("two hours"), registered("6", 7_200)).await;
    let dated_early = Outcome { registered_at: Some(Timestamp::default()), ..registered("7", 0) };
    settle(claim("before it came"), dated_early).await;
    let past = PastCases {
        registry: "province".into(),
        office: "1401".into(),
        matter: "mortgage_registration".into(),
        within: LONG,
        limit: 9,
    };
    let hours = async |past: PastCases| {
        let taken = ledger.times_taken(&past).await.unwrap();
        taken.into_iter().map(|took| (took.as_secs() + 1_800) / 3_600).collect::<Vec<_>>()
    };
    assert_eq!(hours(past.clone()).await, [0, 2, 1], "the last first");
    assert_eq!(hours(PastCases { limit: 2, ..past.clone() }).await, [0, 2]);
    let within = Duration::from_millis(1);
    until(async || hours(PastCases { within, ..past.clone() }).await.is_empty().then_some(()))
        .await;
}

async fn ping_writes(store: &Store) {
    store.open().await.ping().await.unwrap();
}

/// Long enough never to run out in a test.
const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(60);

fn claim(key: &str) -> Claim {
    Claim {
        institution: "bank".into(),
        key: key.into(),
        fingerprint: fingerprint(1),
        booked: Booked::default(),
        matter: "mortgage_registration".into(),
        registry: "province".into(),
        office: "1401".into(),
        lease: LONG,
        announced: false,
        guards: Vec::new(),
        corrects: None,
        waiting: None,
    }
}

fn of_loan(key: &str, loans: &[u8]) -> Claim {
    Claim { guards: guards(loans), ..claim(key) }
}

fn guards(loans: &[u8]) -> Vec<Guard> {
    loans.iter().map(|loan| Guard::of(&[*loan; 16])).collect()
}

fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint { digest: [number; 32], leaves: vec![number; 7] }
}

fn entry_of(key: &str, attempt: i64) -> Entry {
    Entry {
        institution: "bank".into(),
        key: key.into(),
        registry: "province".into(),
        office: "1401".into(),
        attempt,
    }
}

fn accepted(case_id: &str) -> Outcome {
    Outcome { case_id: case_id.into(), status: CaseStatus::Accepted.into(), ..Outcome::default() }
}

#[track_caller]
fn new(said: Result<Admission, LedgerError>) -> Entry {
    match said.unwrap() {
        Admission::New(entry) => entry,
        admission => panic!("not new: {admission:?}"),
    }
}

#[track_caller]
fn duplicate(said: Result<Admission, LedgerError>) -> Record {
    match said.unwrap() {
        Admission::Duplicate(holder) => holder,
        admission => panic!("no duplicate: {admission:?}"),
    }
}

#[track_caller]
fn ask_first(said: Result<Admission, LedgerError>) -> Entry {
    match said.unwrap() {
        Admission::AskFirst(entry) => entry,
        admission => panic!("not to be asked about first: {admission:?}"),
    }
}

#[track_caller]
fn in_flight(said: Result<Admission, LedgerError>) -> Duration {
    match said.unwrap() {
        Admission::InFlight { retry_after } => retry_after,
        admission => panic!("not in flight: {admission:?}"),
    }
}

#[track_caller]
fn settled(said: Result<Admission, LedgerError>, outcome: &Outcome) {
    match said.unwrap() {
        Admission::Settled(record) => assert_eq!(record.outcome.as_ref(), Some(outcome)),
        admission => panic!("not settled: {admission:?}"),
    }
}

async fn due(ledger: &dyn Ledger, registry: &str) -> Vec<Entry> {
    ledger.claim_due(registry, 100, LONG).await.unwrap()
}

/// Asks until there is an answer. The store's clock is nobody's to turn, so time has to pass.
async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "nothing happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
