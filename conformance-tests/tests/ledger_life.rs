//! Both stores do to a key what the pure function says (`gateway::ledger::life`): random rows of verbs, on a real store and
//! on the function, with the same answer and the same key after each.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use conformance_tests::postgres_server::PostgresServer;
use gateway::{
    case::{self, Told},
    ledger::{
        Admission, Claim, Entry, Fingerprint, Guard, Ledger, LedgerError, LedgerSettings, Opening,
        PostgresSettings, Sealed, SqliteSettings, Taken, Waiting,
        books::Booked,
        events::{Account, Recorded},
        life::{Life, Verdict},
    },
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestCaseError, TestRunner},
};
use proto::v1::{Correction, Outcome};
use tempfile::TempDir;

/// A key of the two there are.
type Key = usize;

/// A call of the ledger. Rights are made up, so that stale ones and ones never given come too.
#[derive(Debug, Clone)]
enum Verb {
    Admit { key: Key, application: u8, announced: bool, closed: bool, lease: Span },
    Announce { key: Key, attempt: i64, quiet: Span },
    Settle { key: Key, attempt: i64, answer: u8 },
    MarkUnknown { key: Key, attempt: i64 },
    Defer { key: Key, attempt: i64, delay: Span },
    Release { key: Key, attempt: i64 },
    Record { key: Key, answer: u8 },
    ClaimDue { lease: Span },
    ClaimQueued { key: Key, lease: Span },
    Requeue { key: Key, attempt: i64, delay: Span },
    WithdrawQueued { key: Key, answer: u8 },
}

/// A store's clock can't be turned: a span is over at once, or never in a test.
#[derive(Debug, Clone, Copy)]
enum Span {
    Over,
    Endless,
}

impl Span {
    fn length(self) -> Duration {
        match self {
            Self::Over => Duration::ZERO,
            Self::Endless => Duration::from_secs(3_600),
        }
    }

    fn units(self) -> i64 {
        match self {
            Self::Over => 0,
            Self::Endless => 1,
        }
    }
}

#[test]
fn sqlite_keeps_to_it() {
    let folder = TempDir::new().unwrap();
    let settings = SqliteSettings { path: folder.path().join("ledger.db") };
    keeps_to_it(&LedgerSettings::Sqlite(settings));
}

#[test]
fn postgres_keeps_to_it() {
    let server = PostgresServer::start().unwrap();
    let address = runtime().block_on(server.make_database()).unwrap();
    keeps_to_it(&LedgerSettings::Postgres(PostgresSettings {
        url: address,
        password_file: None,
        tls: None,
        pool_size_max: 2,
        wait: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
    }));
}

fn keeps_to_it(settings: &LedgerSettings) {
    let runtime = runtime();
    let ledger = runtime.block_on(gateway::ledger::open(settings)).unwrap();
    // What has failed once stands here as a test of its own; a file of seeds would be read by nobody.
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let rows = AtomicUsize::new(0);
    TestRunner::new(config)
        .run(&vec(verb(), 1..40), |verbs| {
            let row = rows.fetch_add(1, Ordering::Relaxed);
            let bench = Bench { ledger: Arc::clone(&ledger), registry: format!("r{row}") };
            runtime.block_on(bench.compare(&verbs))
        })
        .unwrap();
}

fn verb() -> impl Strategy<Value = Verb> {
    let key = || 0..2_usize;
    let attempt = || 1..6_i64;
    let answer = any::<u8>;
    let span = || prop_oneof![Just(Span::Over), Just(Span::Endless)];
    prop_oneof![
        4 => (key(), 0..2_u8, any::<bool>(), any::<bool>(), span()).prop_map(
            |(key, application, announced, closed, lease)| {
                Verb::Admit { key, application, announced, closed, lease }
            },
        ),
        4 => (key(), span()).prop_map(|(key, lease)| Verb::ClaimQueued { key, lease }),
        2 => (key(), attempt(), span())
            .prop_map(|(key, attempt, delay)| Verb::Requeue { key, attempt, delay }),
        1 => (key(), answer()).prop_map(|(key, answer)| Verb::WithdrawQueued { key, answer }),
        3 => (key(), attempt(), span())
            .prop_map(|(key, attempt, quiet)| Verb::Announce { key, attempt, quiet }),
        1 => (key(), attempt(), answer())
            .prop_map(|(key, attempt, answer)| Verb::Settle { key, attempt, answer }),
        2 => (key(), attempt()).prop_map(|(key, attempt)| Verb::MarkUnknown { key, attempt }),
        2 => (key(), attempt(), span())
            .prop_map(|(key, attempt, delay)| Verb::Defer { key, attempt, delay }),
        2 => (key(), attempt()).prop_map(|(key, attempt)| Verb::Release { key, attempt }),
        3 => (key(), answer()).prop_map(|(key, answer)| Verb::Record { key, answer }),
        3 => span().prop_map(|lease| Verb::ClaimDue { lease }),
    ]
}

/// One row of verbs on a store, with keys of its own there.
struct Bench {
    ledger: Arc<dyn Ledger>,
    registry: String,
}

