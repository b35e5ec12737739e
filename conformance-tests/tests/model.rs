//! Everything that can happen to one key, gone through exhaustively: banks that repeat and change their message, several
//! exchanges and resolvers at once, processes that die between any two steps, messages and answers that are lost or late,
//! a ledger that is away or does what it was asked and cannot say so, leases that run out.
//!
//! The key is the gateway's own pure function (`gateway::ledger::life`), which the stores are held against in
//! tests/ledger.rs. The steps around it are those of `gateway/src/exchange.rs` and `gateway/src/resolver.rs`, a variant of
//! [`Step`] each; fault_points.rs kills the real process at the same places.
#![expect(clippy::unwrap_used, reason = "a test file, helpers and all")]

use std::collections::BTreeSet;

use gateway::ledger::{
    State,
    life::{Life, Verdict},
};
use stateright::{Checker, Model, Property};

/// How much may go wrong, and what is true of the registry.
#[derive(Debug, Clone)]
struct Rules {
    /// Whether the registry promises that a key used before returns the first case.
    idempotent: bool,
    /// Whether the office is closed when filings come: they wait, and the opener sends them.
    closed: bool,
    /// How often the bank sends its message, the same each time.
    filings: u8,
    /// How often it sends another under the same key, by mistake.
    changed: u8,
    /// How often the resolver looks.
    rounds: u8,
    /// How many of these may happen: a process dies, a message or an answer is lost, a call is not waited for any longer,
    /// a verb of the ledger fails.
    faults: u8,
}

/// All there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    key: Option<Life<Content, Case>>,
    /// The registry's cases under the key, by what they are about.
    cases: Vec<Content>,
    /// Submissions on their way: what they say, and which task waits for the answer.
    under_way: Vec<(Content, Option<usize>)>,
    tasks: Vec<Option<Task>>,
    bank: Bank,
    left: Left,
}

/// What may still happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Left {
    filings: u8,
    changed: u8,
    rounds: u8,
    faults: u8,
}

/// What a message is about: 0, or 1 when it was changed.
type Content = u8;
/// A case's place at the registry.
type Case = usize;

/// What the bank has heard so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Bank {
    /// Outcomes, with the content of the message that was answered.
    outcomes: BTreeSet<(Content, Case)>,
    /// Contents that were refused because the key belongs to another.
    refused: BTreeSet<Content>,
    /// Whether a message was answered with anything but `sent: NO`, or not at all.
    in_doubt: bool,
    /// It was told that nothing was sent, believed it, and lends the money elsewhere.
    gave_up: bool,
}

/// An exchange or a round of the resolver: a task of some process, on its way through its steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Task {
    /// What the bank's message says; `None` for the resolver.
    content: Option<Content>,
    step: Step,
    /// The bank has stopped waiting for it, or its connection is gone; the exchange goes on.
    hung_up: bool,
    /// It is the opener's: nobody ever waited for it.
    opener: bool,
}

/// What a task is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Admit,
    TakeDue,
    TakeQueued,
    AskByKey {
        attempt: i64,
    },
    /// `sent_before`: by an earlier attempt. `sent`: by an earlier try of this call.
    Submit {
        attempt: i64,
        sent_before: bool,
        sent: bool,
    },
    /// Where the registry promises nothing, before the first send.
    Announce {
        attempt: i64,
    },
    Wait {
        attempt: i64,
        sent_before: bool,
    },
    Settle {
        case: Case,
    },
    MarkUnknown {
        attempt: i64,
    },
    Release {
        attempt: i64,
    },
    Defer {
        attempt: i64,
    },
}

/// How a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Well,
    /// Nothing is done, and the task hears of a failure.
    NotDone,
    /// It is done, and the task hears of a failure.
    DoneUnheard,
    /// The process dies before it.
    Dies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    Files(Content),
    ResolverWakes,
    OpenerWakes,
    Goes(usize, Way),
    /// The bank stops waiting.
    HangsUp(usize),
    /// A submission arrives; whether the answer gets back to who waits.
    Arrives(usize, bool),
    /// A submission never arrives.
    IsLost(usize),
    LeasesRunOut,
    /// The bank asks where its filing stands, and believes what it hears.
    AsksByKey,
}

