//! The checker of a soak's events and evidence is held to finding each way in which they can be wrong. What it accepts is
//! made by the gateway's own code; what it verifies it by, it has from docs/evidence.md and docs/events.md alone.
#![expect(clippy::unwrap_used, reason = "a test file, helpers and all")]

use conformance_tests::history::{
    Bytes, Event, Filing, Line, Notice, Says, What,
    check::{About, Promise, judge},
};
use gateway::evidence::{
    checkpoint::{Checkpoint, SigningKey},
    leaf::{Exchange, Leaf, Salt},
    tree::{Hash, Tiles},
};
use time::OffsetDateTime;

const BANK: &str = "bank";
const ORIGIN: &str = "log.example/stage";

fn filing(key: &str) -> Filing {
    Filing { bank: BANK.into(), key: key.into() }
}

/// Two filings that were reviewed, three answers, a reading of the feed, and the log of the four exchanges.
struct Told {
    calls: Vec<Line>,
    reads: Vec<Line>,
    told: Option<Vec<Notice>>,
    cases: Vec<Line>,
    events: Vec<Line>,
    leaves: Vec<(String, String)>,
    /// The sizes at which the log was signed.
    signed: Vec<usize>,
    key: SigningKey,
    more: Vec<Line>,
}

impl Told {
    fn well() -> Self {
        let (key, _) = SigningKey::generate(ORIGIN).unwrap();
        let mut told = Self {
            calls: Vec::new(),
            reads: Vec::new(),
            told: None,
            cases: Vec::new(),
            events: Vec::new(),
            leaves: Vec::new(),
            signed: vec![1, 4],
            key,
            more: Vec::new(),
        };
        told.call(1, "a", "C1", "ACCEPTED");
        told.call(2, "b", "C2", "REGISTERED");
        told.call(3, "a", "C1", "REGISTERED");
        let rows = [
            ("a", "EV-1", 1, "C1", "ACCEPTED"),
            ("b", "EV-2", 1, "C2", "REGISTERED"),
            ("a", "EV-3", 2, "C1", "IN_REVIEW"),
            ("a", "EV-4", 3, "C1", "REGISTERED"),
        ];
        let event = |(_, id, number, case, status): (&str, &str, i64, &str, &str)| Event {
            id: id.into(),
            number,
            case: case.into(),
            status: status.into(),
        };
        told.events =
            rows.map(|row| Line::Event { filing: filing(row.0), event: event(row) }).into();
        told.read(0, [rows[0], rows[1], rows[2]].map(event).into());
        told.cases = [("a", "C1"), ("b", "C2")]
            .map(|(key, case)| Line::Case {
                filing: filing(key),
                case: case.into(),
                status: "REGISTERED".into(),
                certificates: Default::default(),
            })
            .into();
        let settled = |key| Line::Ledger { filing: filing(key), state: "settled".into() };
        told.more = vec![settled("a"), settled("b")];
        told
    }

    /// The same, of a bank that subscribes. Of one event the answer was lost, another it would not have at first.
    fn to_subscriber() -> Self {
        let mut told = Self::well();
        let sent = [(0, true), (0, true), (2, false), (1, true), (2, true), (3, true)];
        let sent = sent.map(|(at, taken)| {
            let event = event(&mut told, at).clone();
            Notice { content: format!("{event:?}"), event, taken }
        });
        told.told = Some(sent.into());
        told
    }

    fn call(&mut self, call: u64, key: &str, case: &str, status: &str) {
        let (sent, heard) = (format!("file {key}\0"), format!("{call} {status}"));
        let (case, status) = (case.to_owned(), status.to_owned());
        let says = Says::Outcome { case, status, certificates: Default::default() };
        let (sent, heard) = (Bytes(sent.into()), Bytes(heard.into()));
        self.witness(Some(key), &sent, &heard);
        let (what, content, gateway) = (What::Retry, 0, 0);
        self.calls.push(Line::Call { call, what, filing: filing(key), content, gateway, sent });
        self.calls.push(Line::Answer { call, says, heard });
    }

    fn read(&mut self, reading: u64, events: Vec<Event>) {
        let (sent, heard) = (Bytes(b"events?".into()), Bytes(format!("{events:?}").into()));
        self.witness(None, &sent, &heard);
        self.reads.push(Line::Read { bank: BANK.into(), reading, sent, heard, events });
    }

