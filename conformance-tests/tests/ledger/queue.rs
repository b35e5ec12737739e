//! What a ledger promises around filings that wait for their office, asked of both stores. Source: the doc comments of
//! `gateway::ledger`.

use std::{sync::Arc, time::Duration};

use gateway::ledger::{
    Admission, Claim, Guard, Ledger, LedgerError, Opening, Sealed, State, Taken, Waiting,
};
use proto::v1::{CaseStatus, Outcome};
use tokio::task::JoinSet;

use super::{SHORT, Store, accepted, claim, due, fingerprint, in_flight, new, settled, until};

over_both_stores! {
    a_filing_for_a_closed_office_waits_in_the_order_it_came
    who_comes_when_the_office_is_open_waits_behind_those_for_its_property
    what_could_not_be_sent_keeps_its_place_and_what_may_have_been_is_asked_about
    a_filing_that_waits_is_withdrawn_and_one_that_may_be_sent_is_not
    a_refusal_of_the_gateways_own_counts_only_while_the_filing_is_its_own
    an_offices_pace_is_kept_whoever_sends
    what_was_never_sent_goes_where_its_office_is_now_and_a_correction_where_its_case_is
}

async fn a_filing_for_a_closed_office_waits_in_the_order_it_came(store: &Store) {
    let ledger = store.open().await;
    for (key, place) in [("first", 1), ("other", 2), ("second", 1)] {
        assert_queued(ledger.admit(&waits(key, &[place], true)).await, false);
    }
    assert_queued(ledger.admit(&waits("first", &[1], true)).await, true);
    let other_words = Claim { fingerprint: fingerprint(2), ..waits("first", &[1], true) };
    assert!(matches!(ledger.admit(&other_words).await.unwrap(), Admission::Conflict { .. }));
    let found = ledger.find("bank", "first").await.unwrap().unwrap();
    assert_eq!(found.state, State::Queued);
    assert_eq!(ledger.queued().await.unwrap(), [("1401".to_owned(), 3)]);
    assert!(due(&*ledger, "province").await.is_empty(), "it is the queue's, not the resolver's");

    let first = next(&*ledger).await.unwrap();
    assert_eq!((first.entry.key.as_str(), first.ask_first), ("first", false));
    assert_eq!(first.sealed, sealed("first"));
    let other = next(&*ledger).await.unwrap();
    assert_eq!(other.entry.key, "other");
    assert_eq!(next(&*ledger).await, None, "the second waits for the first's answer");
    in_flight(ledger.admit(&waits("first", &[1], true)).await);
    ledger.settle(&first.entry, &accepted("C-1"), None).await.unwrap();
    settled(ledger.admit(&waits("first", &[1], true)).await, &accepted("C-1"));
    assert_eq!(next(&*ledger).await.unwrap().entry.key, "second");
    ledger.settle(&other.entry, &accepted("C-2"), None).await.unwrap();
    assert_eq!(ledger.queued().await.unwrap(), [("1401".to_owned(), 1)]);
}

async fn who_comes_when_the_office_is_open_waits_behind_those_for_its_property(store: &Store) {
    let ledger = store.open().await;
    assert_queued(ledger.admit(&waits("first", &[1, 2], true)).await, false);
    new(ledger.admit(&waits("elsewhere", &[3], false)).await);
    assert_queued(ledger.admit(&waits("behind", &[2, 3], false)).await, false);
    let first = next(&*ledger).await.unwrap();
    assert_queued(ledger.admit(&waits("third", &[1], false)).await, false);
    ledger.settle(&first.entry, &accepted("C-1"), None).await.unwrap();
    let keys = [next(&*ledger).await.unwrap(), next(&*ledger).await.unwrap()];
    assert_eq!(keys.each_ref().map(|taken| taken.entry.key.as_str()), ["behind", "third"]);
    for taken in keys {
        ledger.settle(&taken.entry, &accepted(&taken.entry.key), None).await.unwrap();
    }
    new(ledger.admit(&waits("free", &[1, 2], false)).await);
}

