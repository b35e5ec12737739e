//! What a ledger promises those who look for cases, asked of both stores. Source: the doc comments of `gateway::ledger::cases`.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use gateway::{
    evidence::leaf::Salt,
    ledger::{
        Claim, State,
        cases::{Counted, Listed, Mention, Sought, Told},
        evidence::NewLeaf,
        notices::{PassedOver, Sight, TurnEnd},
    },
};
use proto::v1::{CaseStatus, Outcome};

use super::{LONG, Store, accepted, claim, events::told, new, queue::waits};

over_both_stores! {
    a_case_is_called_by_its_key_its_number_and_the_numbers_it_mentions
    a_list_is_read_in_pages_that_neither_leave_out_nor_repeat
    a_list_holds_what_is_sought_and_nothing_else
    what_became_of_nobody_knows_what_is_listed_oldest_first
    a_life_says_what_has_happened_to_a_filing
    a_case_has_its_events_and_who_was_told_of_each
    what_waits_is_kept_sealed_until_it_is_the_queues_no_more
    filings_are_counted_by_institution_and_office_with_how_long_they_took
}

async fn a_case_is_called_by_its_key_its_number_and_the_numbers_it_mentions(store: &Store) {
    let ledger = &*store.open().await;
    for key in ["k1", "k2"] {
        let entry = new(ledger.admit(&claim(key)).await);
        ledger.witness(&mentioning(key, &["HT-1"]), None).await.leaf.unwrap();
        ledger.settle(&entry, &accepted(&format!("YWH-{key}")), None).await.unwrap();
    }
    let other = Claim { institution: "other".into(), ..claim("k1") };
    new(ledger.admit(&other).await);
    // By an event, long after the exchange; and again, which makes no second one.
    for certificates in [&["证1"][..], &["证1", "证 2"]] {
        let certificate_numbers = certificates.iter().map(|it| (*it).to_owned()).collect();
        let status = CaseStatus::Registered.into();
        let outcome = Outcome { status, certificate_numbers, ..accepted("YWH-k1") };
        ledger.record(&told("k1", outcome)).await.unwrap();
    }
    let both = ["bank".to_owned(), "other".to_owned()];
    let called = async |institutions: &[String], name: &str| {
        let found = ledger.called(institutions, name, 9).await.unwrap();
        let names = found.iter().map(|it| (it.record.institution.clone(), it.record.key.clone()));
        names.collect::<BTreeSet<_>>()
    };
    let of = |names: &[(&str, &str)]| {
        names.iter().map(|(one, key)| ((*one).to_owned(), (*key).to_owned())).collect()
    };
    let expected: [(&str, BTreeSet<_>); 7] = [
        ("k1", of(&[("bank", "k1"), ("other", "k1")])),
        ("YWH-k2", of(&[("bank", "k2")])),
        ("HT-1", of(&[("bank", "k1"), ("bank", "k2")])),
        (" HT-1 ", of(&[("bank", "k1"), ("bank", "k2")])),
        ("证1", of(&[("bank", "k1")])),
        ("证2", of(&[("bank", "k1")])),
        ("HT-2", of(&[])),
    ];
    for (name, names) in expected {
        assert_eq!(called(&both, name).await, names, "{name}");
    }
    assert_eq!(called(&both[1..], "HT-1").await, BTreeSet::new());
    assert_eq!(ledger.called(&both, "HT-1", 1).await.unwrap().len(), 1);
}

async fn a_list_is_read_in_pages_that_neither_leave_out_nor_repeat(store: &Store) {
    let ledger = &*store.open().await;
    let mut keys = BTreeSet::new();
    for number in 0..23 {
        // Many in one millisecond: only the key tells them apart.
        let key = format!("k{number:02}");
        new(ledger.admit(&claim(&key)).await);
        keys.insert(key);
    }
    let (mut read, mut sought) = (Vec::new(), Sought { limit: 5, ..all() });
    loop {
        let page = ledger.cases(&sought).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 5);
        sought.after = Some(last.place());
        read.extend(page.iter().map(|it| (it.at, it.record.key.clone())));
    }
    assert!(read.is_sorted_by(|one, next| one > next), "{read:?}");
    let found: BTreeSet<_> = read.iter().map(|(_, key)| key.clone()).collect();
    assert_eq!((found, read.len()), (keys, 23));
}

