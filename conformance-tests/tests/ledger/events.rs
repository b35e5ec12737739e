//! What a ledger promises around events, asked of both stores. Source: the doc comments of `gateway::ledger::events`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gateway::{
    case::Why,
    ledger::{
        Ledger, State,
        events::{Account, After, Event, EventId, FollowUp, Kind, Page, Recorded, Watch},
    },
};
use proto::v1::{CaseStatus, Outcome};
use tokio::task::JoinSet;

use super::{LONG, SHORT, Store, accepted, claim, new, queue::waits, until};

over_both_stores! {
    each_change_of_a_case_is_an_event_and_nothing_else_is
    late_doubled_and_reordered_news_comes_out_right
    of_several_who_contradict_each_other_at_once_one_holds
    news_of_a_filing_that_was_not_settled_settles_it
    a_filing_withdrawn_from_the_queue_is_an_event
    a_feed_is_read_in_pages_from_any_place_of_it
    a_place_that_a_feed_never_had_is_told
    what_is_acknowledged_is_where_reading_begins
    a_reader_passes_nothing_by_while_many_write
    a_watch_is_one_takers_at_a_time
    a_stream_and_its_cursor_are_recorded_together_or_not_at_all
    a_follow_up_is_given_to_one_taker_and_ended_by_news
    a_warning_is_an_event_once
    old_events_are_forgotten_but_for_the_last
}

async fn each_change_of_a_case_is_an_event_and_nothing_else_is(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    assert!(feed(&*ledger).await.is_empty(), "what was only claimed is no news");
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    ledger.settle(&entry, &accepted("YWH-2"), None).await.unwrap();
    for status in [CaseStatus::InReview, CaseStatus::InReview, CaseStatus::Registered] {
        ledger.record(&told("k", at(status))).await.unwrap();
    }
    let events = feed(&*ledger).await;
    let stations = [CaseStatus::Accepted, CaseStatus::InReview, CaseStatus::Registered];
    assert_eq!(statuses(&events), stations);
    for (event, number) in events.iter().zip(1..) {
        assert_eq!((event.position, event.sequence, event.kind), (number, number, Kind::Changed));
        assert_eq!((event.institution.as_str(), event.key.as_str()), ("bank", "k"));
        let age = event.happened_at.elapsed().unwrap_or_default();
        assert!(age < LONG, "{age:?}");
    }
    // What is read again has the same names.
    let again: Vec<_> = feed(&*ledger).await.iter().map(Event::id).collect();
    assert_eq!(again, events.iter().map(Event::id).collect::<Vec<_>>());
    assert_eq!(status_of(&*ledger, "k").await, CaseStatus::Registered);
}

async fn late_doubled_and_reordered_news_comes_out_right(store: &Store) {
    use CaseStatus::{Accepted, Completed, CorrectionRequested, InReview, Refused, Registered};
    let ledger = store.open().await;
    for (key, order, stations) in [
        ("late", vec![Registered, InReview, Accepted], vec![Registered]),
        ("doubled", vec![InReview, InReview, Registered, Registered], vec![InReview, Registered]),
        ("skipped", vec![Completed, Registered], vec![Completed]),
        ("ended", vec![Refused, Registered, Completed], vec![Refused]),
        ("taken back", vec![Registered, Refused], vec![Registered]),
        (
            "corrected",
            vec![CorrectionRequested, InReview, Registered],
            vec![CorrectionRequested, InReview, Registered],
        ),
    ] {
        settle(&*ledger, key).await;
        for status in &order {
            let known = status_of(&*ledger, key).await;
            match ledger.record(&told(key, at(*status))).await.unwrap() {
                Recorded::News { before } => {
                    assert_eq!(before.unwrap().status(), known);
                    assert_eq!(status_of(&*ledger, key).await, *status);
                }
                Recorded::Same(stands) | Recorded::Impossible(_, stands) => {
                    assert_eq!(stands.status(), known);
                    assert_eq!(status_of(&*ledger, key).await, known);
                }
                Recorded::Unheard => panic!("{key} is known"),
            }
        }
        let events = feed(&*ledger).await;
        let own: Vec<_> = events.into_iter().filter(|event| event.key == key).collect();
        let numbers: Vec<_> = own.iter().map(|event| event.sequence).collect();
        assert_eq!(statuses(&own)[1..], stations, "{key}");
        assert_eq!(numbers, (1..).take(own.len()).collect::<Vec<i64>>(), "{key}");
    }
    // Told as often as it likes, what cannot be is not applied.
    for _ in 0..3 {
        let impossible = ledger.record(&told("ended", at(Registered))).await.unwrap();
        assert!(matches!(impossible, Recorded::Impossible(Why::Ended, _)), "{impossible:?}");
    }
}