async fn what_could_not_be_sent_keeps_its_place_and_what_may_have_been_is_asked_about(
    store: &Store,
) {
    let ledger = store.open().await;
    assert_queued(ledger.admit(&waits("first", &[1], true)).await, false);
    assert_queued(ledger.admit(&waits("second", &[1], true)).await, false);
    let taken = next(&*ledger).await.unwrap();
    ledger.requeue(&taken.entry, Duration::ZERO).await.unwrap();
    let again = next(&*ledger).await.unwrap();
    assert_eq!((again.entry.key.as_str(), again.ask_first), ("first", false));
    ledger.requeue(&taken.entry, Duration::ZERO).await.unwrap();
    assert_eq!(next(&*ledger).await, None, "a stale entry gives nothing back");
    ledger.defer(&again.entry, Duration::ZERO).await.unwrap();
    assert_queued(ledger.admit(&waits("first", &[1], true)).await, true);
    let asked = next(&*ledger).await.unwrap();
    assert_eq!((asked.entry.key.as_str(), asked.ask_first), ("first", true));
    assert!(ledger.give_up(&asked.entry).await.unwrap());
    assert_eq!(next(&*ledger).await.unwrap().entry.key, "second", "those behind go on");
    assert!(matches!(
        ledger.admit(&waits("first", &[1], true)).await.unwrap(),
        Admission::AskFirst(_)
    ));
}

async fn a_filing_that_waits_is_withdrawn_and_one_that_may_be_sent_is_not(store: &Store) {
    let ledger = store.open().await;
    let withdrawn = Outcome { status: CaseStatus::Withdrawn.into(), ..Outcome::default() };
    let withdraw = async |key| ledger.withdraw_queued("bank", key, &withdrawn).await.unwrap();
    assert_queued(ledger.admit(&waits("first", &[1], true)).await, false);
    assert_queued(ledger.admit(&waits("second", &[1], true)).await, false);
    assert!(withdraw("first").await && !withdraw("first").await && !withdraw("never").await);
    settled(ledger.admit(&waits("first", &[1], true)).await, &withdrawn);
    let second = next(&*ledger).await.unwrap();
    assert_eq!(second.entry.key, "second");
    assert!(!withdraw("second").await);
}

async fn a_refusal_of_the_gateways_own_counts_only_while_the_filing_is_its_own(store: &Store) {
    let ledger = store.open().await;
    let refused = Outcome { status: CaseStatus::Refused.into(), ..Outcome::default() };
    assert_queued(ledger.admit(&waits("first", &[1], true)).await, false);
    let first = next(&*ledger).await.unwrap();
    assert!(ledger.refuse(&first.entry, &refused).await.unwrap());
    assert!(!ledger.refuse(&first.entry, &refused).await.unwrap());
    settled(ledger.admit(&waits("first", &[1], true)).await, &refused);
    let told = ledger.events_of("bank", "first").await.unwrap();
    assert_eq!(told.iter().map(|it| &it.outcome).collect::<Vec<_>>(), [&refused]);
    assert_eq!(ledger.queued().await.unwrap(), []);

    // Its lease runs out, and another may have sent it.
    assert_queued(ledger.admit(&waits("second", &[1], true)).await, false);
    let short = Opening { lease: SHORT, ..opening() };
    let second = ledger.claim_queued(&short).await.unwrap().unwrap();
    assert!(ledger.announce(&second.entry, Duration::MAX).await.unwrap());
    let another = until(async || next(&*ledger).await).await;
    assert_eq!((another.entry.key.as_str(), another.ask_first), ("second", true));
    assert!(!ledger.refuse(&second.entry, &refused).await.unwrap());
    ledger.settle(&another.entry, &accepted("C-2"), None).await.unwrap();
    settled(ledger.admit(&waits("second", &[1], true)).await, &accepted("C-2"));

    assert_queued(ledger.admit(&waits("third", &[1], true)).await, false);
    let third = ledger.claim_queued(&short).await.unwrap().unwrap();
    assert!(ledger.announce(&third.entry, Duration::MAX).await.unwrap());
    tokio::time::sleep(SHORT * 2).await; // The store's clock is nobody's to turn.
    assert!(!ledger.refuse(&third.entry, &refused).await.unwrap());
    let found = ledger.find("bank", "third").await.unwrap().unwrap();
    assert_ne!(found.state, State::Settled);
}

