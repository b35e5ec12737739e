//! A soak: many banks file, retry, repeat, change, ask and discharge at random, while processes, networks, the registry and
//! the ledger fail; what they said and heard is judged afterwards by `history/check.rs`.
//!
//! Gateways are real processes, the networks real sockets, Postgres a real server. `soak/traffic.rs` is what banks do,
//! `soak/trouble.rs` what is done to the system, `soak/reader.rs` reads feeds of events meanwhile, `soak/told.rs` is told of
//! them, `soak/ending.rs` looks at what there is at the end. The seed decides both, but not when a busy machine gets to it: two runs
//! with one seed are alike, not the same. docs/soak.md.

mod ending;
mod reader;
mod told;
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

use anyhow::ensure;
use gateway::ledger::{LedgerSettings, PostgresSettings, SqliteSettings};
use proto::v1::FeedQuery;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

pub use trouble::Fault;

use crate::{
    deployment::{Deployment, Places, Plan},
    fake_bank::FakeBank,
    faulty_network::{FaultyNetwork, Server},
    history::{
        self, Line, Writer,
        check::{self, Judgement},
    },
    postgres_server::PostgresServer,
    programme,
    reference_registry::{self, Repeats},
    scenario::StoreKind,
};
use reader::Reader;
use told::Audience;
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
    /// Nothing happens any more: who reads reads to the end.
    over: CancellationToken,
}

/// How long banks may take to settle what is open, once nothing goes wrong any more.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(120);

/// How long the resolver may take to learn what a late registry did ([`LATE_MAX`], and its own delay). What a bank has given up
/// and no registry knows it goes on asking about: that is not waited for.
const ASKING_TIME_MAX: Duration = Duration::from_secs(25);

/// Soaks, and judges. `tell` hears how far it is.
///
/// # Errors
/// The system could not be built, or could not be brought back to calm.
pub async fn run(order: &Order, tell: impl Fn(&str)) -> anyhow::Result<Judgement> {
    ensure!(
        order.replicas == 1 || order.store == StoreKind::Postgres,
        "a SQLite ledger serves one gateway"
    );
    let day = ending::today();
    let speakers = traffic::speakers(programme::roles(&order.contracts)?)?;
    let shared = Arc::new(Shared {
        history: Writer::create(&order.history)?,
        calls: AtomicU64::new(0),
        stop: CancellationToken::new(),
        over: CancellationToken::new(),
    });
    let (mut system, banks, ledger) = build(order, &speakers, &shared).await?;
    tell(&format!(
        "{} banks, {} of them subscribers, {} calls at a time, {} gateways, {} ledger, seed {}",
        speakers.len(),
        system.audience().banks().count(),
        order.clients,
        order.replicas,
        order.store.name(),
        order.seed,
    ));

    let mut clients = JoinSet::new();
    for number in 0..order.clients {
        let bank = number % speakers.len();
        let (speaker, lines) = (Arc::clone(&speakers[bank]), banks[bank].clone());
        let client = Client::new(Arc::clone(&shared), speaker, lines, number, order.seed);
        clients.spawn(client.work());
    }

    let mut readers = JoinSet::new();
    for (speaker, lines) in speakers
        .iter()
        .zip(&banks)
        .filter(|(it, _)| it.asks_for_events(FeedQuery::default()).is_some())
    {
        let (speaker, lines) = (Arc::clone(speaker), lines.clone());
        readers.spawn(Reader::new(Arc::clone(&shared), speaker, lines, order.seed).work());
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
    system.wait_until_asked(ASKING_TIME_MAX).await;
    ending::wait_until_books_agree(&system, &day, SETTLING_TIME_MAX).await?;
    tell("the books of ledger and registry agree");
    ending::wait_until_told(&system, SETTLING_TIME_MAX).await?;
    system.audience().is_content().await?;
    shared.over.cancel();
    while let Some(reader) = readers.join_next().await {
        reader??;
    }
    system.stop().await?;
    tell(&ending::audit(&system).await?);
    let ledger = gateway::ledger::open(&ledger(system.folder())).await?;
    ending::write(
        &shared.history,
        &system,
        &*ledger,
        speakers.iter().map(|it| it.bank()),
        &filings,
    )
    .await?;
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
    shared: &Arc<Shared>,
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
         deadline_seconds = 2\nanswers = \"events\"\n{resend}\n{SETTINGS}",
        to_registry.address()
    );
    let mut settings: toml::Table = toml::from_str(&settings)?;
    let (mut audience, subscribers) = Audience::plan(speakers, &order.contracts)?;
    settings.insert("subscriber".into(), subscribers.into());
    let plan = Plan {
        people: Vec::new(),
        kinds: Default::default(),
        banks: speakers.iter().map(|speaker| speaker.bank().to_owned()).collect(),
        others: Vec::new(),
        apart: None,
        contracts: order.contracts.clone(),
        places: Places::kit()?,
        replicas: order.replicas,
        ledger: table,
        idempotent: order.repeats == Repeats::FirstCase,
        settings,
    };
    let mut deployment = Deployment::prepare(&plan, |settings| reference_registry::Settings {
        repeats: order.repeats,
        ..settings
    })
    .await?;
    to_registry.lead_to(Server::Tcp(deployment.registry.address()));
    audience.open(&deployment).await?;
    audience.note(shared)?;
    deployment.start().await?;
    let banks = speakers
        .iter()
        .map(|speaker| {
            let bank = FakeBank::new(&deployment, speaker.bank(), speaker.contract())?;
            Ok(deployment.gateways.iter().map(|gateway| bank.at(gateway)).collect())
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((System::new(deployment, to_registry, postgres, audience), banks, ledger))
}

/// After so many seconds no call is on its way any more: its deadline, what a network holds it up for, and what a late
/// registry takes before it acts are 13 together (`soak/trouble.rs`).
const LATE_MAX: u32 = 20;

/// What differs from the defaults: everything is quicker, so that more goes wrong in less time.
const SETTINGS: &str = "[resolver]\nfirst_seconds = 1\nlongest_seconds = 3\nask_again_seconds = 1\n\
                        asks_per_second_max = 200\n\
                        [evidence]\norigin = \"log.example/stage\"\nkey_files = [\"evidence.key\"]\n\
                        checkpoint_seconds = 1";
