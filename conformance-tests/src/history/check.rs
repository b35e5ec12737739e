//! Judges a history: whether banks were told nothing but the truth, and nothing was done twice or lost.
//!
//! It knows no gateway, ledger or registry: only lines. docs/soak.md says its rules in words. In its folder: `life.rs`, what
//! may follow on what; `feeds.rs`, the events; `notices.rs`, what banks were told of them; `log.rs`, the log of exchanges.

mod feeds;
mod life;
mod log;
mod notices;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use self::{feeds::Feeds, life::may_become, log::Log, notices::Notices};
use super::{Event, Filing, Line, Says, What};

/// What a history comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Calls of banks.
    pub operations: u64,
    /// Filings.
    pub keys: u64,
    /// Processes killed.
    pub kills: u64,
    /// Events in the banks' feeds.
    pub events: u64,
    /// Notices of them that were sent to subscribers, those that were sent again included.
    pub notices: u64,
    /// Leaves in the log of exchanges.
    pub leaves: u64,
    /// Checkpoints that were signed of it.
    pub checkpoints: u64,
    /// Answers without a leaf, of which gateways said so.
    pub unwritten: u64,
    /// What is wrong.
    pub complaints: Vec<Complaint>,
    /// Filings that banks gave up because nothing was sent, and that stay open in the ledger with nothing at the registry:
    /// an operator is told of them in time.
    pub left_to_operators: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// With what.
    pub about: About,
    /// Which promise is broken.
    pub broken: Promise,
    /// How.
    pub how: String,
}

/// What a complaint is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A filing.
    Filing(Filing),
    /// A bank's feed, or what was said with a bank.
    Bank(String),
    /// The log of exchanges.
    Log,
}

/// The promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// A key registers at most once.
    Double,
    /// What was acknowledged exists.
    Lost,
    /// Every answer is consistent with some order of what happened.
    Wrong,
    /// Once trouble stops, everything is settled.
    Unsettled,
    /// Of each case its events are told, numbered without a gap, and in an order that is possible: once in its bank's feed,
    /// and to who subscribes each time as the same.
    Mistold,
    /// Who subscribes is told of every event in the end.
    Untold,
    /// Every answer that a bank heard has one leaf, of the very bytes; the log is one tree, and what was signed.
    Unproved,
}

impl Judgement {
    /// How many filings, or what else complaints are about, break a promise.
    pub fn count(&self, promise: Promise) -> usize {
        let broken = self.complaints.iter().filter(|complaint| complaint.broken == promise);
        broken.map(|complaint| &complaint.about).collect::<BTreeSet<_>>().len()
    }

    /// What came of events and evidence, in a line.
    pub fn told_and_proved(&self) -> String {
        let Self { events, notices, leaves, checkpoints, unwritten, .. } = self;
        format!(
            "events {events}, mistold {}, notices {notices}, untold {}, leaves {leaves}, checkpoints {checkpoints}, \
             unwritten {unwritten}, unproved {}",
            self.count(Promise::Mistold),
            self.count(Promise::Untold),
            self.count(Promise::Unproved),
        )
    }

    /// Whether every promise is kept.
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, keys, kills, .. } = self;
        write!(
            out,
            "operations {operations}, keys {keys}, kills {kills}, double {}, lost {}, wrong {}, unsettled {}",
            self.count(Promise::Double),
            self.count(Promise::Lost),
            self.count(Promise::Wrong),
            self.count(Promise::Unsettled),
        )
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { about, broken, how } = self;
        match about {
            About::Filing(Filing { bank, key }) => write!(out, "{broken:?}: {bank} {key}: {how}"),
            About::Bank(bank) => write!(out, "{broken:?}: {bank}: {how}"),
            About::Log => write!(out, "{broken:?}: the log of exchanges: {how}"),
        }
    }
}

