//! What a ledger promises around findings, asked of both stores. Source: the doc comments of `gateway::ledger::books`.

use std::time::Duration;

use gateway::ledger::{
    Ledger,
    books::{Finding, Kind, Which},
};

use super::{LONG, Store};

over_both_stores! {
    what_an_operator_closed_stays_closed_until_it_differs_otherwise
    what_is_closed_is_forgotten_once_it_is_old_and_what_is_open_never
}

const REGISTRY: &str = "province";
const DAY: &str = "2026-03-05";

async fn what_an_operator_closed_stays_closed_until_it_differs_otherwise(store: &Store) {
    let ledger = &*store.open().await;
    assert_eq!(record(ledger, &[found("k1", "LAPSED"), found("k2", "REFUSED")]).await, 2);
    assert_eq!(record(ledger, &[found("k1", "LAPSED")]).await, 0, "found again");
    assert_eq!(open(ledger).await, ["k1"], "k2 agrees by now");
    let id = ledger.findings(Which::Open, 9).await.unwrap()[0].id;
    assert!(ledger.close_finding(id, "seen").await.unwrap());
    assert!(!ledger.close_finding(id, "seen").await.unwrap());
    assert_eq!(record(ledger, &[found("k1", "LAPSED")]).await, 0);
    assert_eq!(open(ledger).await, [""; 0]);
    assert_eq!(record(ledger, &[found("k1", "TERMINATED")]).await, 1);
    assert_eq!(open(ledger).await, ["k1"]);
}

async fn what_is_closed_is_forgotten_once_it_is_old_and_what_is_open_never(store: &Store) {
    let ledger = &*store.open().await;
    record(ledger, &[found("k1", "LAPSED"), found("k2", "LAPSED"), found("k3", "LAPSED")]).await;
    record(ledger, &[found("k3", "LAPSED")]).await;
    assert_eq!(ledger.forget_findings(LONG, 9).await.unwrap(), 0, "closed a moment ago");
    tokio::time::sleep(Duration::from_millis(5)).await; // The store's clock is nobody's to turn.
    assert_eq!(ledger.forget_findings(Duration::ZERO, 1).await.unwrap(), 1);
    assert_eq!(ledger.forget_findings(Duration::ZERO, 9).await.unwrap(), 1);
    assert_eq!(ledger.forget_findings(Duration::ZERO, 9).await.unwrap(), 0);
    let left = ledger.findings(Which::All, 9).await.unwrap();
    assert_eq!(left.iter().map(|it| it.finding.key.as_str()).collect::<Vec<_>>(), ["k3"]);
}

fn found(key: &str, theirs: &str) -> Finding {
    Finding {
        institution: "bank".into(),
        key: key.into(),
        kind: Kind::Status,
        office: "1401".into(),
        case_id: format!("case of {key}"),
        ours: "REGISTERED".into(),
        theirs: theirs.into(),
    }
}

async fn record(ledger: &dyn Ledger, findings: &[Finding]) -> u64 {
    ledger.record_findings(REGISTRY, DAY, findings).await.unwrap()
}

async fn open(ledger: &dyn Ledger) -> Vec<String> {
    let open = ledger.findings(Which::Open, 9).await.unwrap();
    open.into_iter().map(|it| it.finding.key).collect()
}
