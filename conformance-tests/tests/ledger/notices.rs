//! What a ledger promises around notices, asked of both stores. Source: the doc comments of `gateway::ledger::notices`.

use std::time::Duration;

use gateway::ledger::{
    Ledger,
    notices::{PassedOver, Sight, Standing, Turn, TurnEnd, Untold},
};

use super::{LONG, SHORT, Store, accepted, claim, events::feed, new};

over_both_stores! {
    a_turn_is_one_takers_at_a_time_and_only_when_there_is_something_to_tell
    a_place_moves_with_what_is_passed_over_or_not_at_all
    of_a_case_the_first_is_tried_again_first
    what_is_parked_is_told_once_an_operator_says_so
    who_wants_no_more_has_no_turn_until_it_is_resumed
    ones_own_feed_begins_after_what_was_acknowledged_and_anothers_at_its_end
    what_is_seen_no_more_is_told_no_more
    an_operator_does_it_beside_the_one_who_serves
    what_was_passed_over_goes_with_its_event
}

async fn a_turn_is_one_takers_at_a_time_and_only_when_there_is_something_to_tell(store: &Store) {
    let replicas = store.replicas().await;
    let ledger = &*replicas[0];
    subscribe(ledger).await;
    assert_eq!(turns(ledger).await, []);
    settle(ledger, "k1").await;
    let mut taken = Vec::new();
    for replica in &replicas {
        taken.extend(turns(&**replica).await);
    }
    let [turn] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!((turn.attempt, turn.failures, turn.waiting), (1, 0, 0));
    let untold = ledger.untold(WHO, 9).await.unwrap();
    assert_eq!(positions(&untold), [1]);
    assert_eq!(untold[0].matter, claim("k1").matter);
    assert!(ledger.end_turn(turn, &at_place(1)).await.unwrap());
    assert_eq!(turns(ledger).await, [], "all is told");

    // Whoever lost it changes nothing any more.
    settle(ledger, "k2").await;
    let lost = ledger.claim_turns(&who(), 9, SHORT).await.unwrap();
    tokio::time::sleep(SHORT * 2).await; // The store's clock is nobody's to turn.
    let other = turns(ledger).await;
    assert_eq!(other[0].attempt, lost[0].attempt + 1);
    assert!(!ledger.end_turn(&lost[0], &at_place(2)).await.unwrap());
    assert_eq!(positions(&ledger.untold(WHO, 9).await.unwrap()), [2]);
}

async fn a_place_moves_with_what_is_passed_over_or_not_at_all(store: &Store) {
    let ledger = &*store.open().await;
    subscribe(ledger).await;
    for key in ["k1", "k2", "k3"] {
        settle(ledger, key).await;
    }
    let turn = take(ledger).await;
    let end = TurnEnd { passed_over: vec![passed_over(2, "k2", Duration::ZERO)], ..at_place(3) };
    assert!(ledger.end_turn(&turn, &end).await.unwrap());
    assert_eq!(ledger.untold(WHO, 9).await.unwrap(), []);
    let turn = take(ledger).await;
    assert_eq!(turn.waiting, 1);
    let again = ledger.due_again(WHO, 9).await.unwrap();
    assert_eq!((positions(&again), again[0].tries), (vec![2], 1));
    let told = TurnEnd { told: vec![("bank".into(), 2)], ..TurnEnd::default() };
    assert!(ledger.end_turn(&turn, &told).await.unwrap());
    assert_eq!(turns(ledger).await, []);
}