/// Judges a whole history.
pub fn judge(lines: &[Line]) -> Judgement {
    let mut judgement = Judgement::default();
    let mut lives: BTreeMap<&Filing, Life<'_>> = BTreeMap::new();
    let mut filings: HashMap<u64, &Filing> = HashMap::new();
    let (mut feeds, mut log, mut notices) = (Feeds::default(), Log::default(), Notices::default());
    let mut calm = false;
    for (at, line) in lines.iter().enumerate() {
        match line {
            Line::Call { call, what, filing, content, sent, .. } => {
                judgement.operations += 1;
                filings.insert(*call, filing);
                let life = lives.entry(filing).or_default();
                life.asked_of_after_given_up |= life.given_up_at.is_some();
                life.calls
                    .insert(*call, Call { what: *what, content: *content, begun: at, heard: None });
                log.asked(*call, filing, *what, sent);
            }
            Line::Answer { call, says, heard } => {
                let life = filings.get(call).and_then(|filing| lives.get_mut(filing));
                if let Some(found) = life.and_then(|life| life.calls.get_mut(call)) {
                    found.heard = Some((at, says));
                }
                log.answered(*call, heard);
            }
            Line::Read { bank, reading, sent, heard, events } => {
                feeds.read(bank, *reading, events);
                log.read(bank, sent, heard);
            }
            Line::Subscribes { bank } => notices.subscribes(bank),
            Line::Told { bank, notice } => notices.told(bank, notice),
            Line::GivenUp { filing } => lives.entry(filing).or_default().given_up_at = Some(at),
            Line::Trouble { what } => judgement.kills += u64::from(what.starts_with("kill ")),
            Line::Calm => calm = true,
            Line::Case { filing, case, status, certificates } => {
                let held = Held { case, status, certificates };
                lives.entry(filing).or_default().cases.push(held);
            }
            Line::Entered { filing, times } => lives.entry(filing).or_default().entered = *times,
            Line::Ledger { filing, state } => lives.entry(filing).or_default().ledger = Some(state),
            Line::Event { filing, event } => {
                judgement.events += 1;
                lives.entry(filing).or_default().events.push(event);
                feeds.holds(&filing.bank, event);
                notices.holds(filing, event);
            }
            Line::Leaf { leaf, salt } => log.leaf(leaf, salt),
            Line::Checkpoint { note } => log.checkpoint(note),
            Line::Key { key } => log.key(key),
            Line::Unwritten { bank, times } => log.unwritten(bank, *times),
        }
    }
    judgement.keys = lives.values().filter(|life| !life.calls.is_empty()).count() as u64;
    for (filing, life) in &lives {
        let mut told = Vec::new();
        life.judge(calm, &mut told);
        judgement.left_to_operators += u64::from(life.is_left_to_operators());
        judgement.complaints.extend(told.into_iter().map(|(broken, how)| Complaint {
            about: About::Filing((*filing).clone()),
            broken,
            how,
        }));
    }
    let mistold = |(bank, how)| {
        let (about, broken) = (About::Bank(bank), Promise::Mistold);
        Complaint { about, broken, how }
    };
    judgement.notices = notices.count();
    if calm {
        judgement.complaints.extend(feeds.judge().into_iter().map(mistold));
        let told = notices.judge().into_iter();
        judgement.complaints.extend(told.map(|(about, broken, how)| Complaint {
            about,
            broken,
            how,
        }));
    }
    let proved = log.judge(calm);
    (judgement.leaves, judgement.checkpoints) = (proved.leaves, proved.checkpoints);
    judgement.unwritten = proved.unwritten;
    let unproved = |(about, how)| Complaint { about, broken: Promise::Unproved, how };
    judgement.complaints.extend(proved.complaints.into_iter().map(unproved));
    judgement
}

/// All that a history says of one filing.
#[derive(Debug, Default)]
struct Life<'h> {
    /// By number, which grows.
    calls: BTreeMap<u64, Call<'h>>,
    given_up_at: Option<usize>,
    asked_of_after_given_up: bool,
    cases: Vec<Held<'h>>,
    entered: u64,
    ledger: Option<&'h str>,
    /// In the order in which they stand in the bank's feed.
    events: Vec<&'h Event>,
}

#[derive(Debug)]
struct Call<'h> {
    what: What,
    content: u32,
    begun: usize,
    heard: Option<(usize, &'h Says)>,
}

/// A case at the registry.
#[derive(Debug)]
struct Held<'h> {
    case: &'h str,
    status: &'h str,
    certificates: &'h BTreeSet<String>,
}

/// An outcome that was told.
struct Told<'h> {
    content: u32,
    heard: usize,
    begun: usize,
    case: &'h str,
    status: &'h str,
    certificates: &'h BTreeSet<String>,
}

type Complaints = Vec<(Promise, String)>;