impl Bench {
    async fn compare(&self, verbs: &[Verb]) -> Result<(), TestCaseError> {
        let mut lives: [Option<Life<u8, u8>>; 2] = [None, None];
        for (position, verb) in verbs.iter().enumerate() {
            let (expected, said) = (expected(&mut lives, verb), self.said(verb).await);
            let kept = [self.kept(0).await, self.kept(1).await];
            let lived =
                lives.each_ref().map(|life| life.as_ref().map(|it| (it.state_at(0), it.answer)));
            if expected != said || kept != lived {
                return Err(TestCaseError::fail(format!(
                    "verb {position}, {verb:?}: expected {expected:?}, {lived:?}; \
                     the store said {said:?}, {kept:?}"
                )));
            }
        }
        Ok(())
    }

    async fn said(&self, verb: &Verb) -> Said {
        let ledger = &self.ledger;
        let done = match *verb {
            Verb::Admit { key, application, announced, closed, lease } => {
                let waiting = Some(self.waiting(key, closed));
                let claim = Claim { announced, waiting, ..self.claim(key, application, lease) };
                return match ledger.admit(&claim).await.unwrap() {
                    Admission::New(entry) => Said::Verdict(Verdict::New, entry.attempt),
                    Admission::AskFirst(entry) => Said::Verdict(Verdict::AskFirst, entry.attempt),
                    Admission::InFlight { .. } => Said::Verdict(Verdict::InFlight, 0),
                    Admission::Settled(_) => Said::Verdict(Verdict::Settled, 0),
                    Admission::Conflict { .. } => Said::Verdict(Verdict::Conflict, 0),
                    Admission::Retired(_) => Said::Verdict(Verdict::Retired, 0),
                    Admission::Queued { .. } => Said::Verdict(Verdict::Queued, 0),
                    // Two keys are two lives; what one loan may not do twice is tests/ledger.rs's to say.
                    Admission::Duplicate(other) => panic!("{other:?}"),
                };
            }
            Verb::Announce { key, attempt, quiet } => {
                let entry = self.entry(key, attempt);
                return Said::Announced(ledger.announce(&entry, quiet.length()).await.unwrap());
            }
            Verb::ClaimDue { lease } => {
                let taken = ledger.claim_due(&self.registry, 9, lease.length()).await.unwrap();
                let mut taken: Vec<_> = taken
                    .into_iter()
                    .map(|entry| (self.number(&entry.key), entry.attempt))
                    .collect();
                taken.sort_unstable();
                return Said::Taken(taken);
            }
            Verb::ClaimQueued { key, lease } => {
                let opening = Opening {
                    office: self.name(key),
                    registry: self.registry.clone(),
                    lease: lease.length(),
                    interval: Duration::ZERO,
                };
                // At the first time the office's pace is only noted.
                let mut taken = ledger.claim_queued(&opening).await.unwrap();
                if taken.is_none() {
                    taken = ledger.claim_queued(&opening).await.unwrap();
                }
                return match taken {
                    None => Said::Done,
                    Some(Taken { entry, ask_first, sealed }) => {
                        assert_eq!(sealed, self.waiting(key, true).sealed);
                        let verdict = if ask_first { Verdict::AskFirst } else { Verdict::New };
                        Said::Verdict(verdict, entry.attempt)
                    }
                };
            }
            Verb::Requeue { key, attempt, delay } => {
                ledger.requeue(&self.entry(key, attempt), delay.length()).await
            }
            Verb::WithdrawQueued { key, answer } => {
                let (name, answer) = (self.name(key), outcome(answer));
                let withdrawn = ledger.withdraw_queued("bank", &name, &answer).await.unwrap();
                return Said::Announced(withdrawn);
            }
            Verb::Settle { key, attempt, answer } => {
                ledger.settle(&self.entry(key, attempt), &outcome(answer), None).await
            }
            Verb::MarkUnknown { key, attempt } => {
                ledger.mark_unknown(&self.entry(key, attempt)).await
            }
            Verb::Defer { key, attempt, delay } => {
                ledger.defer(&self.entry(key, attempt), delay.length()).await
            }
            Verb::Release { key, attempt } => ledger.release(&self.entry(key, attempt)).await,
            Verb::Record { key, answer } => {
                let (institution, key) = ("bank".into(), self.name(key));
                let account =
                    Account { institution, key, outcome: outcome(answer), follow_up: None };
                return Said::Told(match ledger.record(&account).await.unwrap() {
                    Recorded::Same(_) => Some(Told::Same),
                    Recorded::News { .. } => Some(Told::News),
                    Recorded::Impossible(why, _) => Some(Told::Impossible(why)),
                    Recorded::Unheard => None,
                });
            }
        };
        match done {
            Ok(()) => Said::Done,
            Err(LedgerError::Corrupt(_)) => Said::NeverClaimed,
            Err(error @ LedgerError::Unavailable(_)) => panic!("{error:?}"),
        }
    }

    async fn kept(&self, key: Key) -> Option<(gateway::ledger::State, Option<u8>)> {
        let record = self.ledger.find("bank", &self.name(key)).await.unwrap()?;
        Some((record.state, record.outcome.as_ref().map(answer)))
    }

