//! Replicas are replaced one after the other by a newer version, which changes the ledger, while banks file all the time: no
//! exchange fails, and nothing is registered twice.
//!
//! What stands before the gateways is played here: it sends nobody to one that is about to go. Half of the callers come anew
//! with each message, and must never notice. The others stay on their connection until it ends; what they sent into its
//! end they send again under the same key, as banks do.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test file, helpers and all")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use conformance_tests::{
    bench::filing::Filing,
    deployment::{Deployment, Plan, program_with_fault_points},
    fake_bank::{FakeBank, Heard, Line},
    postgres_server::PostgresServer,
    samples,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_postgres::NoTls;

const BANK: &str = "yunshui";
const CASE: &str = "first_general";
const REPLICAS: usize = 2;
const CALLERS: usize = 8;
/// How many filings are answered before, between and after replacements.
const FILINGS: u64 = 60;
/// How long anything may take that comes sooner or later.
const PATIENCE: Duration = Duration::from_secs(120);

/// Adds, and takes nothing away: what was there before does not know of it.
const EXPANDS: &str = "ALTER TABLE filing ADD COLUMN remark text;";

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_replaced_by_a_newer_version_and_no_exchange_fails() {
    let newer = tokio::task::spawn_blocking(program_with_fault_points).await.unwrap().unwrap();
    let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap().unwrap();
    let address = server.make_database().await.unwrap();
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let ledger = toml::Table::from_iter([("postgres".to_owned(), address.as_str().into())]);
    let one = Plan::of_one(BANK, &contracts, "").unwrap();
    let plan = Plan { replicas: REPLICAS, ledger, ..one };
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
    deployment.start().await.unwrap();

    let contract = Arc::new(samples::contract(&contracts.join(BANK)).unwrap());
    let filing = Arc::new(Filing::load(&contract, &contracts.join(BANK), CASE).unwrap());
    let bank = FakeBank::new(&deployment, BANK, Arc::clone(&contract)).unwrap();
    let banks = deployment.gateways.iter().map(|gateway| bank.at(gateway)).collect();
    let front = Arc::new(Front::before(banks));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let caller = Caller { front: Arc::clone(&front), filing: Arc::clone(&filing) };
        match number % 2 {
            0 => callers.spawn(async move { caller.come_anew().await }),
            _ => callers.spawn(async move { caller.stay().await }),
        };
    }

    let migration = deployment.folder().join("next.sql");
    fs::write(&migration, EXPANDS).unwrap();
    for number in 0..REPLICAS {
        front.answered_more(FILINGS).await;
        front.send_nobody_to(number).await;
        let gateway = &mut deployment.gateways[number];
        gateway.tell_to_stop().await.unwrap();
        assert!(gateway.stopped().await.unwrap().success(), "{}", gateway.log_text());
        gateway.program = Some(newer.clone());
        let next = migration.display().to_string();
        gateway.environment.insert("DIRECTLINK_NEXT_MIGRATION".to_owned(), next);
        gateway.start().await.unwrap();
        front.places[number].is_open.store(true, Ordering::SeqCst);
    }
    front.answered_more(FILINGS).await;
    front.is_closing.store(true, Ordering::SeqCst);
    let mut repeated = 0;
    while let Some(caller) = callers.join_next().await {
        repeated += caller.unwrap();
    }

    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let remarks = someone.query_one("SELECT count(remark) FROM filing", &[]).await;
    assert_eq!(remarks.unwrap().get::<_, i64>(0), 0, "the newer version changed the ledger");
    drop(someone);
    connection.await.unwrap().unwrap();
    let (counts, answered) = (deployment.registry.control().counts(), front.answered());
    eprintln!("{answered} filings answered, {repeated} of them sent again");
    let cases = deployment.registry.control().cases();
    assert_eq!(cases.len() as u64, answered, "one case a filing: {counts:?}");
    assert!(counts.registrations_per_key_max <= 1, "{counts:?}");
}

