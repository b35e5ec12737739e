//! The real process dies by SIGKILL at every fault point, over both stores; it is started again, and the bank goes on as
//! banks do, with the same message until it hears. Then there is one case, the one the bank heard of, and nothing is open.
//!
//! That a process which was not killed at its point is a failure shows that each point is passed. The program with the
//! points is built here, beside the one that has none.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[path = "fault_points/told.rs"]
mod told;

use adapters::Reply;
use conformance_tests::{
    deployment::{Deployment, Plan, program, program_with_fault_points},
    fake_bank::{FakeBank, Heard, Line},
    postgres_server::PostgresServer,
    reference_registry::{Call, Fault, Repeats, Review, Silence, Step},
    reserved_port::ReservedPort,
    samples::{self, Samples},
    scenario::clock,
};
use futures_util::{StreamExt, stream};
use gateway::{
    fault::Point,
    ledger::{LedgerSettings, PostgresSettings, SqliteSettings, State},
};
use proto::v1::CaseStatus;
use tokio::time::{Instant, sleep, timeout};

const BANK: &str = "yunshui";
const SIGKILL: i32 = 9;
/// How long anything may take that comes sooner or later.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a registry may take, in seconds: where the deadline is what is waited for, and elsewhere. The lease is a second
/// longer.
const DEADLINE_OF_SILENCE: u64 = 3;
const DEADLINE: u64 = 10;

/// What has to happen so that an exchange or the resolver comes by a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A filing is sent.
    Plain,
    /// A filing is sent to a registry that promises nothing; settings say when it may be sent again.
    Announced,
    /// The registry acts, and its answer does not come.
    Unanswered,
    /// The same, and the bank asks again.
    UnansweredAndAgain,
    /// The registry gets it and does nothing, and its answer does not come.
    Lost,
    /// The registry says once that it is unavailable, and promises idempotency.
    TriedAgain,
    /// The registry is down.
    Down,
    /// The case moves on, and the bank asks again.
    MovedOn,
    /// The registry has a stream of events.
    Told,
    /// The registry must be asked what became of a case.
    Polled,
    /// The office is closed, and opens.
    Queued,
    /// The same, at a registry that promises nothing.
    QueuedAnnounced,
    /// The same; the registry acts, and its answer does not come.
    QueuedUnanswered,
    /// The bank is told by notices.
    Notified,
}

fn way_to(point: Point) -> Way {
    match point {
        Point::BeforeAdmit
        | Point::Admitted
        | Point::HandedOver
        | Point::BeforeSettle
        | Point::Settled
        | Point::BeforeAnswer
        | Point::BeforeCommit
        | Point::Committed => Way::Plain,
        Point::Announced => Way::Announced,
        Point::BeforeMarkUnknown
        | Point::MarkedUnknown
        | Point::DueTaken
        | Point::Asked
        | Point::Resolved => Way::Unanswered,
        Point::AskedFirst => Way::UnansweredAndAgain,
        Point::Deferred => Way::Lost,
        Point::BetweenTries => Way::TriedAgain,
        Point::BeforeRelease | Point::Released => Way::Down,
        Point::BeforeUpdate => Way::MovedOn,
        Point::Heard | Point::HeardRecorded => Way::Told,
        Point::FollowUpTaken | Point::FollowedUp => Way::Polled,
        Point::TurnTaken | Point::NoticeTaken | Point::TurnRecorded => Way::Notified,
        Point::Queued | Point::QueueTaken | Point::BeforeQueueSettle | Point::QueueSettled => {
            Way::Queued
        }
        Point::QueueAnnounced => Way::QueuedAnnounced,
        Point::QueueAsked | Point::BeforeRequeue => Way::QueuedUnanswered,
    }
}

/// Only where the resolver is to die does it look often; else it would be there before the bank.
fn is_resolvers(point: Point) -> bool {
    matches!(point, Point::DueTaken | Point::Asked | Point::Resolved | Point::Deferred)
}