async fn a_list_holds_what_is_sought_and_nothing_else(store: &Store) {
    let ledger = &*store.open().await;
    new(ledger.admit(&claim("mine")).await);
    let unknown = new(ledger.admit(&Claim { office: "1402".into(), ..claim("unknown") }).await);
    ledger.mark_unknown(&unknown).await.unwrap();
    let matter = "mortgage_discharge".into();
    let other = Claim { institution: "other".into(), matter, ..claim("other") };
    let settled = new(ledger.admit(&other).await);
    ledger.settle(&settled, &accepted("YWH-1"), None).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let past = SystemTime::now() - LONG;
    let expected = [
        (all(), vec!["mine", "other", "unknown"]),
        (Sought { institution: some("other"), ..all() }, vec!["other"]),
        (Sought { office: some("1402"), ..all() }, vec!["unknown"]),
        (Sought { matter: some("mortgage_discharge"), ..all() }, vec!["other"]),
        (Sought { state: Some(State::Unknown), ..all() }, vec!["unknown"]),
        (Sought { state: Some(State::Claimed), ..all() }, vec!["mine"]),
        (Sought { state: Some(State::Settled), office: some("1402"), ..all() }, vec![]),
        (Sought { until: past, ..all() }, vec![]),
        (Sought { from: SystemTime::now() + LONG, ..all() }, vec![]),
    ];
    for (sought, keys) in expected {
        assert_eq!(sorted(&ledger.cases(&sought).await.unwrap()), keys, "{sought:?}");
    }
}

async fn what_became_of_nobody_knows_what_is_listed_oldest_first(store: &Store) {
    let ledger = &*store.open().await;
    for key in ["k1", "k2", "k3"] {
        let entry = new(ledger.admit(&claim(key)).await);
        match key {
            "k2" => ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap(),
            "k3" => assert!(ledger.give_up(&entry).await.unwrap()),
            _ => ledger.mark_unknown(&entry).await.unwrap(),
        }
        tokio::time::sleep(Duration::from_millis(3)).await; // The store's clock is nobody's to turn.
    }
    let listed = ledger.unsettled(9).await.unwrap();
    let told: Vec<_> = listed.iter().map(|it| (it.record.key.as_str(), it.given_up)).collect();
    assert_eq!(told, [("k1", false), ("k3", true)]);
    assert_eq!(ledger.unsettled(1).await.unwrap().len(), 1);
}

async fn a_life_says_what_has_happened_to_a_filing(store: &Store) {
    let ledger = &*store.open().await;
    assert_eq!(ledger.life("bank", "k").await.unwrap(), None);
    let entry = new(ledger.admit(&Claim { announced: true, ..claim("k") }).await);
    let life = ledger.life("bank", "k").await.unwrap().unwrap();
    assert_eq!((life.attempts, life.announced, life.due, life.given_up), (1, None, None, None));
    assert!(ledger.announce(&entry, Duration::ZERO).await.unwrap());
    ledger.defer(&entry, LONG).await.unwrap();
    let life = ledger.life("bank", "k").await.unwrap().unwrap();
    assert!(life.announced.is_some() && life.due.is_some_and(|due| due > SystemTime::now()));
    assert!(life.changed >= life.claimed);
    ledger.settle(&entry, &accepted("YWH-1"), Some(LONG)).await.unwrap();
    let life = ledger.life("bank", "k").await.unwrap().unwrap();
    assert!(life.due.is_none() && life.follow_up.is_some());
}