const LEASE: i64 = 1;
/// How long after a send it may be sent again.
const NEVER: i64 = i64::MAX;

impl Model for Rules {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            key: None,
            cases: Vec::new(),
            under_way: Vec::new(),
            tasks: Vec::new(),
            bank: Bank::default(),
            left: Left {
                filings: self.filings,
                changed: self.changed,
                rounds: self.rounds,
                faults: self.faults,
            },
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let left = &world.left;
        if left.filings > 0 && !world.bank.gave_up {
            events.push(Event::Files(0));
        }
        if left.changed > 0 && !world.bank.gave_up {
            events.push(Event::Files(1));
        }
        if left.rounds > 0 && world.key.is_some() {
            events.push(Event::ResolverWakes);
            if self.closed {
                events.push(Event::OpenerWakes);
            }
        }
        for (number, task) in world.tasks.iter().enumerate() {
            let Some(task) = task else { continue };
            if !matches!(task.step, Step::Wait { .. }) {
                events.push(Event::Goes(number, Way::Well));
            }
            if left.faults > 0 {
                let ways = [Way::NotDone, Way::DoneUnheard, Way::Dies];
                events.extend(ways.map(|way| Event::Goes(number, way)));
                // A copy that has not come to the ledger may do so at any time: of that one nobody can be told anything.
                if task.content.is_some() && !task.hung_up && task.step != Step::Admit {
                    events.push(Event::HangsUp(number));
                }
            }
        }
        for position in 0..world.under_way.len() {
            events.push(Event::Arrives(position, true));
            if left.faults > 0 {
                events.extend([Event::Arrives(position, false), Event::IsLost(position)]);
            }
        }
        if world.key.as_ref().is_some_and(|key| key.lease_until > 0 || key.due_at > 0) {
            events.push(Event::LeasesRunOut);
        }
        if world.key.is_some() && !world.bank.gave_up && !world.bank_waits() {
            events.push(Event::AsksByKey);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        next.happens(self, event);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no key is registered twice", |_, world: &World| {
                world.cases.len() <= 1
            }),
            Property::always("every acknowledged filing exists", |_, world: &World| {
                world.bank.outcomes.iter().all(|(content, case)| {
                    world.cases.get(*case).is_some_and(|held| held == content)
                })
            }),
            Property::always("no answer contradicts another", |_, world: &World| {
                let bank = &world.bank;
                bank.outcomes.len() <= 1
                    && bank.outcomes.iter().all(|(content, _)| !bank.refused.contains(content))
            }),
            Property::always(
                "what was told not to be sent is not registered",
                |_, world: &World| !world.bank.gave_up || world.cases.is_empty(),
            ),
            Property::always(
                "the ledger never knows better than the registry",
                |_, world: &World| {
                    let answer = world.key.as_ref().and_then(|key| key.answer);
                    answer.is_none_or(|case| case < world.cases.len())
                },
            ),
            Property::always(
                "once faults stop, all is settled or an operator's",
                |rules, world: &World| world.clone().comes_to_rest(rules),
            ),
            Property::sometimes("a filing is registered", |_, world: &World| world.is_answered()),
            Property::sometimes("a lost filing is sent again", |_, world: &World| {
                world.key.as_ref().is_some_and(|key| key.attempt > 1) && world.is_answered()
            }),
        ]
    }
}