async fn of_a_case_the_first_is_tried_again_first(store: &Store) {
    let ledger = &*store.open().await;
    subscribe(ledger).await;
    for key in ["k1", "k2", "k3"] {
        settle(ledger, key).await;
    }
    let turn = take(ledger).await;
    // As if all of them were one case's.
    let rows = [(1, "c"), (2, "c"), (3, "d")];
    let passed_over: Vec<_> =
        rows.iter().map(|(at, key)| passed_over(*at, key, Duration::ZERO)).collect();
    let end = TurnEnd { passed_over, ..at_place(3) };
    assert!(ledger.end_turn(&turn, &end).await.unwrap());
    assert_eq!(positions(&ledger.due_again(WHO, 9).await.unwrap()), [1, 3]);
    let turn = take(ledger).await;
    let told = vec![("bank".into(), 1), ("bank".into(), 3)];
    assert!(ledger.end_turn(&turn, &TurnEnd { told, ..TurnEnd::default() }).await.unwrap());
    assert_eq!(positions(&ledger.due_again(WHO, 9).await.unwrap()), [2]);
}

async fn what_is_parked_is_told_once_an_operator_says_so(store: &Store) {
    let ledger = &*store.open().await;
    subscribe(ledger).await;
    settle(ledger, "k1").await;
    settle(ledger, "k2").await;
    let turn = take(ledger).await;
    let parked = |at, key| PassedOver { parked: true, ..passed_over(at, key, Duration::ZERO) };
    let end = TurnEnd { passed_over: vec![parked(1, "k1"), parked(2, "k2")], ..at_place(2) };
    assert!(ledger.end_turn(&turn, &end).await.unwrap());
    assert_eq!(turns(ledger).await, [], "nobody tries what is parked");
    let events = feed(ledger).await;
    let listed = ledger.parked(Some(WHO), 9).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|it| it.event).collect();
    assert_eq!(listed, events);
    assert_eq!(ledger.parked(Some("nobody"), 9).await.unwrap(), []);
    assert_eq!(standing(ledger).await.parked, 2);

    assert_eq!(ledger.resend(WHO, Some(&events[1].id())).await.unwrap(), 1);
    assert_eq!(positions(&ledger.due_again(WHO, 9).await.unwrap()), [2]);
    assert_eq!(ledger.resend(WHO, None).await.unwrap(), 1);
    assert_eq!(ledger.resend(WHO, None).await.unwrap(), 0);
    assert_eq!(take(ledger).await.waiting, 2);
}

async fn who_wants_no_more_has_no_turn_until_it_is_resumed(store: &Store) {
    let ledger = &*store.open().await;
    subscribe(ledger).await;
    settle(ledger, "k1").await;
    let turn = take(ledger).await;
    let ended = TurnEnd { ended: true, ..TurnEnd::default() };
    assert!(ledger.end_turn(&turn, &ended).await.unwrap());
    assert_eq!(turns(ledger).await, []);
    let stands = standing(ledger).await;
    assert!(stands.ended && stands.unread == 1 && stands.oldest.is_some(), "{stands:?}");
    assert!(ledger.resume(WHO).await.unwrap());
    assert!(!ledger.resume("nobody").await.unwrap());
    let turn = take(ledger).await;

    // Who is away rests, and an operator may cut that short.
    let away = TurnEnd { failures: 1, rest: LONG, ..TurnEnd::default() };
    assert!(ledger.end_turn(&turn, &away).await.unwrap());
    assert_eq!(turns(ledger).await, []);
    assert!(standing(ledger).await.failing_for.is_some());
    assert!(ledger.resume(WHO).await.unwrap());
    assert_eq!(take(ledger).await.failures, 0);
}

async fn ones_own_feed_begins_after_what_was_acknowledged_and_anothers_at_its_end(store: &Store) {
    let ledger = &*store.open().await;
    for key in ["k1", "k2", "k3"] {
        settle(ledger, key).await;
    }
    ledger.acknowledge("bank", &feed(ledger).await[0].id()).await.unwrap();
    subscribe(ledger).await;
    let sight = Sight { institution: "bank".into(), own: false };
    ledger.subscribe("fund", &[sight]).await.unwrap();
    assert_eq!(positions(&ledger.untold(WHO, 9).await.unwrap()), [2, 3]);
    assert_eq!(ledger.untold("fund", 9).await.unwrap(), []);
    settle(ledger, "k4").await;
    subscribe(ledger).await; // A gateway that starts again moves nothing.
    assert_eq!(positions(&ledger.untold(WHO, 2).await.unwrap()), [2, 3], "no more than asked for");
    assert_eq!(positions(&ledger.untold("fund", 9).await.unwrap()), [4]);
}