    fn witness(&mut self, key: Option<&str>, sent: &Bytes, heard: &Bytes) {
        let salt = Salt::fresh().unwrap();
        let exchange = Exchange {
            origin: ORIGIN,
            institution: BANK,
            key,
            message: None,
            contract: BANK,
            version: "1",
            contract_digest: [7; 32],
            heard: OffsetDateTime::UNIX_EPOCH,
            answered: OffsetDateTime::UNIX_EPOCH,
            result: "CASE_STATUS_REGISTERED",
            registry: None,
            office: None,
            case: None,
            trace: None,
            received: &sent.0,
            canonical: None,
            registry_answer: None,
            replied: &heard.0,
        };
        let leaf = Leaf::of(&exchange, &salt);
        self.leaves.push((leaf.text().to_owned(), hex::encode(salt.0)));
    }

    /// The checkpoint of the log's first leaves.
    fn checkpoint(&self, size: usize) -> Line {
        let hashes: Vec<_> =
            self.leaves.iter().take(size).map(|(leaf, _)| Hash::of_leaf(leaf.as_bytes())).collect();
        let mut tiles = Tiles::default();
        tiles.grow(0, &hashes).unwrap();
        let root = tiles.root(size as u64).unwrap();
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: size as u64, root };
        Line::Checkpoint { note: checkpoint.signed([&self.key]) }
    }

    fn history(&self) -> Vec<Line> {
        let leaf =
            |(leaf, salt): &(String, String)| Line::Leaf { leaf: leaf.clone(), salt: salt.clone() };
        let subscribes = self.told.iter().map(|_| Line::Subscribes { bank: BANK.into() });
        let told = self.told.iter().flatten();
        let told = told.map(|it| Line::Told { bank: BANK.into(), notice: it.clone() });
        let mut lines: Vec<_> = subscribes.collect();
        lines.extend([self.calls.clone(), self.reads.clone()].concat());
        lines.extend(told.chain([Line::Calm]));
        lines.extend([self.cases.clone(), self.events.clone(), self.more.clone()].concat());
        lines.extend(self.leaves.iter().map(leaf));
        lines.extend(self.signed.iter().map(|size| self.checkpoint(*size)));
        lines.push(Line::Key { key: self.key.public().to_string() });
        lines
    }

    /// What is found in it when it was altered so.
    fn altered(alter: impl FnOnce(&mut Self)) -> Vec<(Promise, About, String)> {
        let mut told = Self::well();
        alter(&mut told);
        found(&told.history())
    }

    /// What is found if a bank that subscribes was told so.
    fn retold(alter: impl FnOnce(&mut Vec<Notice>)) -> Vec<(Promise, About, String)> {
        let mut told = Self::to_subscriber();
        alter(told.told.as_mut().unwrap());
        found(&told.history())
    }
}

fn found(lines: &[Line]) -> Vec<(Promise, About, String)> {
    let complaints = judge(lines).complaints.into_iter();
    complaints.map(|it| (it.broken, it.about, it.how)).collect()
}

#[track_caller]
fn is_one(found: &[(Promise, About, String)], promise: Promise, words: &str) {
    let fits =
        |(broken, _, how): &(Promise, About, String)| *broken == promise && how.contains(words);
    assert!(!found.is_empty() && found.iter().all(fits), "{found:#?}");
}

#[track_caller]
fn holds(found: &[(Promise, About, String)]) {
    assert!(found.is_empty(), "{found:#?}");
}

/// The event of the history's `at`-th line of events.
fn event(told: &mut Told, at: usize) -> &mut Event {
    match &mut told.events[at] {
        Line::Event { event, .. } => event,
        _ => unreachable!(),
    }
}

fn read(told: &mut Told) -> &mut Vec<Event> {
    match &mut told.reads[0] {
        Line::Read { events, .. } => events,
        _ => unreachable!(),
    }
}

#[test]
fn what_is_right_is_not_complained_of() {
    let judgement = judge(&Told::to_subscriber().history());
    assert!(judgement.holds(), "{judgement:#?}");
    assert_eq!(
        judgement.told_and_proved(),
        "events 4, mistold 0, notices 6, untold 0, leaves 4, checkpoints 2, unwritten 0, unproved 0"
    );
    let begun = Told::well().history().into_iter().take_while(|line| *line != Line::Calm);
    // Before it is over, events and evidence are not looked at.
    let begun = judge(&begun.collect::<Vec<_>>());
    assert_eq!((begun.count(Promise::Mistold), begun.count(Promise::Unproved)), (0, 0));
}