impl World {
    fn happens(&mut self, rules: &Rules, event: Event) {
        match event {
            Event::Files(content) => {
                let left =
                    if content == 0 { &mut self.left.filings } else { &mut self.left.changed };
                *left = left.saturating_sub(1);
                let (hung_up, opener) = (false, false);
                self.begins(Task { content: Some(content), step: Step::Admit, hung_up, opener });
            }
            Event::ResolverWakes => {
                self.left.rounds = self.left.rounds.saturating_sub(1);
                let (hung_up, opener) = (false, false);
                self.begins(Task { content: None, step: Step::TakeDue, hung_up, opener });
            }
            Event::OpenerWakes => {
                self.left.rounds = self.left.rounds.saturating_sub(1);
                let content = self.key.as_ref().map(|key| key.application);
                let (hung_up, opener) = (true, true);
                self.begins(Task { content, step: Step::TakeQueued, hung_up, opener });
            }
            Event::Goes(number, way) => {
                if way != Way::Well {
                    self.left.faults = self.left.faults.saturating_sub(1);
                }
                let Some(task) = self.tasks[number].take() else { return };
                match way {
                    Way::Dies => self.bank.in_doubt |= task.content.is_some() && !task.opener,
                    Way::Well | Way::NotDone | Way::DoneUnheard => {
                        let bank = self.bank.clone();
                        self.tasks[number] = self.goes(rules, number, &task, way);
                        if task.hung_up {
                            self.bank = bank;
                        }
                    }
                }
                if self.tasks[number].is_none() {
                    self.nobody_waits_for(number);
                }
            }
            Event::HangsUp(number) => {
                self.left.faults = self.left.faults.saturating_sub(1);
                self.bank.in_doubt = true;
                if let Some(task) = &mut self.tasks[number] {
                    task.hung_up = true;
                }
            }
            Event::Arrives(position, heard) => {
                if !heard {
                    self.left.faults = self.left.faults.saturating_sub(1);
                }
                let (content, waiting) = self.under_way.remove(position);
                let case = match self.cases.len() {
                    1.. if rules.idempotent => 0,
                    count => {
                        self.cases.push(content);
                        count
                    }
                };
                let waiting =
                    waiting.filter(|_| heard).and_then(|number| self.tasks[number].as_mut());
                if let Some(task) = waiting {
                    task.step = Step::Settle { case };
                }
            }
            Event::IsLost(position) => {
                self.left.faults = self.left.faults.saturating_sub(1);
                self.under_way.remove(position);
            }
            Event::LeasesRunOut => self.time_passes(),
            Event::AsksByKey => {
                let state = self.key.as_ref().map(|key| key.state_at(0));
                self.bank.gave_up = state == Some(State::Released);
            }
        }
        while self.tasks.last().is_some_and(Option::is_none) {
            self.tasks.pop();
        }
        self.under_way.sort_unstable();
    }