async fn of_several_who_contradict_each_other_at_once_one_holds(store: &Store) {
    let replicas = store.replicas().await;
    for round in 0..12 {
        let key = format!("k{round}");
        settle(&*replicas[0], &key).await;
        let mut tellers = JoinSet::new();
        let ends = [CaseStatus::Registered, CaseStatus::Refused, CaseStatus::Withdrawn];
        for (teller, status) in ends.into_iter().cycle().take(9).enumerate() {
            let ledger = Arc::clone(&replicas[teller % replicas.len()]);
            let account = told(&key, at(status));
            tellers.spawn(async move { ledger.record(&account).await.unwrap() });
        }
        let recorded = tellers.join_all().await;
        let news = recorded.iter().filter(|it| matches!(it, Recorded::News { .. })).count();
        assert_eq!(news, 1, "{recorded:?}");
        let events = feed(&*replicas[0]).await;
        let own: Vec<_> = events.iter().filter(|event| event.key == key).collect();
        assert_eq!(own.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(own[1].outcome.status(), status_of(&*replicas[0], &key).await);
    }
}

async fn news_of_a_filing_that_was_not_settled_settles_it(store: &Store) {
    let ledger = store.open().await;
    assert_eq!(
        ledger.record(&told("nobody's", accepted("YWH-1"))).await.unwrap(),
        Recorded::Unheard
    );
    let claimed = new(ledger.admit(&claim("claimed")).await);
    let unknown = new(ledger.admit(&claim("unknown")).await);
    ledger.mark_unknown(&unknown).await.unwrap();
    for key in ["claimed", "unknown"] {
        let news = ledger.record(&told(key, at(CaseStatus::InReview))).await.unwrap();
        assert_eq!(news, Recorded::News { before: None });
        assert_eq!(ledger.find("bank", key).await.unwrap().unwrap().state, State::Settled);
    }
    // The answer to the call comes later than the event, and says less.
    ledger.settle(&claimed, &accepted("YWH-1"), None).await.unwrap();
    assert_eq!(status_of(&*ledger, "claimed").await, CaseStatus::InReview);
    assert_eq!(feed(&*ledger).await.len(), 2);
}

async fn a_filing_withdrawn_from_the_queue_is_an_event(store: &Store) {
    let ledger = store.open().await;
    ledger.admit(&waits("k", &[1], true)).await.unwrap();
    assert!(feed(&*ledger).await.is_empty());
    let withdrawn = Outcome { status: CaseStatus::Withdrawn.into(), ..Outcome::default() };
    assert!(ledger.withdraw_queued("bank", "k", &withdrawn).await.unwrap());
    assert!(!ledger.withdraw_queued("bank", "k", &withdrawn).await.unwrap());
    assert_eq!(statuses(&feed(&*ledger).await), [CaseStatus::Withdrawn]);
}

async fn a_feed_is_read_in_pages_from_any_place_of_it(store: &Store) {
    let ledger = store.open().await;
    assert_eq!(read(&*ledger, After::Acknowledged, 9).await, (vec![], EventId::NONE));
    for number in 0..7 {
        settle(&*ledger, &format!("k{number}")).await;
    }
    let whole = feed(&*ledger).await;
    let mut place = EventId::NONE;
    let mut pages = Vec::new();
    loop {
        let (events, next) = read(&*ledger, After::Event(place), 3).await;
        assert!(events.len() <= 3);
        if events.is_empty() {
            assert_eq!(next, place, "at the end one stays where one is");
            break;
        }
        place = next;
        pages.extend(events);
    }
    assert_eq!(pages, whole);
    assert_eq!(read(&*ledger, After::Event(whole[4].id()), 9).await.0, whole[5..]);
    match ledger.events_after("another", &After::Acknowledged, 9).await.unwrap() {
        Page::Events { events, .. } => assert!(events.is_empty(), "a feed is its bank's alone"),
        Page::NoSuchPlace => panic!("the beginning is always there"),
    }
}

async fn a_place_that_a_feed_never_had_is_told(store: &Store) {
    let ledger = store.open().await;
    settle(&*ledger, "k1").await;
    settle(&*ledger, "k2").await;
    let own = feed(&*ledger).await[0].id();
    // The same place in a feed of other events: a ledger that was set back, or another bank's.
    let other = Event { key: "k9".into(), ..feed(&*ledger).await[0].clone() }.id();
    let beyond = Event { position: 3, ..feed(&*ledger).await[0].clone() }.id();
    for id in [other, beyond] {
        let page = ledger.events_after("bank", &After::Event(id), 9).await.unwrap();
        assert_eq!(page, Page::NoSuchPlace);
        assert!(!ledger.acknowledge("bank", &id).await.unwrap());
    }
    let page = ledger.events_after("another", &After::Event(own), 9).await.unwrap();
    assert_eq!(page, Page::NoSuchPlace);
}

async fn what_is_acknowledged_is_where_reading_begins(store: &Store) {
    let ledger = store.open().await;
    for key in ["k1", "k2", "k3"] {
        settle(&*ledger, key).await;
    }
    let whole = feed(&*ledger).await;
    assert!(ledger.acknowledge("bank", &whole[1].id()).await.unwrap());
    assert!(ledger.acknowledge("bank", &whole[0].id()).await.unwrap(), "again, or late");
    assert_eq!(read(&*ledger, After::Acknowledged, 9).await.0, whole[2..]);
    assert!(ledger.acknowledge("bank", &whole[2].id()).await.unwrap());
    assert_eq!(read(&*ledger, After::Acknowledged, 9).await, (vec![], whole[2].id()));
    let feeds = ledger.feeds().await.unwrap();
    assert_eq!((feeds[0].last, feeds[0].acknowledged), (3, 3));
}

/// What is written at the same moment by several becomes readable in any order; a reader who has gone on must not miss it.
async fn a_reader_passes_nothing_by_while_many_write(store: &Store) {
    const FILINGS: usize = 240;
    let replicas = store.replicas().await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let ledger = Arc::clone(&replicas[writer % replicas.len()]);
        writers.spawn(async move {
            for number in 0..FILINGS / 8 {
                let key = format!("k{writer}-{number}");
                settle(&*ledger, &key).await;
                ledger.record(&told(&key, at(CaseStatus::Registered))).await.unwrap();
            }
        });
    }
    let (reader, mut place, mut seen) = (&*replicas[0], EventId::NONE, Vec::new());
    let mut written = false;
    loop {
        let (events, next) = read(reader, After::Event(place), 50).await;
        if events.is_empty() && written {
            break;
        }
        place = next;
        seen.extend(events);
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        written = writers.is_empty();
    }
    let positions: Vec<_> = seen.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..).take(FILINGS * 2).collect::<Vec<i64>>());
    let mut sequences: HashMap<&str, Vec<i64>> = HashMap::new();
    for event in &seen {
        sequences.entry(&event.key).or_default().push(event.sequence);
    }
    assert!(sequences.values().all(|numbers| *numbers == [1, 2]), "of each case in order");
}