async fn an_offices_pace_is_kept_whoever_sends(store: &Store) {
    let ledgers = store.replicas().await;
    let ledger = ledgers.first().unwrap();
    for key in ["1", "2", "3", "4"] {
        assert_queued(ledger.admit(&waits(key, &[key.as_bytes()[0]], true)).await, false);
    }
    let opening = Opening { interval: Duration::from_secs(3_600), ..opening() };
    let mut takers = JoinSet::new();
    for ledger in ledgers.iter().cycle().take(24) {
        let (ledger, opening) = (Arc::clone(ledger), opening.clone());
        takers.spawn(async move { ledger.claim_queued(&opening).await.unwrap() });
    }
    let taken = takers.join_all().await.into_iter().flatten().count();
    assert!((1..=2).contains(&taken), "{taken} were taken");
}

async fn what_was_never_sent_goes_where_its_office_is_now_and_a_correction_where_its_case_is(
    store: &Store,
) {
    let ledger = store.open().await;
    let correction = Claim { corrects: Some("C-1".into()), ..waits("correction", &[2], true) };
    assert_queued(ledger.admit(&waits("filing", &[1], true)).await, false);
    assert_queued(ledger.admit(&correction).await, false);
    let registry = claim("any").registry;
    let opening = Opening { registry: "city".into(), ..opening() };
    let mut taken = Vec::new();
    while taken.len() < 2 {
        taken.extend(ledger.claim_queued(&opening).await.unwrap());
    }
    let went = taken.iter().map(|it| (it.entry.key.as_str(), it.entry.registry.as_str()));
    assert_eq!(went.collect::<Vec<_>>(), [("filing", "city"), ("correction", &*registry)]);
    let found = ledger.find("bank", "correction").await.unwrap().unwrap();
    assert_eq!(found.registry, registry, "it is asked about there");

    ledger.requeue(&taken[1].entry, Duration::ZERO).await.unwrap();
    let again = ledger.claim_queued(&opening).await.unwrap().unwrap();
    assert_eq!((&again.entry.registry, again.ask_first), (&registry, false));
    assert!(ledger.announce(&again.entry, Duration::MAX).await.unwrap());
}

/// A claim that can wait, about these places.
pub(super) fn waits(key: &str, places: &[u8], closed: bool) -> Claim {
    let properties = places.iter().map(|place| Guard::of(&[*place; 16])).collect();
    let waiting = Some(Waiting { closed, properties, sealed: sealed(key) });
    Claim { waiting, ..claim(key) }
}

pub(super) fn sealed(key: &str) -> Sealed {
    Sealed { key: "2026".into(), bytes: key.as_bytes().to_vec() }
}

fn opening() -> Opening {
    Opening {
        office: "1401".into(),
        registry: "province".into(),
        lease: Duration::from_secs(60),
        interval: Duration::ZERO,
    }
}

/// The first time an office is asked for, its pace is only noted.
pub(super) async fn next(ledger: &dyn Ledger) -> Option<Taken> {
    match ledger.claim_queued(&opening()).await.unwrap() {
        Some(taken) => Some(taken),
        None => ledger.claim_queued(&opening()).await.unwrap(),
    }
}

#[track_caller]
fn assert_queued(admission: Result<Admission, LedgerError>, expected: bool) {
    match admission.unwrap() {
        Admission::Queued { again, .. } => assert_eq!(again, expected),
        admission => panic!("{admission:?}"),
    }
}