fn is_sqlites(point: Point) -> bool {
    matches!(point, Point::BeforeCommit | Point::Committed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_anywhere_over_sqlite() {
    let program = program_with_fault_points().unwrap();
    let deaths = Point::ALL.map(|point| {
        let program = program.clone();
        async move {
            let mut table = toml::Table::new();
            table.insert("sqlite".into(), "ledger.db".into());
            let dying = dies_at(point, program, table, |folder| {
                LedgerSettings::Sqlite(SqliteSettings { path: folder.join("ledger.db") })
            });
            Box::pin(dying).await;
        }
    });
    stream::iter(deaths).buffer_unordered(AT_A_TIME).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_anywhere_over_postgres() {
    let program = program_with_fault_points().unwrap();
    let server = Arc::new(PostgresServer::start().unwrap());
    let points = Point::ALL.into_iter().filter(|point| !is_sqlites(*point));
    let deaths = points.map(|point| {
        let (program, server) = (program.clone(), Arc::clone(&server));
        async move {
            let url = server.make_database().await.unwrap();
            let mut table = toml::Table::new();
            table.insert("postgres".into(), url.clone().into());
            let dying = dies_at(point, program, table, |_| {
                LedgerSettings::Postgres(PostgresSettings {
                    url,
                    password_file: None,
                    tls: None,
                    pool_size_max: 2,
                    wait: PATIENCE,
                    statement_timeout: PATIENCE,
                })
            });
            Box::pin(dying).await;
        }
    });
    stream::iter(deaths).buffer_unordered(AT_A_TIME).collect::<()>().await;
}

/// Most of a death is waiting for a lease to run out.
const AT_A_TIME: usize = 4;

#[test]
fn the_program_that_serves_banks_has_none() {
    let says_it = |program: &Path| {
        let bytes = std::fs::read(program).unwrap();
        bytes.windows(18).any(|word| word == b"DIRECTLINK_DIES_AT")
    };
    assert!(says_it(&program_with_fault_points().unwrap()));
    assert!(!says_it(&program("directlink").unwrap()));
}

async fn dies_at(
    point: Point,
    program: PathBuf,
    mut ledger: toml::Table,
    settings: impl FnOnce(&Path) -> LedgerSettings,
) {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let folder = contracts.join(BANK);
    let bytes = Samples::of(&folder).unwrap().request("first_general").unwrap();
    let contract = Arc::new(samples::contract(&folder).unwrap());
    let way = way_to(point);
    let idempotent = match way {
        Way::Plain
        | Way::Lost
        | Way::TriedAgain
        | Way::Down
        | Way::MovedOn
        | Way::Told
        | Way::Polled
        | Way::Notified
        | Way::Queued => true,
        Way::Announced
        | Way::Unanswered
        | Way::UnansweredAndAgain
        | Way::QueuedAnnounced
        | Way::QueuedUnanswered => false,
    };
    let deadline = match way {
        Way::Unanswered
        | Way::UnansweredAndAgain
        | Way::Lost
        | Way::Announced
        | Way::QueuedAnnounced
        | Way::QueuedUnanswered => DEADLINE_OF_SILENCE,
        Way::Plain
        | Way::TriedAgain
        | Way::Down
        | Way::MovedOn
        | Way::Told
        | Way::Polled
        | Way::Notified
        | Way::Queued => DEADLINE,
    };
    let again = if idempotent {
        String::new()
    } else {
        format!("resend_unknown_after_seconds = {}", 2 * deadline)
    };
    let answers = match way {
        Way::Told => "events",
        Way::Polled => "polled",
        _ => "at_once",
    };
    let often = if is_resolvers(point) || answers != "at_once" { 1 } else { 60 };
    let over = format!(
        "[resolver]\nfirst_seconds = {often}\nlongest_seconds = 60\n\
         [registry]\ndeadline_seconds = {deadline}\nidempotent = {idempotent}\n\
         answers = \"{answers}\"\npoll_first_seconds = 1\n{again}"
    );
    let over = match way.is_queued() {
        true => format!(
            "{over}\n[queue]\nkey_file = \"queue.keys\"\n[office]\nhours = [\"1-5 09:00-17:00\"]"
        ),
        false => over,
    };
    let told_at = (way == Way::Notified).then(|| ReservedPort::reserve().unwrap());
    let over = match &told_at {
        Some(port) => format!("{over}\n{}", told::settings(BANK, port.address)),
        None => over,
    };
    ledger.insert("lease_seconds".into(), i64::try_from(deadline + 1).unwrap().into());
    let plan = Plan { ledger, ..Plan::of_one(BANK, &contracts, &over).unwrap() };
    let mut deployment = Deployment::prepare(&plan, |settings| {
        let review = if way == Way::MovedOn { Review::OnCommand } else { Review::AtOnce };
        let repeats = if idempotent { Repeats::FirstCase } else { Repeats::NewCase };
        conformance_tests::reference_registry::Settings { review, repeats, ..settings }
    })
    .await
    .unwrap();
    let receiver = match &told_at {
        Some(port) => Some(told::receiver(&deployment, &contracts, port.address).await),
        None => None,
    };
    let mut gateway = deployment.gateways.remove(0);
    gateway.program = Some(program);
    if way.is_queued() {
        gateway.clock = Some(clock::offset_to("Sunday 20:00", time::Duration::ZERO).unwrap());
    }
    let armed = deployment.folder().join("armed");
    let dies_at = format!("{point:?}:1@{}", armed.display());
    gateway.environment.insert("DIRECTLINK_DIES_AT".into(), dies_at);
    let control = deployment.registry.control().clone();
    gateway.start().await.unwrap();
    // That call of its own is behind it: the next one is the bank's.
    timeout(PATIENCE, control.when(|counts| counts.descriptions > 0)).await.unwrap();
    std::fs::write(armed, "").unwrap();

    let silent = Silence::Never;
    match way {
        Way::Plain
        | Way::Announced
        | Way::MovedOn
        | Way::Told
        | Way::Polled
        | Way::Notified
        | Way::Queued
        | Way::QueuedAnnounced => {}
        Way::Unanswered | Way::UnansweredAndAgain | Way::QueuedUnanswered => {
            control.order(Call::Submit, [Fault::DropAfterCommit { how: silent }]);
        }
        Way::Lost => control.order(Call::Submit, [Fault::DropBeforeCommit { how: silent }]),
        Way::TriedAgain => control.order(Call::Submit, [Fault::Unavailable]),
        Way::Down => control.down().await,
    }
    deployment.gateways.push(gateway);
    let bank = FakeBank::new(&deployment, BANK, Arc::clone(&contract)).unwrap();
    let mut gateway = deployment.gateways.remove(0);
    let first = bank.connect().await.unwrap();
    let filing = tokio::spawn(files(bank.clone(), first, bytes.clone(), way, control.clone()));
    if way.is_queued() {
        let sunday = gateway.clock.unwrap();
        until(|| filing.is_finished()).await;
        gateway.turn_clock(clock::offset_to("Monday 09:00", sunday).unwrap()).unwrap();
    }
    let status = gateway.stopped().await.unwrap_or_else(|_| panic!("{point:?} was not passed"));
    assert_eq!(status.signal(), Some(SIGKILL), "{point:?}: {status}\n{}", gateway.log_text());
    filing.await.unwrap();

    if way == Way::Down {
        control.up().await.unwrap();
    }
    gateway.environment.clear();
    gateway.start().await.unwrap_or_else(|error| panic!("{point:?}: {error:#}"));
    let case = hears_an_outcome(&bank, &bytes, point).await;
    let again = hears_an_outcome(&bank, &bytes, point).await;
    let counts = control.counts();
    assert_eq!((case.as_str(), counts.cases), (again.as_str(), 1), "{point:?}: {counts:?}");
    assert_eq!(counts.registrations_per_key_max, 1, "{point:?}: {counts:?}");
    let held = control.cases().remove(0);
    assert_eq!(held.case_id, case, "{point:?}");
    if let Some(receiver) = &receiver {
        told::is_told_again(receiver, point).await;
    }

    gateway.tell_to_stop().await.unwrap();
    assert!(gateway.stopped().await.unwrap().success(), "{point:?}");
    let ledger = gateway::ledger::open(&settings(deployment.folder())).await.unwrap();
    let record = ledger.find(BANK, &held.key).await.unwrap().unwrap();
    assert_eq!(record.state, State::Settled, "{point:?}");
    assert_eq!(record.outcome.unwrap().case_id, case, "{point:?}");
}

impl Way {
    fn is_queued(self) -> bool {
        matches!(self, Self::Queued | Self::QueuedAnnounced | Self::QueuedUnanswered)
    }
}

/// A task of this process ends; there is nothing else to wait for than that it has.
async fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "the bank was not answered");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What the bank does until its gateway is dead.
async fn files(
    bank: FakeBank,
    mut line: Line,
    bytes: Vec<u8>,
    way: Way,
    control: conformance_tests::reference_registry::Control,
) {
    let heard = line.ask(None, bytes.clone()).await.unwrap();
    if way == Way::MovedOn {
        assert!(!heard.is_nothing());
        control.advance_all(Step::Register);
    }
    if matches!(way, Way::MovedOn | Way::UnansweredAndAgain) {
        // It is dead already, or dies over this.
        if let Ok(mut line) = bank.connect().await {
            line.ask(None, bytes).await.unwrap();
        }
    }
}

/// The case of the answer. A bank comes again after a while; there is no event to wait for on its side of the wire.
async fn hears_an_outcome(bank: &FakeBank, bytes: &[u8], point: Point) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::new();
    while Instant::now() < deadline {
        let mut line = bank.connect().await.unwrap();
        match line.ask(None, bytes.to_vec()).await.unwrap() {
            Heard::Answer { reply: Reply::Outcome, envelope, .. } => {
                let outcome = envelope.outcome.unwrap();
                if outcome.status() != CaseStatus::QueuedOutOfHours {
                    return outcome.case_id;
                }
            }
            other => last = other.text().to_owned(),
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{point:?}: no outcome in time: {last}")
}