async fn a_watch_is_one_takers_at_a_time(store: &Store) {
    let replicas = store.replicas().await;
    let mut takers = JoinSet::new();
    for taker in 0..8 {
        let ledger = Arc::clone(&replicas[taker % replicas.len()]);
        takers.spawn(async move { ledger.claim_watch("province", LONG).await.unwrap() });
    }
    let taken: Vec<Watch> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    let ledger = &replicas[0];
    assert!(ledger.claim_watch("elsewhere", LONG).await.unwrap().is_some());
    assert!(ledger.keep_watch(&taken[0], SHORT).await.unwrap());
    let next = until(async || ledger.claim_watch("province", LONG).await.unwrap()).await;
    assert!(!ledger.keep_watch(&taken[0], LONG).await.unwrap(), "another has it");
    // Given back, it is had at once.
    assert!(ledger.keep_watch(&next, Duration::ZERO).await.unwrap());
    assert!(ledger.claim_watch("province", LONG).await.unwrap().is_some());
}

async fn a_stream_and_its_cursor_are_recorded_together_or_not_at_all(store: &Store) {
    let ledger = store.open().await;
    for key in ["k1", "k2"] {
        settle(&*ledger, key).await;
    }
    let watch = ledger.claim_watch("province", Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(watch.cursor, "");
    let accounts = [
        told("k1", at(CaseStatus::Registered)),
        told("k2", at(CaseStatus::Accepted)),
        told("nobody's", at(CaseStatus::Registered)),
    ];
    let recorded = ledger.record_watched(&watch, &accounts, "17").await.unwrap().unwrap();
    assert!(
        matches!(recorded[..], [Recorded::News { .. }, Recorded::Same(_), Recorded::Unheard]),
        "{recorded:?}"
    );

    let next = ledger.claim_watch("province", LONG).await.unwrap().unwrap();
    assert_eq!(next.cursor, "17");
    // Who has lost the watch writes nothing, neither cursor nor news.
    let late = [told("k2", at(CaseStatus::Registered))];
    assert_eq!(ledger.record_watched(&watch, &late, "18").await.unwrap(), None);
    assert_eq!(status_of(&*ledger, "k2").await, CaseStatus::Accepted);
    ledger.keep_watch(&next, Duration::ZERO).await.unwrap();
    let next = ledger.claim_watch("province", LONG).await.unwrap().unwrap();
    assert_eq!(next.cursor, "17");
    assert_eq!(ledger.record_watched(&next, &[], "19").await.unwrap(), Some(vec![]));
    ledger.keep_watch(&next, Duration::ZERO).await.unwrap();
    let last = ledger.claim_watch("province", LONG).await.unwrap().unwrap();
    assert_eq!(last.cursor, "19");
}

async fn a_follow_up_is_given_to_one_taker_and_ended_by_news(store: &Store) {
    let replicas = store.replicas().await;
    let ledger = &replicas[0];
    for (key, follow_up) in [("never", None), ("later", Some(LONG)), ("now", Some(Duration::ZERO))]
    {
        let entry = new(ledger.admit(&claim(key)).await);
        ledger.settle(&entry, &at(CaseStatus::Accepted), follow_up).await.unwrap();
    }
    let mut takers = JoinSet::new();
    for taker in 0..6 {
        let ledger = Arc::clone(&replicas[taker % replicas.len()]);
        takers.spawn(async move { ledger.claim_follow_ups("province", 9, LONG).await.unwrap() });
    }
    let taken: Vec<FollowUp> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (taken[0].record.key.as_str(), taken[0].attempt, taken[0].warned),
        ("now", 1, false)
    );
    assert_eq!(taken[0].record.outcome.as_ref().unwrap().status(), CaseStatus::Accepted);

    let take = async || ledger.claim_follow_ups("province", 9, LONG).await.unwrap();
    ledger.put_off_follow_up(&taken[0], Some(Duration::ZERO)).await.unwrap();
    let second = take().await;
    assert_eq!((second.len(), second[0].attempt), (1, 2));
    ledger.put_off_follow_up(&taken[0], Some(Duration::ZERO)).await.unwrap();
    assert!(take().await.is_empty(), "the first taker has no say any more");

    let again =
        Account { follow_up: Some(Duration::ZERO), ..told("now", at(CaseStatus::InReview)) };
    ledger.record(&again).await.unwrap();
    let third = take().await;
    assert_eq!((third.len(), third[0].attempt), (1, 1), "it is counted anew");
    ledger.put_off_follow_up(&second[0], Some(Duration::ZERO)).await.unwrap();
    assert!(take().await.is_empty());
    ledger.record(&told("now", at(CaseStatus::Completed))).await.unwrap();
    assert!(take().await.is_empty());
}

