//! What a ledger promises about filings that are old, asked of both stores. Source: the doc comments of
//! `gateway::ledger`, and docs/domain.md, "Idempotency".

use std::{sync::Arc, time::Duration};

use gateway::ledger::{Admission, Claim, State, events::Recorded};
use proto::v1::Outcome;
use tokio::{task::JoinSet, time::Instant};

use super::{
    LONG, SHORT, Store, accepted, claim, duplicate, events, fingerprint, guards, new, of_loan,
    until,
};

over_both_stores! {
    what_is_old_is_retired_and_its_key_stays_used
    what_is_open_or_young_is_never_retired
    two_that_retire_at_once_retire_each_filing_once
}

async fn what_is_old_is_retired_and_its_key_stays_used(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("k", &[1])).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let released = new(ledger.admit(&claim("released")).await);
    ledger.release(&released).await.unwrap();
    let mut retired = 0;
    until(async || Some(ledger.retire(SHORT, 9).await.unwrap()).filter(|count| *count > 0)).await;
    until(async || {
        ledger.retire(SHORT, 9).await.unwrap();
        let state = ledger.find("bank", "released").await.unwrap().unwrap().state;
        (state == State::Retired).then_some(())
    })
    .await;
    retired += ledger.retire(SHORT, 9).await.unwrap();
    assert_eq!(retired, 0, "once is enough");

    let known = Outcome { case_id: "YWH-1".into(), ..Outcome::default() };
    for claim in [of_loan("k", &[1]), Claim { fingerprint: fingerprint(2), ..claim("k") }] {
        match ledger.admit(&claim).await.unwrap() {
            Admission::Retired(record) => assert_eq!(record.outcome, Some(known.clone())),
            admission => panic!("{admission:?}"),
        }
    }
    match ledger.admit(&claim("released")).await.unwrap() {
        Admission::Retired(record) => assert_eq!(record.outcome, None),
        admission => panic!("{admission:?}"),
    }
    assert_eq!(ledger.find_case("bank", "YWH-1").await.unwrap()[0].state, State::Retired);
    assert_eq!(ledger.asked("bank", "k").await.unwrap(), None);

    // Nobody who was away for that long changes it, and the loan stays guarded.
    ledger.settle(&entry, &accepted("YWH-2"), None).await.unwrap();
    let told = ledger.record(&events::told("k", accepted("YWH-2"))).await.unwrap();
    assert_eq!(told, Recorded::Unheard);
    ledger.mark_unknown(&entry).await.unwrap();
    ledger.release(&released).await.unwrap();
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().outcome, Some(known));
    let holder = duplicate(ledger.admit(&of_loan("other", &[1])).await);
    assert_eq!(holder.state, State::Retired);
    ledger.lift(&holder, &guards(&[1])).await.unwrap();
    new(ledger.admit(&of_loan("other", &[1])).await);
}

async fn what_is_open_or_young_is_never_retired(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&Claim { lease: SHORT, ..claim("claimed") }).await);
    let unknown = new(ledger.admit(&claim("unknown")).await);
    ledger.mark_unknown(&unknown).await.unwrap();
    let old = new(ledger.admit(&claim("old")).await);
    ledger.settle(&old, &accepted("YWH-1"), None).await.unwrap();
    until(async || (ledger.retire(SHORT, 9).await.unwrap() == 1).then_some(())).await;
    let young = new(ledger.admit(&claim("young")).await);
    ledger.settle(&young, &accepted("YWH-2"), None).await.unwrap();
    assert_eq!(ledger.retire(LONG, 9).await.unwrap(), 0);
    for (key, state) in
        [("claimed", State::Claimed), ("unknown", State::Unknown), ("young", State::Settled)]
    {
        assert_eq!(ledger.find("bank", key).await.unwrap().unwrap().state, state, "{key}");
    }
}

async fn two_that_retire_at_once_retire_each_filing_once(store: &Store) {
    let replicas = store.replicas().await;
    for number in 0..40 {
        let entry = new(replicas[0].admit(&claim(&format!("k{number}"))).await);
        replicas[0].settle(&entry, &accepted(""), None).await.unwrap();
    }
    let mut retirers = JoinSet::new();
    for number in 0..6 {
        let ledger = Arc::clone(&replicas[number % replicas.len()]);
        retirers.spawn(async move {
            let mut count = 0;
            let end = Instant::now() + Duration::from_secs(1);
            while Instant::now() < end {
                let some = ledger.retire(SHORT, 4).await.unwrap();
                assert!(some <= 4);
                count += some;
                tokio::task::yield_now().await;
            }
            count
        });
    }
    assert_eq!(retirers.join_all().await.iter().sum::<u32>(), 40);
}
