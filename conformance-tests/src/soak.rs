//! A soak: many banks file, retry, repeat, change, ask and discharge at random, while processes, networks, the registry and
//! the ledger fail; what they said and heard is judged afterwards by `history/check.rs`.
//!
//! Gateways are real processes, the networks real sockets, Postgres a real server. `soak/traffic.rs` is what banks do,
//! `soak/trouble.rs` what is done to the system. The seed decides both, but not when a busy machine gets to it: two runs
//! with one seed are alike, not the same. docs/soak.md.

mod traffic;
mod trouble;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use gateway::{
    evidence::{audit, checkpoint::PublicKey},
    ledger::{Ledger, LedgerSettings, PostgresSettings, SqliteSettings},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

pub use trouble::Fault;

use crate::{
    deployment::{Deployment, EVIDENCE_PUBLIC_KEY, Places, Plan},
    fake_bank::FakeBank,
    faulty_network::{FaultyNetwork, Server},
    history::{
        self, Filing, Line, Writer,
        check::{self, Judgement},
    },
    postgres_server::PostgresServer,
    programme,
    reference_registry::{self, Repeats},
    scenario::StoreKind,
};
use traffic::{Client, Speaker};
use trouble::System;

/// What to do.
#[derive(Debug, Clone)]
pub struct Order {
    /// Folder of the contracts.
    pub contracts: PathBuf,
    /// Where the ledger is.
    pub store: StoreKind,
    /// How many gateways; more than one need a store that can be shared.
    pub replicas: usize,
    /// How long, at most.
    pub time: Duration,
    /// How many calls of banks, about.
    pub operations_max: u64,
    /// Decides what banks do and what goes wrong.
    pub seed: u64,
    /// What the registry makes of a key that comes again, and is declared to.
    pub repeats: Repeats,
    /// What may go wrong.
    pub faults: BTreeSet<Fault>,
    /// How many calls are made at a time.
    pub clients: usize,
    /// Where the history is written.
    pub history: PathBuf,
}

/// What the banks share.
struct Shared {
    history: Writer,
    calls: AtomicU64,
    stop: CancellationToken,
}

/// How long banks may take to settle what is open, once nothing goes wrong any more.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(120);

/// Soaks, and judges. `tell` hears how far it is.
///
/// # Errors
/// The system could not be built, or could not be brought back to calm.
pub async fn run(order: &Order, tell: impl Fn(&str)) -> anyhow::Result<Judgement> {
    ensure!(
        order.replicas == 1 || order.store == StoreKind::Postgres,
        "a SQLite ledger serves one gateway"
    );
    let speakers = traffic::speakers(programme::roles(&order.contracts)?)?;
    let (mut system, banks, ledger) = build(order, &speakers).await?;
    tell(&format!(
        "{} banks, {} calls at a time, {} gateways, {} ledger, seed {}",
        speakers.len(),
        order.clients,
        order.replicas,
        order.store.name(),
        order.seed,
    ));

    let shared = Arc::new(Shared {
        history: Writer::create(&order.history)?,
        calls: AtomicU64::new(0),
        stop: CancellationToken::new(),
    });
    let mut clients = JoinSet::new();
    for number in 0..order.clients {
        let bank = number % speakers.len();
        let (speaker, lines) = (Arc::clone(&speakers[bank]), banks[bank].clone());
        let client = Client::new(Arc::clone(&shared), speaker, lines, number, order.seed);
        clients.spawn(client.work());
    }

    let begun = Instant::now();
    let calm = CancellationToken::new();
    let trouble = system.trouble(order, &shared.history, &calm);
    let watch = async {
        watch(order, &shared, begun, &tell, &calm).await;
        Ok(())
    };
    // What cannot be made to fail as told ends it at once, not when the time is up.
    tokio::try_join!(trouble, watch)?;
    system.calm().await?;
    shared.history.write(&Line::Calm)?;
    tell("calm: what is open is settled");
    let mut filings = BTreeSet::new();
    while let Some(client) = clients.join_next().await {
        filings.extend(client??);
    }
    system.wait_until_asked(SETTLING_TIME_MAX).await;
    tell("the ledger and the register are compared");
    system.stop().await?;
    let ledger = gateway::ledger::open(&ledger(system.folder())).await?;
    let logged = audited(&system, &*ledger).await?;
    tell(&format!("{logged} exchanges are in the log, and it is what was logged"));
    write_the_end(&shared.history, &system, ledger, &filings).await?;
    shared.history.flush()?;
    Ok(check::judge(&history::read(&order.history)?))
}

/// Tells how far it is, and ends it when the time is up or enough was done.
async fn watch(
    order: &Order,
    shared: &Shared,
    begun: Instant,
    tell: &impl Fn(&str),
    calm: &CancellationToken,
) {
    const STEP: Duration = Duration::from_millis(200);
    let mut told = 0;
    loop {
        let (calls, elapsed) = (shared.calls.load(Ordering::Relaxed), begun.elapsed());
        if elapsed >= order.time || calls >= order.operations_max {
            shared.stop.cancel();
            calm.cancel();
            return;
        }
        if elapsed.as_secs() / 5 > told {
            told = elapsed.as_secs() / 5;
            tell(&format!("{} s: {calls} operations", elapsed.as_secs()));
        }
        sleep(STEP).await;
    }
}

type LedgerOf = Box<dyn FnOnce(&Path) -> LedgerSettings + Send>;

/// Builds everything and starts the gateways. With it, for each bank its handles, one for each gateway, and where the
/// ledger can be opened when they have stopped.
async fn build(
    order: &Order,
    speakers: &[Arc<Speaker>],
) -> anyhow::Result<(System, Vec<Vec<FakeBank>>, LedgerOf)> {
    let to_registry = FaultyNetwork::open().await?;
    let mut table = toml::Table::new();
    let mut postgres = None;
    let ledger: LedgerOf = match order.store {
        StoreKind::Sqlite => {
            table.insert("sqlite".into(), "ledger.db".into());
            Box::new(|folder| {
                LedgerSettings::Sqlite(SqliteSettings { path: folder.join("ledger.db") })
            })
        }
        StoreKind::Postgres => {
            let server = tokio::task::spawn_blocking(PostgresServer::start).await??;
            let url = server.make_database().await?;
            let network = FaultyNetwork::open().await?;
            network.lead_to(Server::Unix(server.socket()));
            table.insert("postgres".into(), server.through(&url, network.address()).into());
            for (setting, seconds) in [("wait_seconds", 2), ("statement_seconds", 2)] {
                table.insert(setting.into(), seconds.into());
            }
            postgres = Some((server, network));
            Box::new(move |_| {
                LedgerSettings::Postgres(PostgresSettings {
                    url,
                    password_file: None,
                    tls: None,
                    pool_size_max: 2,
                    wait: Duration::from_secs(20),
                    statement_timeout: Duration::from_secs(20),
                })
            })
        }
    };
    table.insert("lease_seconds".into(), 5.into());
    let resend = match order.repeats {
        Repeats::FirstCase => String::new(),
        Repeats::NewCase => format!("resend_unknown_after_seconds = {LATE_MAX}"),
    };
    let settings = format!(
        "[registry]\naddress = \"https://{}\"\nconnect_seconds = 1\nretry_seconds = 1\n\
         deadline_seconds = 2\n{resend}\n{SETTINGS}",
        to_registry.address()
    );
    let plan = Plan {
        kinds: Default::default(),
        banks: speakers.iter().map(|speaker| speaker.bank().to_owned()).collect(),
        others: Vec::new(),
        apart: None,
        contracts: order.contracts.clone(),
        places: Places::kit()?,
        replicas: order.replicas,
        ledger: table,
        idempotent: order.repeats == Repeats::FirstCase,
        settings: toml::from_str(&settings)?,
    };
    let mut deployment = Deployment::prepare(&plan, |settings| reference_registry::Settings {
        repeats: order.repeats,
        ..settings
    })
    .await?;
    to_registry.lead_to(Server::Tcp(deployment.registry.address()));
    deployment.start().await?;
    let banks = speakers
        .iter()
        .map(|speaker| {
            let bank = FakeBank::new(&deployment, speaker.bank(), speaker.contract())?;
            Ok(deployment.gateways.iter().map(|gateway| bank.at(gateway)).collect())
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((System::new(deployment, to_registry, postgres), banks, ledger))
}

/// After so many seconds no call is on its way any more: its deadline, what a network holds it up for, and what a late
/// registry takes before it acts are 13 together (`soak/trouble.rs`).
const LATE_MAX: u32 = 20;

/// What differs from the defaults: everything is quicker, so that more goes wrong in less time.
const SETTINGS: &str = "[resolver]\nfirst_seconds = 1\nlongest_seconds = 3\nask_again_seconds = 1\n\
                        asks_per_second_max = 200\n\
                        [evidence]\norigin = \"log.example/stage\"\nkey_files = [\"evidence.key\"]\n\
                        checkpoint_seconds = 1";

/// How many exchanges are in the log; whatever became of processes and networks, it is one tree, and what was signed.
async fn audited(system: &System, ledger: &dyn Ledger) -> anyhow::Result<u64> {
    let key = std::fs::read_to_string(system.folder().join(EVIDENCE_PUBLIC_KEY))?;
    let found = audit::audit(ledger, &[PublicKey::read(&key)?], &[]).await?;
    ensure!(found.complaints.is_empty(), "the log of exchanges: {:?}", found.complaints);
    ensure!(found.size > 0 && found.checkpoints > 0, "the log of exchanges was never signed");
    Ok(found.size)
}

/// What the registry has, and how each filing stands in the ledger.
async fn write_the_end(
    history: &Writer,
    system: &System,
    ledger: Arc<dyn Ledger>,
    filings: &BTreeSet<Filing>,
) -> anyhow::Result<()> {
    let control = system.registry();
    for case in control.cases() {
        history.write(&Line::Case {
            filing: Filing { bank: case.institution, key: case.key },
            case: case.case_id,
            status: case.status,
            certificates: case.certificate_numbers.into_iter().collect(),
        })?;
    }
    for (name, counts) in control.counts().keys {
        let (bank, key) = name.split_once('/').context("a key without its institution")?;
        let filing = Filing { bank: bank.to_owned(), key: key.to_owned() };
        history.write(&Line::Entered { filing, times: counts.registrations })?;
    }
    for filing in filings {
        let found = ledger.find(&filing.bank, &filing.key).await?;
        let state = found.map_or("None".to_owned(), |record| format!("{:?}", record.state));
        history.write(&Line::Ledger { filing: filing.clone(), state: state.to_lowercase() })?;
    }
    Ok(())
}