async fn what_is_seen_no_more_is_told_no_more(store: &Store) {
    let ledger = &*store.open().await;
    subscribe(ledger).await;
    settle(ledger, "k1").await;
    let turn = take(ledger).await;
    let end = TurnEnd { passed_over: vec![passed_over(1, "k1", Duration::ZERO)], ..at_place(1) };
    assert!(ledger.end_turn(&turn, &end).await.unwrap());
    let other = Sight { institution: "another".into(), own: true };
    ledger.subscribe(WHO, &[other]).await.unwrap();
    settle(ledger, "k2").await;
    assert_eq!(turns(ledger).await, []);
    assert_eq!(ledger.due_again(WHO, 9).await.unwrap(), []);
    assert_eq!(ledger.untold(WHO, 9).await.unwrap(), []);
}

async fn an_operator_does_it_beside_the_one_who_serves(store: &Store) {
    let ledger = &*store.open().await;
    subscribe(ledger).await;
    settle(ledger, "k1").await;
    let turn = take(ledger).await;
    assert!(ledger.end_turn(&turn, &TurnEnd { ended: true, ..TurnEnd::default() }).await.unwrap());
    let beside = gateway::ledger::open_beside(&store.settings()).await.unwrap();
    assert!(beside.resume(WHO).await.unwrap());
    assert_eq!(take(ledger).await.attempt, 2);
}

async fn what_was_passed_over_goes_with_its_event(store: &Store) {
    let ledger = &*store.open().await;
    subscribe(ledger).await;
    settle(ledger, "k1").await;
    settle(ledger, "k2").await;
    let turn = take(ledger).await;
    let end = TurnEnd { passed_over: vec![passed_over(1, "k1", Duration::ZERO)], ..at_place(2) };
    assert!(ledger.end_turn(&turn, &end).await.unwrap());
    assert_eq!(ledger.forget_notices(LONG, 9).await.unwrap(), 0);
    tokio::time::sleep(SHORT * 2).await; // The store's clock is nobody's to turn.
    assert_eq!(ledger.forget_events(SHORT, 9).await.unwrap(), 1);
    assert_eq!(ledger.forget_notices(LONG, 9).await.unwrap(), 1);
    assert_eq!(turns(ledger).await, []);
}

const WHO: &str = "core";

fn who() -> Vec<String> {
    vec![WHO.to_owned()]
}

async fn subscribe(ledger: &dyn Ledger) {
    let own = Sight { institution: "bank".into(), own: true };
    ledger.subscribe(WHO, &[own]).await.unwrap();
}

async fn settle(ledger: &dyn Ledger, key: &str) {
    let entry = new(ledger.admit(&claim(key)).await);
    ledger.settle(&entry, &accepted(&format!("YWH-{key}")), None).await.unwrap();
}

async fn turns(ledger: &dyn Ledger) -> Vec<Turn> {
    ledger.claim_turns(&who(), 9, LONG).await.unwrap()
}

async fn take(ledger: &dyn Ledger) -> Turn {
    let taken = turns(ledger).await;
    taken.into_iter().next().unwrap()
}

async fn standing(ledger: &dyn Ledger) -> Standing {
    let standings = ledger.standings().await.unwrap();
    standings.into_iter().find(|it| it.subscriber == WHO).unwrap()
}

fn at_place(position: i64) -> TurnEnd {
    TurnEnd { places: vec![("bank".into(), position)], ..TurnEnd::default() }
}

fn passed_over(position: i64, key: &str, delay: Duration) -> PassedOver {
    let (institution, key) = ("bank".into(), key.to_owned());
    PassedOver { institution, position, key, tries: 1, delay, parked: false }
}

fn positions(untold: &[Untold]) -> Vec<i64> {
    untold.iter().map(|it| it.event.position).collect()
}