async fn a_warning_is_an_event_once(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    let asked = at(CaseStatus::CorrectionRequested);
    ledger.settle(&entry, &asked, Some(Duration::ZERO)).await.unwrap();
    let take = async || ledger.claim_follow_ups("province", 9, LONG).await.unwrap().remove(0);
    let first = take().await;
    assert!(ledger.warn(&first, Duration::ZERO).await.unwrap());
    assert!(!ledger.warn(&first, Duration::ZERO).await.unwrap());
    let events = feed(&*ledger).await;
    assert_eq!(statuses(&events), [CaseStatus::CorrectionRequested; 2]);
    assert_eq!((events[1].kind, events[1].sequence), (Kind::DeadlineNear, 2));
    assert!(take().await.warned);

    // Another state has another deadline.
    ledger.record(&told("k", at(CaseStatus::InReview))).await.unwrap();
    let again = Account { follow_up: Some(Duration::ZERO), ..told("k", asked) };
    ledger.record(&again).await.unwrap();
    assert_eq!(feed(&*ledger).await[3].kind, Kind::Changed);
    assert!(!take().await.warned);
}

async fn old_events_are_forgotten_but_for_the_last(store: &Store) {
    let ledger = store.open().await;
    for number in 0..5 {
        settle(&*ledger, &format!("k{number}")).await;
    }
    let whole = feed(&*ledger).await;
    assert_eq!(ledger.forget_events(LONG, 9).await.unwrap(), 0);
    tokio::time::sleep(SHORT * 2).await; // The store's clock is nobody's to turn.
    assert_eq!(
        ledger.forget_events(SHORT, 3).await.unwrap(),
        3,
        "no more at once than is asked for"
    );
    assert_eq!(ledger.forget_events(SHORT, 9).await.unwrap(), 1);
    assert_eq!(ledger.forget_events(SHORT, 9).await.unwrap(), 0);
    // A reader who was away for that long goes on with what there is.
    assert_eq!(read(&*ledger, After::Event(whole[0].id()), 9).await.0, whole[4..]);
    assert_eq!(read(&*ledger, After::Acknowledged, 9).await.0, whole[4..]);
    assert_eq!(read(&*ledger, After::Event(whole[4].id()), 9).await, (vec![], whole[4].id()));
    settle(&*ledger, "next").await;
    assert_eq!(feed(&*ledger).await[1].position, 6, "no place is given out twice");
}