async fn a_case_has_its_events_and_who_was_told_of_each(store: &Store) {
    let ledger = &*store.open().await;
    let sights = [Sight { institution: "bank".into(), own: true }];
    ledger.subscribe("first", &sights).await.unwrap();
    for key in ["k1", "k2"] {
        let entry = new(ledger.admit(&claim(key)).await);
        ledger.settle(&entry, &accepted(key), None).await.unwrap();
    }
    for status in [CaseStatus::InReview, CaseStatus::Registered] {
        let outcome = Outcome { status: status.into(), ..accepted("k1") };
        ledger.record(&told("k1", outcome)).await.unwrap();
    }
    let events = ledger.events_of("bank", "k1").await.unwrap();
    let numbers: Vec<_> = events.iter().map(|it| (it.sequence, it.position)).collect();
    assert_eq!(numbers, [(1, 1), (2, 3), (3, 4)]);
    let states = async || {
        let told = ledger.tellings("bank", "k1").await.unwrap();
        assert!(told.iter().all(|it| it.subscriber == "first"), "{told:?}");
        told.into_iter().map(|it| (it.position, it.told)).collect::<Vec<_>>()
    };
    assert_eq!(states().await, [(1, Told::NotYet), (3, Told::NotYet), (4, Told::NotYet)]);
    let turns = ledger.claim_turns(&["first".to_owned()], 1, LONG).await.unwrap();
    let passed = |position, parked| PassedOver {
        institution: "bank".into(),
        position,
        key: "k1".into(),
        tries: 2,
        delay: LONG,
        parked,
    };
    let places = vec![("bank".to_owned(), 4)];
    let passed_over = vec![passed(3, false), passed(4, true)];
    let end = TurnEnd { places, passed_over, ..TurnEnd::default() };
    assert!(ledger.end_turn(&turns[0], &end).await.unwrap());
    let told = states().await;
    assert!(
        matches!(
            told.as_slice(),
            [(1, Told::Yes), (3, Told::Again { tries: 2, .. }), (4, Told::Parked { tries: 2 })]
        ),
        "{told:?}"
    );
}

async fn what_waits_is_kept_sealed_until_it_is_the_queues_no_more(store: &Store) {
    let ledger = &*store.open().await;
    ledger.admit(&waits("k", &[1], true)).await.unwrap();
    let sealed = ledger.sealed("bank", "k").await.unwrap();
    assert_eq!(sealed, waits("k", &[1], true).waiting.map(|waiting| waiting.sealed));
    let outcome = Outcome { status: CaseStatus::Withdrawn.into(), ..Outcome::default() };
    assert!(ledger.withdraw_queued("bank", "k", &outcome).await.unwrap());
    assert_eq!(ledger.sealed("bank", "k").await.unwrap(), None);
}

async fn filings_are_counted_by_institution_and_office_with_how_long_they_took(store: &Store) {
    let ledger = &*store.open().await;
    for (key, office) in [("k1", "1401"), ("k2", "1401"), ("k3", "1402"), ("k4", "1402")] {
        let entry = new(ledger.admit(&Claim { office: office.into(), ..claim(key) }).await);
        match key {
            "k1" => ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap(),
            "k2" => ledger.mark_unknown(&entry).await.unwrap(),
            _ => ledger.release(&entry).await.unwrap(),
        }
    }
    let mut counted = ledger.counted(SystemTime::now() - LONG).await.unwrap();
    counted.sort_by(|one, other| one.office.cmp(&other.office));
    let [one, other] = counted.as_slice() else { panic!("{counted:?}") };
    assert_eq!((one.filings, one.answered, one.unknown, one.unsent), (2, 1, 1, 0));
    assert!(one.timed == 1 && one.total_ms < 60_000 && one.longest_ms == one.total_ms, "{one:?}");
    let expected = Counted {
        institution: "bank".into(),
        registry: "province".into(),
        office: "1402".into(),
        filings: 2,
        answered: 0,
        unknown: 0,
        unsent: 2,
        timed: 0,
        total_ms: 0,
        longest_ms: 0,
    };
    assert_eq!(other, &expected);
    assert_eq!(ledger.counted(SystemTime::now() + LONG).await.unwrap(), []);
}

fn all() -> Sought {
    Sought {
        from: SystemTime::now() - LONG,
        until: SystemTime::now() + LONG,
        institution: None,
        office: None,
        matter: None,
        state: None,
        after: None,
        limit: 99,
    }
}

fn sorted(listed: &[Listed]) -> Vec<&str> {
    let mut keys: Vec<_> = listed.iter().map(|it| it.record.key.as_str()).collect();
    keys.sort_unstable();
    keys
}

/// A leaf of no form: the ledger reads none.
fn mentioning(key: &str, numbers: &[&str]) -> NewLeaf {
    let numbers: Vec<String> = numbers.iter().map(|it| (*it).to_owned()).collect();
    NewLeaf {
        institution: "bank".into(),
        key: Some(key.into()),
        text: format!("leaf {key}"),
        salt: Salt::fresh().unwrap(),
        mentions: Mention::of_all(&numbers),
    }
}