    fn begins(&mut self, task: Task) {
        match self.tasks.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(task),
            None => self.tasks.push(Some(task)),
        }
    }

    fn nobody_waits_for(&mut self, number: usize) {
        for (_, waiting) in &mut self.under_way {
            if *waiting == Some(number) {
                *waiting = None;
            }
        }
    }

    /// Times are kept relative to now, so that the worlds stay few.
    fn time_passes(&mut self) {
        if let Some(key) = &mut self.key {
            key.lease_until = 0;
            key.due_at = 0;
        }
    }

    fn bank_waits(&self) -> bool {
        self.tasks.iter().flatten().any(|task| task.content.is_some() && !task.hung_up)
    }

    /// One step of a task, and what it is about to do then; `None`: it has answered and ended.
    fn goes(&mut self, rules: &Rules, number: usize, task: &Task, way: Way) -> Option<Task> {
        let (done, heard) = (way != Way::NotDone, way == Way::Well);
        let then = |step| Some(Task { step, ..task.clone() });
        match task.step {
            Step::Admit => {
                let content = task.content.unwrap();
                let (announced, closed) = (!rules.idempotent, rules.closed);
                let admit = || Life::admit(&mut self.key, content, announced, closed, 0, LEASE);
                let verdict = done.then(admit);
                let attempt = self.key.as_ref().map_or(0, |key| key.attempt);
                match verdict.filter(|_| heard) {
                    // LEDGER_UNAVAILABLE, sent NO: this message, not those before it.
                    None => None,
                    Some(Verdict::New) if rules.idempotent => {
                        then(Step::Submit { attempt, sent_before: false, sent: false })
                    }
                    Some(Verdict::New) => then(Step::Announce { attempt }),
                    Some(Verdict::AskFirst) => then(Step::AskByKey { attempt }),
                    Some(Verdict::InFlight) => self.tells_doubt(),
                    Some(Verdict::Settled) => {
                        let case = self.key.as_ref().and_then(|key| key.answer).unwrap();
                        self.tells_outcome(content, case)
                    }
                    Some(Verdict::Retired) => unreachable!("nothing grows so old here"),
                    // QUEUED_OUT_OF_HOURS, or OUTCOME_UNKNOWN: in either case not that nothing will be sent.
                    Some(Verdict::Queued) => self.tells_doubt(),
                    Some(Verdict::Conflict) => {
                        self.bank.refused.insert(content);
                        None
                    }
                }
            }
            Step::TakeDue => {
                let taken = done && self.key.as_mut().unwrap().take_due(0, LEASE);
                let attempt = self.key.as_ref().unwrap().attempt;
                if taken && heard { then(Step::AskByKey { attempt }) } else { None }
            }
            Step::TakeQueued => {
                let key = self.key.as_mut().unwrap();
                let taken = done.then(|| key.take_queued(0, LEASE)).flatten();
                let attempt = key.attempt;
                match taken.filter(|_| heard) {
                    None => None,
                    Some(Verdict::New) => then(Step::Announce { attempt }),
                    Some(_) => then(Step::AskByKey { attempt }),
                }
            }
            Step::AskByKey { attempt } => {
                let unknown = match task.content {
                    Some(_) => Step::MarkUnknown { attempt },
                    None => Step::Defer { attempt },
                };
                match self.cases.first() {
                    _ if !heard => then(unknown),
                    Some(_) => then(Step::Settle { case: 0 }),
                    None if !rules.idempotent => then(unknown),
                    None if task.content.is_some() => {
                        then(Step::Submit { attempt, sent_before: true, sent: false })
                    }
                    None => then(unknown),
                }
            }
            Step::Announce { attempt } => {
                let announced = done && self.key.as_mut().unwrap().announce(attempt, 0, NEVER);
                match announced && heard {
                    true => then(Step::Submit { attempt, sent_before: false, sent: false }),
                    // LEDGER_UNAVAILABLE or STILL_WORKING; this task never sends it.
                    false => then(Step::Release { attempt }),
                }
            }
            Step::Submit { attempt, sent_before, sent } => match way {
                // There is no connection: nothing was sent by this try.
                Way::NotDone if sent || sent_before => then(Step::MarkUnknown { attempt }),
                Way::NotDone => then(Step::Release { attempt }),
                Way::Well | Way::DoneUnheard | Way::Dies => {
                    self.under_way.push((task.content.unwrap(), Some(number)));
                    then(Step::Wait { attempt, sent_before })
                }
            },
            // The deadline, or the connection is cut; where that cannot register twice, it is sent again.
            Step::Wait { attempt, sent_before } => {
                self.nobody_waits_for(number);
                match way {
                    Way::DoneUnheard if rules.idempotent => {
                        then(Step::Submit { attempt, sent_before, sent: true })
                    }
                    Way::Well | Way::NotDone | Way::DoneUnheard | Way::Dies => {
                        then(Step::MarkUnknown { attempt })
                    }
                }
            }
            Step::Settle { case } => {
                if done {
                    self.key.as_mut().unwrap().settle(case);
                }
                match task.content {
                    // The answer is true whatever became of the ledger.
                    Some(content) => self.tells_outcome(content, case),
                    None => None,
                }
            }
            Step::MarkUnknown { attempt } => {
                if done {
                    self.key.as_mut().unwrap().defer(attempt, 0, 0);
                }
                self.tells_doubt()
            }
            Step::Release { attempt } => {
                if done && task.opener {
                    self.key.as_mut().unwrap().requeue(attempt, 0, 1);
                    return None;
                }
                if done {
                    self.key.as_mut().unwrap().release(attempt, 0);
                }
                if task.content.is_some() { self.tells_nothing_was_sent() } else { None }
            }
            Step::Defer { attempt } => {
                if done {
                    self.key.as_mut().unwrap().defer(attempt, 0, 1);
                }
                None
            }
        }
    }

    fn tells_outcome(&mut self, content: Content, case: Case) -> Option<Task> {
        self.bank.outcomes.insert((content, case));
        None
    }

    fn tells_doubt(&mut self) -> Option<Task> {
        self.bank.in_doubt = true;
        None
    }

    /// REGISTRY_UNAVAILABLE, sent NO. A bank that never heard anything else, and has nothing else under way, may believe
    /// it of the filing.
    fn tells_nothing_was_sent(&mut self) -> Option<Task> {
        let nothing_else = self.bank.outcomes.is_empty() && !self.bank.in_doubt;
        self.bank.gave_up |= nothing_else && !self.bank_waits();
        None
    }

    /// The bank heard what came of it, or can hear it: of what waited, it hears when it asks.
    fn is_answered(&self) -> bool {
        let answered = self.key.as_ref().is_some_and(|key| key.answer.is_some());
        answered || !self.bank.outcomes.is_empty()
    }

    /// One task goes on without faults.
    fn goes_on(&mut self, rules: &Rules) {
        let Some(number) = self.tasks.iter().position(Option::is_some) else { return };
        let waits = matches!(self.tasks[number].as_ref().unwrap().step, Step::Wait { .. });
        let waits_in_vain = waits && self.under_way.is_empty();
        // Nothing will come: the deadline ends it.
        let way = if waits_in_vain { Way::NotDone } else { Way::Well };
        match waits && !waits_in_vain {
            true => self.happens(rules, Event::Arrives(0, true)),
            false => self.happens(rules, Event::Goes(number, way)),
        }
    }

    /// Goes on without faults: what is under way arrives, tasks end, leases run out, the resolver looks, and the bank asks
    /// again unless it gave up. Whether all is well then.
    fn comes_to_rest(mut self, rules: &Rules) -> bool {
        for _ in 0..4 {
            while !self.under_way.is_empty() {
                self.happens(rules, Event::Arrives(0, true));
            }
            while self.tasks.iter().any(Option::is_some) {
                self.goes_on(rules);
            }
            self.time_passes();
            if self.key.is_some() {
                if rules.closed {
                    self.happens(rules, Event::OpenerWakes);
                    while self.tasks.iter().any(Option::is_some) {
                        self.goes_on(rules);
                    }
                    self.time_passes();
                }
                self.happens(rules, Event::ResolverWakes);
                while self.tasks.iter().any(Option::is_some) {
                    self.happens(rules, Event::Goes(0, Way::Well));
                }
            }
            if let (Some(key), false) = (&self.key, self.bank.gave_up) {
                let content = key.application;
                self.happens(rules, Event::Files(content));
            }
        }
        let Some(key) = &self.key else { return true };
        match key.state_at(0) {
            State::Settled => self.cases.len() == 1,
            State::Released => self.bank.gave_up && self.cases.is_empty(),
            // The registry does not know it, and nobody may send it again, or the bank will not: the resolver asks until it
            // is old enough to be an operator's.
            State::Unknown => self.cases.is_empty() && (!rules.idempotent || self.bank.gave_up),
            State::Claimed | State::Retired | State::Queued => false,
        }
    }
}

fn holds(rules: Rules) {
    rules.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn a_registry_that_promises_idempotency() {
    holds(Rules { idempotent: true, closed: false, filings: 2, changed: 1, rounds: 1, faults: 2 });
    holds(Rules { idempotent: true, closed: false, filings: 3, changed: 0, rounds: 1, faults: 1 });
}

#[test]
fn a_registry_that_promises_nothing() {
    holds(Rules { idempotent: false, closed: false, filings: 2, changed: 1, rounds: 1, faults: 2 });
    holds(Rules { idempotent: false, closed: false, filings: 2, changed: 0, rounds: 2, faults: 2 });
}

#[test]
fn a_filing_that_waits_for_its_office() {
    let one =
        Rules { idempotent: true, closed: true, filings: 2, changed: 1, rounds: 2, faults: 1 };
    holds(one.clone());
    holds(Rules { idempotent: false, ..one });
    let worse =
        Rules { idempotent: true, closed: true, filings: 1, changed: 0, rounds: 3, faults: 2 };
    holds(worse.clone());
    holds(Rules { idempotent: false, ..worse });
}
