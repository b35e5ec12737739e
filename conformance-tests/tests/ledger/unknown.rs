//! What a ledger promises about filings with an unknown outcome: whom they are given to, and when. Asked of both stores. Source: the doc comments of
//! `gateway::ledger`, and docs/domain.md, "Idempotency".

use std::{collections::HashSet, sync::Arc, time::Duration};

use gateway::ledger::{Claim, Entry, State, Unknown};
use tokio::{task::JoinSet, time::Instant};

use super::{
    LONG, SHORT, Store, accepted, ask_first, claim, due, entry_of, in_flight, new, settled, until,
};

over_both_stores! {
    what_is_due_is_given_to_one_taker_once
    what_is_put_off_is_not_due
    what_is_due_is_given_out_longest_due_first_and_per_registry
    a_lease_that_ran_out_is_due
    what_was_given_up_is_due_no_more_but_may_be_claimed
    unknown_outcomes_are_counted_per_registry_with_the_age_of_the_oldest
    a_filings_age_counts_from_its_claim_and_anew_after_a_release
}

async fn what_is_due_is_given_to_one_taker_once(store: &Store) {
    let replicas = store.replicas().await;
    let ledger = Arc::clone(&replicas[0]);
    let keys: HashSet<String> = (0..30).map(|n| format!("k{n}")).collect();
    for key in &keys {
        let entry = new(ledger.admit(&claim(key)).await);
        ledger.mark_unknown(&entry).await.unwrap();
    }
    new(ledger.admit(&claim("still claimed")).await);

    let mut takers = JoinSet::new();
    for number in 0..6 {
        let ledger = Arc::clone(&replicas[number % replicas.len()]);
        takers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let some = ledger.claim_due("province", 4, LONG).await.unwrap();
                assert!(some.len() <= 4);
                if some.is_empty() {
                    return taken;
                }
                taken.extend(some);
            }
        });
    }
    let taken: Vec<Entry> = takers.join_all().await.into_iter().flatten().collect();
    assert!(taken.iter().all(|entry| entry.attempt == 2));
    assert_eq!(taken.len(), keys.len(), "none is given out twice");
    assert_eq!(taken.into_iter().map(|entry| entry.key).collect::<HashSet<_>>(), keys);
}

async fn what_is_put_off_is_not_due(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.defer(&entry, LONG).await.unwrap();
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = ask_first(ledger.admit(&claim("k")).await);
    ledger.defer(&entry, SHORT).await.unwrap();
    let taken = until(async || due(&*ledger, "province").await.pop()).await;
    assert_eq!(taken, entry_of("k", 3));
}

async fn what_is_due_is_given_out_longest_due_first_and_per_registry(store: &Store) {
    let ledger = store.open().await;
    let later = new(ledger.admit(&claim("later")).await);
    let sooner = new(ledger.admit(&claim("sooner")).await);
    let last = Claim { registry: "city".into(), ..claim("last") };
    let last = new(ledger.admit(&last).await);
    ledger.defer(&sooner, SHORT).await.unwrap();
    ledger.defer(&later, SHORT * 2).await.unwrap();
    ledger.defer(&last, SHORT * 3).await.unwrap();

    let taken = until(async || due(&*ledger, "city").await.pop()).await;
    assert_eq!(taken.key, "last");
    // Now all are due.
    let first = ledger.claim_due("province", 1, LONG).await.unwrap();
    let second = ledger.claim_due("province", 1, LONG).await.unwrap();
    assert_eq!((first, second), (vec![entry_of("sooner", 2)], vec![entry_of("later", 2)]));
}

async fn a_lease_that_ran_out_is_due(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&Claim { lease: SHORT, ..claim("k") }).await);
    let taken = until(async || ledger.claim_due("province", 9, SHORT).await.unwrap().pop()).await;
    assert_eq!(taken, entry_of("k", 2));
    ledger.release(&entry).await.unwrap(); // Too late: another may have found it at the registry.
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);

    // The taker is gone too; and so on, until there is an answer.
    let taken = until(async || due(&*ledger, "province").await.pop()).await;
    assert_eq!(taken, entry_of("k", 3));
    ledger.settle(&taken, &accepted("YWH-1"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
}

async fn what_was_given_up_is_due_no_more_but_may_be_claimed(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    assert!(ledger.give_up(&entry).await.unwrap(), "it is the first time");
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert!(!ledger.give_up(&entry).await.unwrap(), "it was given up before");
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = ask_first(ledger.admit(&claim("k")).await);
    ledger.release(&entry).await.unwrap();
    let entry = new(ledger.admit(&claim("k")).await);
    assert!(ledger.give_up(&entry).await.unwrap(), "the key was claimed anew");
    let stale = entry;
    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert!(!ledger.give_up(&stale).await.unwrap(), "another has taken it since");
    in_flight(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
}

async fn unknown_outcomes_are_counted_per_registry_with_the_age_of_the_oldest(store: &Store) {
    let ledger = store.open().await;
    let unknown = async |registry| ledger.unknown(registry).await.unwrap();
    let given_up = new(ledger.admit(&claim("given up")).await);
    let deferred = new(ledger.admit(&claim("deferred")).await);
    let answered = new(ledger.admit(&claim("answered")).await);
    let elsewhere = Claim { registry: "city".into(), ..claim("elsewhere") };
    let elsewhere = new(ledger.admit(&elsewhere).await);
    new(ledger.admit(&claim("being worked on")).await);
    assert_eq!(unknown("province").await, Unknown::default());

    ledger.give_up(&given_up).await.unwrap();
    ledger.defer(&deferred, LONG).await.unwrap();
    ledger.settle(&answered, &accepted("YWH-1"), None).await.unwrap();
    ledger.mark_unknown(&elsewhere).await.unwrap();
    let before = unknown("province").await;
    assert_eq!((before.count, unknown("city").await.count), (2, 1));
    until(async || (unknown("province").await.oldest > before.oldest).then_some(())).await;

    ledger.settle(&given_up, &accepted("YWH-2"), None).await.unwrap();
    assert_eq!(unknown("province").await.count, 1);
}

async fn a_filings_age_counts_from_its_claim_and_anew_after_a_release(store: &Store) {
    let ledger = store.open().await;
    let age = async || ledger.find("bank", "k").await.unwrap().unwrap().age;
    let entry = new(ledger.admit(&claim("k")).await);
    until(async || (age().await >= SHORT).then_some(())).await;
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert!(age().await >= SHORT, "taking it over makes it no younger");

    let begun = Instant::now();
    ledger.release(&entry).await.unwrap();
    new(ledger.admit(&claim("k")).await);
    assert!(age().await <= begun.elapsed() + Duration::from_millis(1));
}