#[test]
fn events_with_a_gap_or_in_an_order_that_cannot_be_are_found() {
    let lost = |told: &mut Told| {
        told.events.remove(2);
        read(told).pop();
    };
    is_one(&Told::altered(lost), Promise::Mistold, "event 3 comes where 2 belongs");
    let swapped = |told: &mut Told| {
        told.events.swap(2, 3);
        read(told).pop();
    };
    let found = Told::altered(swapped);
    assert!(found.iter().any(|(_, _, how)| how.contains("IN_REVIEW is told after REGISTERED")));
    let last = |told: &mut Told| drop(told.events.pop());
    let found = Told::altered(last);
    is_one(&found, Promise::Mistold, "");
    assert!(found.iter().any(|(_, _, how)| how.contains("the last event says IN_REVIEW")));
    assert!(found.iter().any(|(_, _, how)| how.contains("REGISTERED was answered")));
    let none = |told: &mut Told| {
        told.events.remove(1);
        read(told).drain(1..);
    };
    is_one(&Told::altered(none), Promise::Mistold, "there is a case, and no event");
    let impossible = |told: &mut Told| {
        event(told, 2).status = "REFUSED".into();
        read(told).pop();
    };
    is_one(&Told::altered(impossible), Promise::Mistold, "REGISTERED is told after REFUSED");
    let another = |told: &mut Told| {
        event(told, 2).case = "C9".into();
        read(told).pop();
    };
    is_one(&Told::altered(another), Promise::Mistold, "becomes");
}

#[test]
fn a_feed_that_is_read_otherwise_than_it_is_is_found() {
    let words = "was read where";
    let twice = |told: &mut Told| {
        let again = read(told)[0].clone();
        read(told).insert(1, again);
    };
    is_one(&Told::altered(twice), Promise::Mistold, words);
    is_one(&Told::altered(|told| drop(read(told).remove(1))), Promise::Mistold, words);
    is_one(&Told::altered(|told| read(told).swap(0, 1)), Promise::Mistold, words);
    let renamed = |told: &mut Told| read(told)[2].id = "EV-9".into();
    is_one(&Told::altered(renamed), Promise::Mistold, words);
    let changed = |told: &mut Told| read(told)[1].status = "REFUSED".into();
    is_one(&Told::altered(changed), Promise::Mistold, words);
    let one_name = |told: &mut Told| event(told, 3).id = "EV-1".into();
    is_one(&Told::altered(one_name), Promise::Mistold, "EV-1 names two events");
    // Another reading begins anew, and is no repetition.
    holds(&Told::altered(|told| {
        let events = read(told).clone();
        told.read(1, events);
    }));
}

#[test]
fn an_event_that_a_subscriber_is_never_told_of_or_never_took_is_found() {
    let words = "event 3 was never told";
    is_one(&Told::retold(|told| drop(told.pop())), Promise::Untold, words);
    is_one(&Told::retold(|told| told[5].taken = false), Promise::Untold, words);
    let found = Told::retold(|told| told.clear());
    assert_eq!(found.len(), 4, "{found:#?}");
    is_one(&found, Promise::Untold, "was never told");
    // Before it is over, some may be left.
    let mut told = Told::to_subscriber();
    told.told = Some(Vec::new());
    let begun = told.history().into_iter().take_while(|line| *line != Line::Calm);
    assert_eq!(judge(&begun.collect::<Vec<_>>()).count(Promise::Untold), 0);
}

#[test]
fn an_event_that_is_told_out_of_order_is_found() {
    let words = "event 3 was told when 1 were taken";
    is_one(&Told::retold(|told| told.swap(4, 5)), Promise::Mistold, words);
    let found = Told::retold(|told| told[4].taken = false);
    let early = |(promise, _, how): &(Promise, About, String)| {
        *promise == Promise::Mistold && how.contains(words)
    };
    assert!(found.iter().any(early), "{found:#?}");
    // One that died before it noted what was taken sends it again, whatever came of the case since.
    holds(&Told::retold(|told| told.push(told[0].clone())));
}