/// What stands before the gateways.
struct Front {
    places: Vec<Place>,
    is_closing: AtomicBool,
    serials: AtomicU64,
    answered: watch::Sender<u64>,
}

struct Place {
    bank: FakeBank,
    is_open: AtomicBool,
    /// Messages of those who come anew that are on their way.
    under_way: watch::Sender<u64>,
}

impl Front {
    fn before(banks: Vec<FakeBank>) -> Self {
        let place =
            |bank| Place { bank, is_open: AtomicBool::new(true), under_way: watch::Sender::new(0) };
        Self {
            places: banks.into_iter().map(place).collect(),
            is_closing: AtomicBool::new(false),
            serials: AtomicU64::new(0),
            answered: watch::Sender::new(0),
        }
    }

    /// A gateway that is open, each in its turn.
    fn place(&self, turn: u64) -> &Place {
        let open: Vec<&Place> =
            self.places.iter().filter(|place| place.is_open.load(Ordering::SeqCst)).collect();
        open[usize::try_from(turn).unwrap() % open.len()]
    }

    /// Waits until whoever was sent there has been answered.
    async fn send_nobody_to(&self, number: usize) {
        let place = &self.places[number];
        place.is_open.store(false, Ordering::SeqCst);
        let mut under_way = place.under_way.subscribe();
        let none = under_way.wait_for(|messages| *messages == 0);
        timeout(PATIENCE, none).await.expect("a message is not answered").unwrap();
    }

    fn answered(&self) -> u64 {
        *self.answered.borrow()
    }

    async fn answered_more(&self, filings: u64) {
        let goal = self.answered() + filings;
        let mut answered = self.answered.subscribe();
        let enough = answered.wait_for(|answered| *answered >= goal);
        timeout(PATIENCE, enough).await.expect("filings are not answered").unwrap();
    }
}

/// One who files one message after the other.
struct Caller {
    front: Arc<Front>,
    filing: Arc<Filing>,
}

impl Caller {
    /// On a connection of its own for each. Returns how many it had to send again: none.
    async fn come_anew(self) -> u64 {
        while !self.front.is_closing.load(Ordering::SeqCst) {
            let (number, place) = loop {
                let number = self.next();
                let place = self.front.place(number);
                place.under_way.send_modify(|messages| *messages += 1);
                // It may have been closed since it was chosen.
                if place.is_open.load(Ordering::SeqCst) {
                    break (number, place);
                }
                place.under_way.send_modify(|messages| *messages -= 1);
            };
            let mut line = place.bank.connect().await.unwrap();
            let heard = line.ask(None, self.filing.request(number)).await.unwrap();
            place.under_way.send_modify(|messages| *messages -= 1);
            assert!(accepted(&heard), "{}", heard.text());
            self.front.answered.send_modify(|answered| *answered += 1);
        }
        0
    }

    /// On one connection until it ends. Returns how many messages it had to send again.
    async fn stay(self) -> u64 {
        let (mut line, mut repeated) = (self.connect().await, 0);
        while !self.front.is_closing.load(Ordering::SeqCst) {
            let request = self.filing.request(self.next());
            loop {
                let heard = line.ask(None, request.clone()).await.unwrap();
                if accepted(&heard) {
                    break;
                }
                assert!(heard.is_nothing(), "{}", heard.text());
                (line, repeated) = (self.connect().await, repeated + 1);
            }
            self.front.answered.send_modify(|answered| *answered += 1);
        }
        repeated
    }

    async fn connect(&self) -> Line {
        loop {
            let place = self.front.place(self.next());
            if let Ok(line) = place.bank.connect().await {
                return line;
            }
        }
    }

    fn next(&self) -> u64 {
        self.front.serials.fetch_add(1, Ordering::SeqCst)
    }
}

fn accepted(heard: &Heard) -> bool {
    heard.case().is_some()
}
