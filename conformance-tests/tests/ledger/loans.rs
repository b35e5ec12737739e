//! What a ledger promises about one loan under two keys, asked of both stores. Source: the doc comments of
//! `gateway::ledger`, and docs/domain.md, "Idempotency".

use std::{sync::Arc, time::Duration};

use gateway::ledger::{Admission, Claim, State};
use tokio::task::JoinSet;

use super::{
    SHORT, Store, accepted, ask_first, duplicate, guards, in_flight, new, of_loan, settled, until,
};

over_both_stores! {
    fifty_filings_of_one_loan_at_once_are_one_new
    a_loan_is_guarded_until_its_guard_is_lifted
    a_guard_is_lifted_only_from_a_filing_that_is_as_far_as_was_seen
    a_filing_takes_all_its_guards_or_none
    a_guard_is_never_in_the_way_of_its_own_filing
    a_correction_takes_the_guards_of_what_it_corrects
    a_correction_that_comes_to_nothing_gives_the_guards_back
}

async fn fifty_filings_of_one_loan_at_once_are_one_new(store: &Store) {
    let replicas = store.replicas().await;
    for round in 0..4 {
        let mut claimants = JoinSet::new();
        for number in 0..50_usize {
            let replica = Arc::clone(&replicas[number % replicas.len()]);
            let claim = of_loan(&format!("k{round}-{number}"), &[round]);
            claimants.spawn(async move { replica.admit(&claim).await.unwrap() });
        }
        let admissions = claimants.join_all().await;
        let new = admissions.iter().filter(|said| matches!(said, Admission::New(_))).count();
        let duplicates =
            admissions.iter().filter(|said| matches!(said, Admission::Duplicate(_))).count();
        assert_eq!((new, duplicates), (1, 49));
    }
}

async fn a_loan_is_guarded_until_its_guard_is_lifted(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("first", &[1])).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("second", &[1])).await).key, "first");
    assert!(
        ledger.find("bank", "second").await.unwrap().is_none(),
        "what is refused claims nothing"
    );
    let elsewhere = Claim { institution: "other".into(), ..of_loan("second", &[1]) };
    new(ledger.admit(&elsewhere).await);

    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let holder = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!(holder.outcome, Some(accepted("YWH-1")), "the earlier case can be named");
    ledger.lift(&holder, &guards(&[1])).await.unwrap();
    new(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("third", &[1])).await).key, "second");
    settled(ledger.admit(&of_loan("first", &[1])).await, &accepted("YWH-1"));
}

async fn a_guard_is_lifted_only_from_a_filing_that_is_as_far_as_was_seen(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("first", &[1])).await);
    let claimed = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    ledger.lift(&claimed, &guards(&[1])).await.unwrap();
    ledger.release(&entry).await.unwrap();
    let released = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!((claimed.state, released.state), (State::Claimed, State::Released));

    // It is filed again before the other comes to lift its guard.
    new(ledger.admit(&of_loan("first", &[1])).await);
    ledger.lift(&released, &guards(&[1])).await.unwrap();
    let entry = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!((entry.key.as_str(), entry.state), ("first", State::Claimed));

    // One that was never announced may not be sent any more once its guard is lifted.
    let late = Claim { lease: SHORT, announced: true, ..of_loan("late", &[2]) };
    let late = new(ledger.admit(&late).await);
    let lapsed = until(async || {
        let holder = duplicate(ledger.admit(&of_loan("next", &[2])).await);
        (holder.state == State::Released).then_some(holder)
    });
    ledger.lift(&lapsed.await, &guards(&[2])).await.unwrap();
    new(ledger.admit(&of_loan("next", &[2])).await);
    assert!(!ledger.announce(&late, Duration::ZERO).await.unwrap());
    assert_eq!(duplicate(ledger.admit(&of_loan("late", &[2])).await).key, "next");
}

async fn a_filing_takes_all_its_guards_or_none(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&of_loan("first", &[2])).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("both", &[1, 2, 3])).await).key, "first");
    new(ledger.admit(&of_loan("other", &[1, 3])).await);
}

async fn a_guard_is_never_in_the_way_of_its_own_filing(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("k", &[1, 2])).await);
    in_flight(ledger.admit(&of_loan("k", &[1, 2])).await);
    ledger.release(&entry).await.unwrap();
    let entry = new(ledger.admit(&of_loan("k", &[1, 2])).await);
    ledger.mark_unknown(&entry).await.unwrap();
    ask_first(ledger.admit(&of_loan("k", &[1, 2])).await);
}

async fn a_correction_that_comes_to_nothing_gives_the_guards_back(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("first", &[1, 2])).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let correction = |key| Claim { corrects: Some("YWH-1".into()), ..of_loan(key, &[1, 2]) };
    let elsewhere = Claim { registry: "another".into(), ..correction("wrong") };
    assert_eq!(duplicate(ledger.admit(&elsewhere).await).key, "first", "another registry's number");
    let lost = new(ledger.admit(&correction("lost")).await);
    ledger.release(&lost).await.unwrap();
    // Again under its own key, and again nothing is sent: what it corrects is not forgotten.
    let lost = new(ledger.admit(&correction("lost")).await);
    ledger.release(&lost).await.unwrap();

    let holder = duplicate(ledger.admit(&of_loan("third", &[1])).await);
    assert_eq!((holder.key.as_str(), holder.state), ("lost", State::Released));
    ledger.lift(&holder, &guards(&[1])).await.unwrap();
    assert_eq!(duplicate(ledger.admit(&of_loan("third", &[1])).await).key, "first");
    let holder = duplicate(ledger.admit(&correction("again")).await);
    ledger.lift(&holder, &guards(&[1, 2])).await.unwrap();
    new(ledger.admit(&correction("again")).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("third", &[1])).await).key, "again");
}

async fn a_correction_takes_the_guards_of_what_it_corrects(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("first", &[1])).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let of_another = Claim { corrects: Some("YWH-2".into()), ..of_loan("wrong", &[1]) };
    duplicate(ledger.admit(&of_another).await);
    let corrected = Claim { corrects: Some("YWH-1".into()), ..of_loan("corrected", &[1]) };
    new(ledger.admit(&corrected).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("third", &[1])).await).key, "corrected");
}
