//! Networks that fail, between the gateway and the registry and between the gateway and Postgres: what a bank is told
//! while they do, that nothing is sent while the ledger is away, and that there is one case when all is well again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{path::Path, sync::Arc, time::Duration};

use adapters::{Contract, Reply};
use conformance_tests::{
    deployment::{Deployment, Plan},
    fake_bank::{FakeBank, Heard},
    faulty_network::{Condition, FaultyNetwork, Server},
    postgres_server::PostgresServer,
    reference_registry::{Call, Control, Fault, Repeats, Settings},
    samples::{self, Samples},
    scenario::Change,
};
use tokio::time::{Instant, sleep};

/// Its contract tells codes as they are.
const BANK: &str = "songlai";
const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_cannot_be_reached_gets_nothing_and_the_bank_is_told_no() {
    let mut stage = Stage::over_sqlite(Promise::FirstCase).await;
    stage.to_registry.turn(Condition::Cut);
    stage.hears_refusal("REGISTRY_UNAVAILABLE", "NO").await;
    assert_eq!(stage.control().counts().submits, 0);
    stage.to_registry.turn(Condition::Sound);
    stage.ends_with_one_case().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filing_reset_after_any_number_of_bytes_is_sent_once_to_a_registry_that_promises_nothing()
{
    let mut stage = Stage::over_sqlite(Promise::Nothing).await;
    for bytes in [1, 10, 100, 500, 1_000, 2_000, 3_000, 4_000] {
        stage.next_filing();
        stage.to_registry.turn(Condition::CutAfter(bytes));
        let heard = stage.ask().await;
        stage.to_registry.turn(Condition::Sound);
        let key = stage.control().received().last().map(|call| call.key.clone());
        let counts = stage.control().counts();
        assert!(counts.keys.values().all(|key| key.submits <= 1), "{bytes}: {counts:?}");
        match heard {
            // Nothing at all was sent, it says: then the registry has nothing, and the bank may come again.
            Told::Refusal { sent, .. } if sent == "NO" => {
                stage.hears_an_outcome().await;
            }
            Told::Refusal { code, sent } => {
                assert_eq!(
                    (code.as_str(), sent.as_str()),
                    ("OUTCOME_UNKNOWN", "UNKNOWN"),
                    "{bytes}"
                );
            }
            Told::Outcome { .. } => {}
            Told::Nothing(why) => panic!("{bytes}, {key:?}: {why}"),
        }
        assert!(stage.control().counts().keys.values().all(|key| key.submits <= 1), "{bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filing_reset_after_any_number_of_bytes_registers_once_where_that_is_promised() {
    let mut stage = Stage::over_sqlite(Promise::FirstCase).await;
    for bytes in [1, 100, 1_000, 2_000, 4_000] {
        stage.next_filing();
        stage.to_registry.turn(Condition::CutAfter(bytes));
        stage.hears_an_outcome().await;
        let counts = stage.control().counts();
        assert_eq!(counts.registrations_per_key_max, 1, "{bytes}: {counts:?}");
    }
    assert_eq!(stage.control().counts().cases, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_off_after_the_registry_acted_is_found_out() {
    let mut stage = Stage::over_sqlite(Promise::Nothing).await;
    stage.warm_up().await;
    stage.to_registry.turn(Condition::Deaf);
    let control = stage.control().clone();
    let (heard, ()) = tokio::join!(stage.ask(), async {
        control.when(|counts| counts.cases == 2).await;
        stage.to_registry.reset();
    });
    assert!(heard.refuses("OUTCOME_UNKNOWN", "UNKNOWN"), "{heard:?}");
    stage.to_registry.turn(Condition::Sound);
    stage.hears_an_outcome().await;
    let counts = stage.control().counts();
    assert_eq!((counts.cases, counts.submits), (2, 2), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_half_open_or_too_slow_is_an_unknown_outcome_in_time() {
    let mut stage = Stage::over_sqlite(Promise::FirstCase).await;
    for condition in [Condition::HalfOpen, Condition::Slow(Duration::from_secs(2))] {
        stage.warm_up().await;
        stage.to_registry.turn(condition);
        let begun = Instant::now();
        stage.hears_refusal("OUTCOME_UNKNOWN", "UNKNOWN").await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{condition:?}: {:?}", begun.elapsed());
        stage.to_registry.turn(Condition::Sound);
        stage.hears_an_outcome().await;
        let counts = stage.control().counts();
        assert_eq!(counts.registrations_per_key_max, 1, "{condition:?}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_cannot_be_reached_nothing_is_sent() {
    let mut stage = Stage::over_postgres().await;
    for condition in [Condition::Cut, Condition::HalfOpen] {
        stage.next_filing();
        let before = stage.control().counts().submits;
        stage.to_ledger().turn(condition);
        stage.hears_refusal("LEDGER_UNAVAILABLE", "NO").await;
        assert_eq!(stage.control().counts().submits, before, "{condition:?}");
        stage.to_ledger().turn(Condition::Sound);
        stage.hears_an_outcome().await;
        assert_eq!(stage.control().counts().submits, before + 1, "{condition:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_postgres_took_and_nobody_heard_of_sends_nothing_until_its_lease_is_over() {
    let mut stage = Stage::over_postgres().await;
    stage.warm_up().await;
    stage.to_ledger().turn(Condition::Deaf);
    stage.hears_refusal("LEDGER_UNAVAILABLE", "NO").await;
    assert_eq!(stage.control().counts().submits, 1, "the one before");
    stage.to_ledger().turn(Condition::Sound);
    stage.hears_an_outcome().await;
    let counts = stage.control().counts();
    assert_eq!((counts.cases, counts.submits), (2, 2), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_could_not_be_recorded_is_true_and_asked_for_again() {
    let stage = Stage::over_postgres().await;
    let control = stage.control().clone();
    control.order(Call::Submit, [Fault::Hold]);
    let (heard, ()) = tokio::join!(stage.ask(), async {
        control.when(|counts| counts.submits == 1).await;
        stage.to_ledger().turn(Condition::Cut);
        control.release();
    });
    let Told::Outcome { case } = heard else { panic!("{heard:?}") };
    stage.to_ledger().turn(Condition::Sound);
    assert_eq!(stage.hears_an_outcome().await, case);
    let counts = stage.control().counts();
    assert_eq!((counts.cases, counts.submits), (1, 1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_cut_off_after_any_number_of_bytes_leaves_one_case() {
    let mut stage = Stage::over_postgres().await;
    for bytes in [1, 50, 300, 900, 1_500, 3_000] {
        stage.next_filing();
        stage.to_ledger().turn(Condition::CutAfter(bytes));
        stage.hears_an_outcome().await;
        let counts = stage.control().counts();
        assert_eq!(counts.registrations_per_key_max, 1, "{bytes}: {counts:?}");
    }
    assert_eq!(stage.control().counts().cases, 6);
}

/// What the registry promises of a key that comes twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    FirstCase,
    Nothing,
}

/// What a bank heard.
#[derive(Debug)]
enum Told {
    Outcome { case: String },
    Refusal { code: String, sent: String },
    Nothing(String),
}

impl Told {
    fn refuses(&self, wanted: &str, what: &str) -> bool {
        matches!(self, Self::Refusal { code, sent } if code == wanted && sent == what)
    }
}

struct Stage {
    deployment: Deployment,
    bank: FakeBank,
    contract: Arc<Contract>,
    samples: Samples,
    bytes: Vec<u8>,
    serial: u32,
    to_registry: FaultyNetwork,
    postgres: Option<(FaultyNetwork, PostgresServer)>,
}

impl Stage {
    async fn over_sqlite(promise: Promise) -> Self {
        Self::set(promise, "ledger.db", None).await
    }

    async fn over_postgres() -> Self {
        let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap().unwrap();
        let url = server.make_database().await.unwrap();
        let network = FaultyNetwork::open().await.unwrap();
        network.lead_to(Server::Unix(server.socket()));
        let near = server.through(&url, network.address());
        Self::set(Promise::FirstCase, &near, Some((network, server))).await
    }

    async fn set(
        promise: Promise,
        ledger: &str,
        postgres: Option<(FaultyNetwork, PostgresServer)>,
    ) -> Self {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let to_registry = FaultyNetwork::open().await.unwrap();
        let idempotent = promise == Promise::FirstCase;
        let settings = format!(
            "[registry]\naddress = \"https://{}\"\nidempotent = {idempotent}\n\
             deadline_seconds = 1\nconnect_seconds = 1",
            to_registry.address()
        );
        let mut plan = Plan::of_one(BANK, &contracts, &settings).unwrap();
        plan.ledger = toml::Table::new();
        let store = if postgres.is_some() { "postgres" } else { "sqlite" };
        plan.ledger.insert(store.into(), ledger.into());
        plan.ledger.insert("lease_seconds".into(), 2.into());
        if postgres.is_some() {
            plan.ledger.insert("wait_seconds".into(), 1.into());
            plan.ledger.insert("statement_seconds".into(), 1.into());
        }
        let repeats = if idempotent { Repeats::FirstCase } else { Repeats::NewCase };
        let mut deployment =
            Deployment::prepare(&plan, |settings| Settings { repeats, ..settings }).await.unwrap();
        to_registry.lead_to(Server::Tcp(deployment.registry.address()));
        deployment.start().await.unwrap();
        let folder = contracts.join(BANK);
        let contract = Arc::new(samples::contract(&folder).unwrap());
        let bank = FakeBank::new(&deployment, BANK, Arc::clone(&contract)).unwrap();
        let samples = Samples::of(&folder).unwrap();
        let bytes = samples.request("first_general").unwrap();
        Self { deployment, bank, contract, samples, bytes, serial: 0, to_registry, postgres }
    }

    fn control(&self) -> &Control {
        self.deployment.registry.control()
    }

    fn to_ledger(&self) -> &FaultyNetwork {
        &self.postgres.as_ref().unwrap().0
    }

    fn next_filing(&mut self) {
        self.serial += 1;
        let end = format!("{:06}", self.serial);
        let changes = ["exchange.serial", "matter.contract_number"]
            .map(|path| Change::End(path.to_owned(), end.clone()));
        let changed = self.samples.changed(&self.contract, "first_general", &changes).unwrap();
        let (message, envelope) = changed;
        let written = self.contract.encode(Some(&message), Reply::Request, &envelope);
        self.bytes = written.unwrap_or_else(|cannot| panic!("{}", cannot.reason));
    }

    /// Files something, so that connections stand, and is about to file something else.
    async fn warm_up(&mut self) {
        self.next_filing();
        self.hears_an_outcome().await;
        self.next_filing();
    }

    async fn ask(&self) -> Told {
        let mut line = self.bank.connect().await.unwrap();
        match line.ask(None, self.bytes.clone()).await.unwrap() {
            Heard::Answer { reply: Reply::Refusal, envelope, .. } => {
                let refusal = envelope.outcome.unwrap().refusal.unwrap();
                let sent = refusal.sent().as_str_name().trim_start_matches("SENT_").to_owned();
                Told::Refusal { code: refusal.code, sent }
            }
            Heard::Answer { envelope, .. } => {
                Told::Outcome { case: envelope.outcome.unwrap().case_id }
            }
            Heard::Nothing(why) => Told::Nothing(why),
        }
    }

    async fn hears_refusal(&self, code: &str, sent: &str) {
        let heard = self.ask().await;
        assert!(heard.refuses(code, sent), "{heard:?}\n{}", self.deployment.log_text());
    }

    /// Repeats as banks do; there is no event to wait for on their side of the wire.
    async fn hears_an_outcome(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask().await {
                Told::Outcome { case } => return case,
                other => assert!(Instant::now() < deadline, "{other:?}"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ends_with_one_case(&mut self) {
        let case = self.hears_an_outcome().await;
        assert_eq!(self.hears_an_outcome().await, case);
        let counts = self.control().counts();
        assert_eq!((counts.cases, counts.registrations_per_key_max), (1, 1), "{counts:?}");
    }
}