impl<'h> Life<'h> {
    fn judge(&self, calm: bool, told: &mut Complaints) {
        self.once(told);
        self.there(told);
        self.consistent(told);
        self.in_order(told);
        if calm {
            self.settled(told);
            self.events(told);
        }
    }

    /// Outcomes that name a case. Without one it is not yet known what became of it.
    fn outcomes(&self) -> impl Iterator<Item = Told<'h>> {
        self.calls.values().filter_map(|call| match call.heard {
            Some((heard, Says::Outcome { case, status, certificates })) if !case.is_empty() => {
                let (content, begun) = (call.content, call.begun);
                Some(Told { content, heard, begun, case, status, certificates })
            }
            Some((_, Says::Outcome { .. } | Says::Refusal { .. } | Says::Nothing { .. }))
            | None => None,
        })
    }

    fn refusals(&self) -> impl Iterator<Item = (&Call<'h>, usize, &'h str, &'h str)> {
        self.calls.values().filter_map(|call| match call.heard {
            Some((heard, Says::Refusal { code, sent })) => {
                Some((call, heard, code.as_str(), sent.as_str()))
            }
            Some((_, Says::Outcome { .. } | Says::Nothing { .. })) | None => None,
        })
    }

    fn once(&self, told: &mut Complaints) {
        if self.entered > 1 {
            told.push((Promise::Double, format!("entered {} times", self.entered)));
        }
        if self.cases.len() > 1 {
            told.push((Promise::Double, format!("{} cases", self.cases.len())));
        }
    }

    fn there(&self, told: &mut Complaints) {
        for outcome in self.outcomes() {
            if !self.cases.iter().any(|held| held.case == outcome.case) {
                let how = format!("case {} was acknowledged and does not exist", outcome.case);
                told.push((Promise::Lost, how));
            }
        }
    }

    fn consistent(&self, told: &mut Complaints) {
        let mut wrong = |how: String| told.push((Promise::Wrong, how));
        let cases: BTreeSet<_> = self.outcomes().map(|outcome| outcome.case).collect();
        if cases.len() > 1 {
            wrong(format!("answers name several cases: {cases:?}"));
        }
        let contents: BTreeSet<_> = self.outcomes().map(|outcome| outcome.content).collect();
        if contents.len() > 1 {
            wrong("different messages under one key were both answered".to_owned());
        }
        for outcome in self.outcomes() {
            let Some(held) = self.cases.iter().find(|held| held.case == outcome.case) else {
                continue;
            };
            if !may_become(outcome.status, held.status) {
                wrong(format!("{} was told, the registry says {}", outcome.status, held.status));
            }
            if !outcome.certificates.is_subset(held.certificates) {
                wrong(format!("certificates {:?} were told", outcome.certificates));
            }
        }
        for (call, heard, code, _) in self.refusals() {
            if code != "KEY_REUSED" {
                continue;
            }
            if contents.contains(&call.content) {
                wrong("a message was answered, and refused as not the key's".to_owned());
            }
            let another = self.calls.values().any(|other| {
                other.content != call.content && other.begun < heard && other.what != What::Ask
            });
            if !another {
                wrong("refused as another's key that nobody else had used".to_owned());
            }
        }
        if self.given_up_at.is_some() && !self.cases.is_empty() {
            wrong("the bank was told that nothing was sent, and the registry has it".to_owned());
        }
        if self.asked_of_after_given_up {
            wrong("the history itself: a call about what was given up".to_owned());
        }
    }

    /// What was begun after an outcome was heard cannot be told less.
    fn in_order(&self, told: &mut Complaints) {
        let mut wrong = |how: String| told.push((Promise::Wrong, how));
        for first in self.outcomes() {
            for later in self.outcomes().filter(|later| later.begun > first.heard) {
                if !may_become(first.status, later.status) {
                    wrong(format!("{} was told after {}", later.status, first.status));
                }
            }
            for (call, _, code, _) in self.refusals() {
                let forgets = matches!(code, "NEVER_SENT" | "CASE_UNKNOWN")
                    || code == "REGISTRY_UNAVAILABLE" && call.what != What::Change;
                if call.begun > first.heard && forgets {
                    wrong(format!("{code} was told after an outcome"));
                }
            }
        }
    }

    fn settled(&self, told: &mut Complaints) {
        if self.calls.is_empty() || self.given_up_at.is_some() {
            return;
        }
        if self.ledger != Some("settled") {
            let state = self.ledger.unwrap_or("not looked at");
            told.push((Promise::Unsettled, format!("the ledger says {state}")));
        }
        if self.outcomes().next().is_none() {
            told.push((Promise::Unsettled, "no bank ever heard an outcome".to_owned()));
        }
    }

    /// Its events are numbered from 1 without a gap, each follows on the one before, and the last is where it stands.
    fn events(&self, told: &mut Complaints) {
        let mut wrong = |how: String| told.push((Promise::Mistold, how));
        for (number, event) in (1..).zip(&self.events) {
            if event.number != number {
                wrong(format!("event {} comes where {number} belongs", event.number));
            }
        }
        for (before, after) in self.events.iter().zip(self.events.iter().skip(1)) {
            if before.case != after.case && !before.case.is_empty() {
                wrong(format!("case {} becomes {}", before.case, after.case));
            }
            if !may_become(&before.status, &after.status) {
                wrong(format!("{} is told after {}", after.status, before.status));
            }
        }
        let Some(last) = self.events.last() else {
            if !self.cases.is_empty() || self.outcomes().next().is_some() {
                wrong("there is a case, and no event".to_owned());
            }
            return;
        };
        for held in self.cases.iter().filter(|held| held.status != last.status) {
            wrong(format!("the last event says {}, the registry {}", last.status, held.status));
        }
        for outcome in self.outcomes() {
            if outcome.case != last.case || !may_become(outcome.status, &last.status) {
                let Told { case, status, .. } = outcome;
                wrong(format!("{case} {status} was answered, and no event says so or more"));
            }
        }
    }

    fn is_left_to_operators(&self) -> bool {
        self.given_up_at.is_some()
            && self.cases.is_empty()
            && matches!(self.ledger, Some("claimed" | "unknown"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Bytes;

    /// A filing that went well, with a case and an entry.
    fn well() -> Vec<Line> {
        vec![
            call(1, What::File, 0),
            answer(1, outcome("C1", "REGISTERED")),
            Line::Calm,
            case("C1", "REGISTERED"),
            Line::Entered { filing: filing(), times: 1 },
            Line::Ledger { filing: filing(), state: "settled".into() },
            event("C1", "REGISTERED"),
        ]
    }

    fn event(case: &str, status: &str) -> Line {
        let (case, status) = (case.to_owned(), status.to_owned());
        let event = Event { id: "EV-1".into(), number: 1, case, status };
        Line::Event { filing: filing(), event }
    }

    fn filing() -> Filing {
        Filing { bank: "bank".into(), key: "k".into() }
    }

    fn call(call: u64, what: What, content: u32) -> Line {
        Line::Call { call, what, filing: filing(), content, gateway: 0, sent: Bytes::default() }
    }

    fn answer(call: u64, says: Says) -> Line {
        Line::Answer { call, says, heard: Bytes::default() }
    }

    fn outcome(case: &str, status: &str) -> Says {
        let certificates = BTreeSet::from(["N1".to_owned()]);
        Says::Outcome { case: case.into(), status: status.into(), certificates }
    }

    fn refusal(code: &str, sent: &str) -> Says {
        Says::Refusal { code: code.into(), sent: sent.into() }
    }

    fn case(case: &str, status: &str) -> Line {
        let certificates = BTreeSet::from(["N1".to_owned()]);
        Line::Case { filing: filing(), case: case.into(), status: status.into(), certificates }
    }

    /// The history, with lines put in behind the `at`-th.
    fn with(at: usize, lines: impl IntoIterator<Item = Line>) -> Vec<Line> {
        let mut history = well();
        history.splice(at..at, lines);
        history
    }

    /// What is said of events and evidence beside it has tests of its own: `tests/history.rs`.
    #[track_caller]
    fn finds(lines: &[Line], promise: Promise) {
        let judgement = judge(lines);
        let found = judgement.complaints.iter().map(|it| it.broken);
        let found: Vec<_> = found.filter(|it| *it != Promise::Mistold).collect();
        assert!(!found.is_empty() && found.iter().all(|it| *it == promise), "{judgement:?}");
        assert_eq!(judgement.count(promise), 1);
    }

    #[test]
    fn what_is_right_is_not_complained_of() {
        assert!(judge(&well()).holds(), "{:?}", judge(&well()));
        let patient = with(
            2,
            [
                call(2, What::Repeat, 0),
                answer(2, refusal("STILL_WORKING", "UNKNOWN")),
                call(3, What::Change, 1),
                answer(3, refusal("KEY_REUSED", "NO")),
                call(4, What::Repeat, 0),
                answer(4, Says::Nothing { why: "reset".into() }),
                call(5, What::Repeat, 0),
                answer(5, refusal("LEDGER_UNAVAILABLE", "NO")),
                call(6, What::Ask, 0),
                answer(6, outcome("C1", "REGISTERED")),
                Line::Trouble { what: "kill gateway 0".into() },
            ],
        );
        let judgement = judge(&patient);
        assert!(judgement.holds(), "{judgement:?}");
        assert_eq!(
            judgement.to_string(),
            "operations 6, keys 1, kills 1, double 0, lost 0, wrong 0, unsettled 0"
        );
        let given_up = [
            call(1, What::File, 0),
            answer(1, refusal("REGISTRY_UNAVAILABLE", "NO")),
            Line::GivenUp { filing: filing() },
            Line::Calm,
            Line::Ledger { filing: filing(), state: "unknown".into() },
        ];
        assert!(judge(&given_up).holds());
        assert_eq!(judge(&given_up).left_to_operators, 1);
    }

    #[test]
    fn a_second_entry_or_case_is_double() {
        finds(&with(6, [Line::Entered { filing: filing(), times: 2 }]), Promise::Double);
        finds(&with(4, [case("C2", "REGISTERED")]), Promise::Double);
    }

    #[test]
    fn an_acknowledged_case_that_is_not_there_is_lost() {
        let mut history = well();
        history.remove(3);
        finds(&history, Promise::Lost);
    }

    #[test]
    fn contradictions_are_wrong() {
        // Told more, or another thing, than the registry knows.
        let mut history = well();
        history[3] = case("C1", "REFUSED");
        finds(&history, Promise::Wrong);
        history[3] = case("C1", "ACCEPTED");
        finds(&history, Promise::Wrong);
        let certificates = BTreeSet::new();
        let (case, status) = ("C1".to_owned(), "REGISTERED".to_owned());
        history[3] = Line::Case { filing: filing(), case, status, certificates };
        finds(&history, Promise::Wrong);
        // Both of two messages under one key are answered.
        let both = [call(2, What::Change, 1), answer(2, outcome("C1", "REGISTERED"))];
        finds(&with(2, both), Promise::Wrong);
        // Refused for a key that is its own.
        let refused = [call(2, What::Repeat, 0), answer(2, refusal("KEY_REUSED", "NO"))];
        finds(&with(2, refused), Promise::Wrong);
        // Told that nothing was sent, after an outcome.
        let forgot = [call(2, What::Ask, 0), answer(2, refusal("NEVER_SENT", "NO"))];
        finds(&with(2, forgot), Promise::Wrong);
        // Told less, after more.
        let less = [call(2, What::Repeat, 0), answer(2, outcome("C1", "ACCEPTED"))];
        finds(&with(2, less), Promise::Wrong);
    }

    #[test]
    fn nothing_was_sent_and_yet_it_is_there_is_wrong() {
        let history = [
            call(1, What::File, 0),
            answer(1, refusal("REGISTRY_UNAVAILABLE", "NO")),
            Line::GivenUp { filing: filing() },
            Line::Calm,
            case("C1", "REGISTERED"),
        ];
        finds(&history, Promise::Wrong);
    }

    #[test]
    fn two_cases_of_one_key_are_double_lost_or_wrong_whoever_heard_of_them() {
        let heard = [call(2, What::Repeat, 0), answer(2, outcome("C2", "REGISTERED"))];
        let judgement = judge(&with(2, heard));
        assert_eq!((judgement.count(Promise::Lost), judgement.count(Promise::Wrong)), (1, 1));
    }

    #[test]
    fn what_stays_open_is_unsettled() {
        let mut history = well();
        history[5] = Line::Ledger { filing: filing(), state: "unknown".into() };
        finds(&history, Promise::Unsettled);
        let mut history = well();
        history[1] = answer(1, refusal("OUTCOME_UNKNOWN", "UNKNOWN"));
        finds(&history, Promise::Unsettled);
        history.remove(2);
        assert!(judge(&history).holds(), "before trouble stops nothing has to be settled");
    }
}