#[test]
fn an_event_that_is_told_as_two_things_or_otherwise_than_in_the_feed_or_not_in_it_is_found() {
    let words = "EV-1 was told as two things";
    is_one(&Told::retold(|told| told[1].content.push('!')), Promise::Mistold, words);
    let words = "EV-3 was told as two things";
    is_one(&Told::retold(|told| told[4].event.status = "REFUSED".into()), Promise::Mistold, words);
    let words = "EV-4 was told otherwise";
    is_one(&Told::retold(|told| told[5].event.status = "REFUSED".into()), Promise::Mistold, words);
    let nowhere = |told: &mut Vec<Notice>| {
        let mut notice = told[5].clone();
        notice.event.id = "EV-9".into();
        told.push(notice);
    };
    is_one(&Told::retold(nowhere), Promise::Mistold, "EV-9 was told, and the feed has no such");
}

#[test]
fn an_answer_without_its_leaf_is_found_unless_the_gateway_said_so() {
    let unlogged = |told: &mut Told| {
        told.leaves.remove(1);
        told.signed = vec![1, 3];
    };
    let found = Told::altered(unlogged);
    is_one(&found, Promise::Unproved, "1 answers have no leaf, of which gateways said 0");
    let said = |told: &mut Told| {
        unlogged(told);
        told.more.push(Line::Unwritten { bank: BANK.into(), times: 1 });
    };
    holds(&Told::altered(said));
    let unread = |told: &mut Told| {
        told.leaves.pop();
        told.signed = vec![1, 3];
    };
    is_one(&Told::altered(unread), Promise::Unproved, "1 answers have no leaf");
}

#[test]
fn a_leaf_of_other_bytes_or_of_nobodys_is_found() {
    let one_byte = |told: &mut Told| match &mut told.calls[2] {
        Line::Call { sent, .. } => sent.0[0] ^= 1,
        _ => unreachable!(),
    };
    let found = Told::altered(one_byte);
    assert!(found.iter().any(|(_, _, how)| how == "leaf 1 is of what nobody said"), "{found:#?}");
    let other_answer = |told: &mut Told| match &mut told.calls[3] {
        Line::Answer { heard, .. } => heard.0[0] ^= 1,
        _ => unreachable!(),
    };
    let found = Told::altered(other_answer);
    let words = "leaf 1 is of an answer that nobody heard, or one too many";
    assert!(found.iter().any(|(_, _, how)| how == words), "{found:#?}");
    let twice = |told: &mut Told| {
        told.leaves.push(told.leaves[0].clone());
        told.signed = vec![5];
    };
    is_one(&Told::altered(twice), Promise::Unproved, "or one too many");
    let another_salt = |told: &mut Told| told.leaves[0].1 = told.leaves[1].1.clone();
    is_one(&Told::altered(another_salt), Promise::Unproved, "");
    let cut = |told: &mut Told| {
        told.leaves[0].0.pop();
        told.signed = vec![4];
    };
    let found = Told::altered(cut);
    assert!(found.iter().any(|(_, _, how)| how == "leaf 0 is none"), "{found:#?}");
    // What was answered and not heard has its leaf all the same.
    let unheard = |told: &mut Told| match &mut told.calls[1] {
        Line::Answer { heard, says, .. } => {
            *heard = Bytes::default();
            *says = Says::Nothing { why: "reset".into() };
        }
        _ => unreachable!(),
    };
    holds(&Told::altered(unheard));
}

#[test]
fn a_checkpoint_of_another_log_or_by_another_key_is_found() {
    let mut history = Told::well().history();
    let leaf = history.iter().position(|line| matches!(line, Line::Leaf { .. })).unwrap();
    history.swap(leaf, leaf + 1);
    is_one(&found(&history), Promise::Unproved, "is not of its beginning");
    let mut history = Told::well().history();
    history.push(Line::Key { key: Told::well().key.public().to_string() });
    is_one(&found(&history), Promise::Unproved, "not signed");
    let mut history = Told::well().history();
    for line in &mut history {
        if let Line::Checkpoint { note } = line {
            *note = note.replacen("\n4\n", "\n3\n", 1);
        }
    }
    is_one(&found(&history), Promise::Unproved, "not signed");
    is_one(&Told::altered(|told| told.signed.clear()), Promise::Unproved, "it was never signed");
    let keyless: Vec<_> =
        Told::well().history().into_iter().filter(|it| !matches!(it, Line::Key { .. })).collect();
    is_one(&found(&keyless), Promise::Unproved, "it has no key");
    // A log is signed at many sizes, and each is one tree.
    let large = |told: &mut Told| {
        for call in 10..40 {
            told.call(call, "b", "C2", "REGISTERED");
        }
        told.signed = (1..=34).collect();
    };
    holds(&Told::altered(large));
}
