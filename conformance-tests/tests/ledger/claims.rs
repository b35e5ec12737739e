//! What a ledger promises whoever claims a key, asked of both stores. Source: the doc comments of
//! `gateway::ledger`, and docs/domain.md, "Idempotency".

use std::{sync::Arc, time::Duration};

use gateway::ledger::{Admission, Claim, LedgerError, State};
use tokio::task::JoinSet;

use super::{
    LONG, SHORT, Store, accepted, ask_first, claim, due, entry_of, fingerprint, in_flight, new,
    settled, until,
};

over_both_stores! {
    a_new_key_is_new
    a_key_being_worked_on_is_in_flight
    a_key_used_for_something_else_is_a_conflict_whatever_became_of_it
    a_settled_key_tells_its_outcome
    a_released_key_is_new_again
    a_claim_whose_lease_ran_out_is_asked_about_first
    a_claim_that_was_never_announced_is_as_good_as_new
    an_announced_claim_may_have_been_sent_and_is_not_again_before_its_time
    an_unknown_outcome_is_asked_about_first
    an_unknown_outcome_that_another_asks_about_is_in_flight
    one_key_of_two_institutions_is_two_keys
    an_answer_counts_even_from_a_stale_entry
    the_first_answer_stands
    an_answer_to_a_filing_never_claimed_is_an_error
    a_stale_entry_can_neither_release_nor_defer_nor_mark
    a_settled_filing_is_neither_released_nor_deferred_nor_marked
    fifty_claims_of_one_key_at_once_are_one_new
}

async fn a_new_key_is_new(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    assert_eq!(entry, entry_of("k", 1));
    let record = ledger.find("bank", "k").await.unwrap().unwrap();
    assert_eq!(record.state, State::Claimed);
    assert_eq!(record.matter, "mortgage_registration");
    assert_eq!(record.outcome, None);
}

async fn a_key_being_worked_on_is_in_flight(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&claim("k")).await);
    let retry_after = in_flight(ledger.admit(&claim("k")).await);
    assert!(retry_after > LONG / 2 && retry_after <= LONG);
}

async fn a_key_used_for_something_else_is_a_conflict_whatever_became_of_it(store: &Store) {
    let ledger = store.open().await;
    let other = |key| Claim { fingerprint: fingerprint(2), ..claim(key) };

    new(ledger.admit(&claim("claimed")).await);
    let entry = new(ledger.admit(&claim("unknown")).await);
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = new(ledger.admit(&claim("settled")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let entry = new(ledger.admit(&claim("released")).await);
    ledger.release(&entry).await.unwrap();

    for key in ["claimed", "unknown", "settled", "released"] {
        match ledger.admit(&other(key)).await.unwrap() {
            Admission::Conflict { earlier } => assert_eq!(earlier, fingerprint(1), "{key}"),
            admission => panic!("{key}: {admission:?}"),
        }
    }
    new(ledger.admit(&claim("released")).await); // The conflict took nothing.
}

async fn a_settled_key_tells_its_outcome(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    match ledger.admit(&claim("k")).await.unwrap() {
        Admission::Settled(record) => {
            assert_eq!(record.state, State::Settled);
            assert_eq!(record.outcome, Some(accepted("YWH-1")));
            assert_eq!((record.registry.as_str(), record.office.as_str()), ("province", "1401"));
        }
        admission => panic!("{admission:?}"),
    }
}

async fn a_released_key_is_new_again(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.release(&entry).await.unwrap();
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Released);

    // Nothing was sent, so it goes wherever it is routed now.
    let rerouted = Claim { registry: "city".into(), office: "7".into(), ..claim("k") };
    let entry = new(ledger.admit(&rerouted).await);
    assert_eq!((entry.attempt, entry.registry.as_str(), entry.office.as_str()), (2, "city", "7"));
    in_flight(ledger.admit(&claim("k")).await);
    assert!(
        due(&*ledger, "province").await.is_empty(),
        "a released filing is nobody's to ask about"
    );
}

async fn a_claim_whose_lease_ran_out_is_asked_about_first(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&Claim { lease: SHORT, ..claim("k") }).await);
    // What may have been sent was sent to the first registry: that one is to be asked.
    let rerouted = Claim { registry: "city".into(), office: "7".into(), ..claim("k") };
    let admission = until(async || match ledger.admit(&rerouted).await.unwrap() {
        Admission::InFlight { .. } => None,
        admission => Some(admission),
    });
    assert_eq!(ask_first(Ok(admission.await)), entry_of("k", 2));
    in_flight(ledger.admit(&claim("k")).await);
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);
}

async fn a_claim_that_was_never_announced_is_as_good_as_new(store: &Store) {
    let ledger = store.open().await;
    let announced = Claim { announced: true, ..claim("k") };
    new(ledger.admit(&Claim { key: "held".into(), ..announced.clone() }).await);
    in_flight(ledger.admit(&Claim { key: "held".into(), ..announced.clone() }).await);
    let late = new(ledger.admit(&Claim { lease: SHORT, ..announced.clone() }).await);
    let found = until(async || {
        let state = ledger.find("bank", "k").await.unwrap().unwrap().state;
        (state != State::Claimed).then_some(state)
    });
    assert_eq!(found.await, State::Released);
    assert!(due(&*ledger, "province").await.is_empty(), "there is nothing to ask a registry about");

    let rerouted = Claim { registry: "city".into(), office: "7".into(), ..announced };
    let entry = new(ledger.admit(&rerouted).await);
    assert_eq!((entry.attempt, entry.registry.as_str(), entry.office.as_str()), (2, "city", "7"));
    assert!(!ledger.announce(&late, Duration::ZERO).await.unwrap(), "another has it");
    assert!(ledger.announce(&entry, LONG).await.unwrap());
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap(), "a claim sends once");
}