/// An account of a filing of the bank's, which needs no following up.
pub(super) fn told(key: &str, outcome: Outcome) -> Account {
    Account { institution: "bank".into(), key: key.into(), outcome, follow_up: None }
}

fn at(status: CaseStatus) -> Outcome {
    Outcome { status: status.into(), ..accepted("YWH-1") }
}

async fn settle(ledger: &dyn Ledger, key: &str) {
    let entry = new(ledger.admit(&claim(key)).await);
    ledger.settle(&entry, &at(CaseStatus::Accepted), None).await.unwrap();
}

async fn status_of(ledger: &dyn Ledger, key: &str) -> CaseStatus {
    ledger.find("bank", key).await.unwrap().unwrap().outcome.unwrap().status()
}

fn statuses(events: &[Event]) -> Vec<CaseStatus> {
    events.iter().map(|event| event.outcome.status()).collect()
}

/// The bank's whole feed.
pub(super) async fn feed(ledger: &dyn Ledger) -> Vec<Event> {
    read(ledger, After::Event(EventId::NONE), 1_000).await.0
}

async fn read(ledger: &dyn Ledger, after: After, limit: u32) -> (Vec<Event>, EventId) {
    match ledger.events_after("bank", &after, limit).await.unwrap() {
        Page::Events { events, next } => (events, next),
        Page::NoSuchPlace => panic!("there is no such place"),
    }
}