    fn name(&self, key: Key) -> String {
        format!("{}-{key}", self.registry)
    }

    fn number(&self, name: &str) -> Key {
        usize::from(name == self.name(1))
    }

    fn entry(&self, key: Key, attempt: i64) -> Entry {
        Entry {
            institution: "bank".into(),
            key: self.name(key),
            registry: self.registry.clone(),
            office: "1401".into(),
            attempt,
        }
    }

    fn claim(&self, key: Key, application: u8, lease: Span) -> Claim {
        Claim {
            institution: "bank".into(),
            key: self.name(key),
            fingerprint: Fingerprint { digest: [application; 32], leaves: vec![application] },
            booked: Booked::default(),
            matter: "mortgage_registration".into(),
            registry: self.registry.clone(),
            office: self.name(key),
            lease: lease.length(),
            announced: false,
            guards: Vec::new(),
            corrects: None,
            waiting: None,
        }
    }

    /// Each key is about a property of its own, at an office of its own.
    fn waiting(&self, key: Key, closed: bool) -> Waiting {
        let name = self.name(key);
        Waiting {
            closed,
            properties: vec![Guard::of(name.as_bytes())],
            sealed: Sealed { key: "2026".into(), bytes: name.into_bytes() },
        }
    }
}

/// What a verb answers.
#[derive(Debug, PartialEq)]
enum Said {
    /// To a claim, with the attempt where it was taken.
    Verdict(Verdict, i64),
    /// Whether it may be sent, or was withdrawn.
    Announced(bool),
    /// What was made of a registry's account.
    Told(Option<Told>),
    /// What was due, by key.
    Taken(Vec<(Key, i64)>),
    Done,
    NeverClaimed,
}

/// What the pure function says. Its clock stands still.
fn expected(lives: &mut [Option<Life<u8, u8>>; 2], verb: &Verb) -> Said {
    let mut with = |key: Key, verb: &dyn Fn(&mut Life<u8, u8>)| {
        lives[key].iter_mut().for_each(verb);
        Said::Done
    };
    match *verb {
        Verb::Admit { key, application, announced, closed, lease } => {
            // Behind itself in the queue it cannot be: what is there is answered before it is asked where it would stand.
            let lease = lease.units();
            let verdict = Life::admit(&mut lives[key], application, announced, closed, 0, lease);
            let attempt = lives[key].as_ref().map_or(0, |life| life.attempt);
            let taken = matches!(verdict, Verdict::New | Verdict::AskFirst);
            Said::Verdict(verdict, if taken { attempt } else { 0 })
        }
        Verb::Announce { key, attempt, quiet } => {
            let announced = |life: &mut Life<u8, u8>| life.announce(attempt, 0, quiet.units());
            Said::Announced(lives[key].as_mut().is_some_and(announced))
        }
        Verb::ClaimQueued { key, lease } => {
            let Some(life) = &mut lives[key] else { return Said::Done };
            match life.take_queued(0, lease.units()) {
                None => Said::Done,
                Some(verdict) => Said::Verdict(verdict, life.attempt),
            }
        }
        Verb::Requeue { key, attempt, delay } => {
            with(key, &|life| life.requeue(attempt, 0, delay.units()))
        }
        Verb::WithdrawQueued { key, answer } => {
            let withdrawn = |life: &mut Life<u8, u8>| life.withdraw_queued(answer, 0);
            Said::Announced(lives[key].as_mut().is_some_and(withdrawn))
        }
        Verb::Settle { key, answer, .. } => match &mut lives[key] {
            Some(life) => {
                life.settle(answer);
                Said::Done
            }
            None => Said::NeverClaimed,
        },
        Verb::MarkUnknown { key, attempt } => with(key, &|life| life.defer(attempt, 0, 0)),
        Verb::Defer { key, attempt, delay } => {
            with(key, &|life| life.defer(attempt, 0, delay.units()))
        }
        Verb::Release { key, attempt } => with(key, &|life| life.release(attempt, 0)),
        Verb::Record { key, answer } => {
            let judge = |known: &u8, told: &u8| case::judge(&outcome(*known), &outcome(*told));
            Said::Told(lives[key].as_mut().and_then(|life| life.record(answer, judge)))
        }
        Verb::ClaimDue { lease } => {
            let due = |(key, life): (Key, &mut Option<Life<u8, u8>>)| {
                let life = life.as_mut()?;
                life.take_due(0, lease.units()).then_some((key, life.attempt))
            };
            Said::Taken(lives.iter_mut().enumerate().filter_map(due).collect())
        }
    }
}

/// Answers are of all the states a case can be in, and then some.
fn outcome(answer: u8) -> Outcome {
    let correction = Correction { deadline: answer.to_string(), items: Vec::new() };
    Outcome {
        case_id: "YWH-1".into(),
        status: i32::from(answer % 17),
        correction: Some(correction),
        ..Outcome::default()
    }
}

fn answer(outcome: &Outcome) -> u8 {
    outcome.correction.as_ref().unwrap().deadline.parse().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