async fn an_announced_claim_may_have_been_sent_and_is_not_again_before_its_time(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&Claim { announced: true, ..claim("k") }).await);
    assert!(ledger.announce(&entry, Duration::MAX).await.unwrap());
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = ask_first(ledger.admit(&Claim { announced: true, ..claim("k") }).await);
    assert!(!ledger.announce(&entry, LONG).await.unwrap());
    assert!(!ledger.announce(&entry, Duration::MAX).await.unwrap());
    until(async || ledger.announce(&entry, SHORT).await.unwrap().then_some(())).await;
    assert!(!ledger.announce(&entry, LONG).await.unwrap(), "the time begins anew");
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap());

    // Of one that was not to be announced, nobody knows when it was sent.
    let entry = new(ledger.admit(&claim("silent")).await);
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap());
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = ask_first(ledger.admit(&Claim { announced: true, ..claim("silent") }).await);
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap());
}

async fn an_unknown_outcome_is_asked_about_first(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&entry).await.unwrap();
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);
    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert_eq!(entry, entry_of("k", 2));

    // A bank that asks need not wait for the resolver's next turn.
    ledger.defer(&entry, LONG).await.unwrap();
    assert_eq!(ask_first(ledger.admit(&claim("k")).await), entry_of("k", 3));
}

async fn an_unknown_outcome_that_another_asks_about_is_in_flight(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&entry).await.unwrap();
    assert_eq!(due(&*ledger, "province").await, [entry_of("k", 2)]);
    in_flight(ledger.admit(&claim("k")).await);
}

async fn one_key_of_two_institutions_is_two_keys(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    new(ledger.admit(&Claim { institution: "other".into(), ..claim("k") }).await);
    assert!(ledger.find_case("other", "YWH-1").await.unwrap().is_empty());
}

async fn an_answer_counts_even_from_a_stale_entry(store: &Store) {
    let ledger = store.open().await;
    let stale = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&stale).await.unwrap();
    let newer = ask_first(ledger.admit(&claim("k")).await);
    ledger.settle(&stale, &accepted("YWH-1"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
    // The one who was asking meanwhile learns the same, or nothing new.
    ledger.settle(&newer, &accepted("YWH-1"), None).await.unwrap();
    ledger.mark_unknown(&newer).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
}

async fn the_first_answer_stands(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    ledger.settle(&entry, &accepted("YWH-2"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
    assert!(ledger.find_case("bank", "YWH-2").await.unwrap().is_empty());
}

async fn an_answer_to_a_filing_never_claimed_is_an_error(store: &Store) {
    let ledger = store.open().await;
    let answer = ledger.settle(&entry_of("k", 1), &accepted("YWH-1"), None).await;
    assert!(matches!(answer, Err(LedgerError::Corrupt(_))), "{answer:?}");
}

async fn a_stale_entry_can_neither_release_nor_defer_nor_mark(store: &Store) {
    let ledger = store.open().await;
    let stale = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&stale).await.unwrap();
    ask_first(ledger.admit(&claim("k")).await);

    ledger.release(&stale).await.unwrap();
    in_flight(ledger.admit(&claim("k")).await);
    ledger.defer(&stale, Duration::ZERO).await.unwrap();
    in_flight(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&stale).await.unwrap();
    in_flight(ledger.admit(&claim("k")).await);
}

async fn a_settled_filing_is_neither_released_nor_deferred_nor_marked(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    ledger.release(&entry).await.unwrap();
    ledger.defer(&entry, Duration::ZERO).await.unwrap();
    ledger.mark_unknown(&entry).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = new(ledger.admit(&claim("released")).await);
    ledger.release(&entry).await.unwrap();
    ledger.mark_unknown(&entry).await.unwrap();
    assert_eq!(ledger.find("bank", "released").await.unwrap().unwrap().state, State::Released);
}

async fn fifty_claims_of_one_key_at_once_are_one_new(store: &Store) {
    let replicas = store.replicas().await;
    for round in 0..4 {
        let claim = claim(&format!("k{round}"));
        let mut claimants = JoinSet::new();
        for number in 0..50 {
            let (replica, claim) = (Arc::clone(&replicas[number % replicas.len()]), claim.clone());
            claimants.spawn(async move { replica.admit(&claim).await.unwrap() });
        }
        let admissions = claimants.join_all().await;
        let new = admissions.iter().filter(|said| matches!(said, Admission::New(_))).count();
        let waiting =
            admissions.iter().filter(|said| matches!(said, Admission::InFlight { .. })).count();
        assert_eq!((new, waiting), (1, 49));
    }
}
