//! What the ledger costs: floor, a gateway that keeps nothing, and gateways over each store, in rounds that take turns; then a
//! steady stream of filings; then what a claim costs where millions of keys are stored ([`super::stock`]).
//!
//! Of Postgres, the CPU time of all its processes counts too.

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use adapters::Contract;
use anyhow::{Context, ensure};
use serde::Serialize;
use tokio_postgres::NoTls;

use super::{
    contest::{WARM_UP, bank_of, bank_tls, helper, names, place},
    filing::Filing,
    load::{Banks, Target, Told},
    machine,
    process::{Process, Voice, cpu_of_family},
    report::{Round, Thousandths},
    stand::{Gateway, Stand},
    stock::{self, Admits},
    upstream::Counts,
};
use crate::{pki::Pki, postgres_server::PostgresServer};

/// What is measured, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder of the bank's contract; its name is the bank's.
    pub contract: PathBuf,
    /// The golden case that is sent.
    pub case: String,
    /// Which parts.
    pub parts: Vec<Part>,
    /// Connections at a time.
    pub connections: usize,
    /// Messages a round.
    pub messages: u64,
    /// Rounds of each contestant.
    pub rounds: usize,
    /// Messages a second of the steady stream.
    pub per_second: u32,
    /// How long that is, and after how long a round begins no message.
    pub time: Duration,
    /// How many keys are stored at most when claims are measured.
    pub keys: u64,
    /// The `directlink` program.
    pub gateway: PathBuf,
    /// The same without a ledger.
    pub without_ledger: PathBuf,
    /// This program, for the floor and the upstream.
    pub own: PathBuf,
    /// Where ledgers, certificates and settings go; must be on a disk.
    pub folder: PathBuf,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Exchanges over each store, as multiples of the floor.
    Exchange,
    /// Filings at a steady rate, on SQLite.
    Steady,
    /// Claims with few and with many keys stored, in each store.
    Admit,
}

/// What a run found.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: String,
    load: String,
    connections: usize,
    /// In the order they took turns; the floor first.
    contestants: Vec<Contestant>,
    steady: Option<Steady>,
    admits: Vec<Admits>,
}

/// One who carries exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Who {
    Floor,
    WithoutLedger,
    Sqlite,
    Postgres,
    TwoOnPostgres,
}

impl Who {
    const ALL: [Self; 5] =
        [Self::Floor, Self::WithoutLedger, Self::Sqlite, Self::Postgres, Self::TwoOnPostgres];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::WithoutLedger => "ledger off",
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
            Self::TwoOnPostgres => "Postgres, two gateways",
        }
    }

    /// The multiple of the floor that is aimed at, in hundredths.
    fn aim_percent(self) -> Option<u64> {
        match self {
            Self::Sqlite => Some(290),
            Self::Postgres => Some(390),
            Self::Floor | Self::WithoutLedger | Self::TwoOnPostgres => None,
        }
    }
}

/// What one contestant did.
#[derive(Debug, Serialize)]
struct Contestant {
    who: Who,
    /// In the order they were run; CPU time is that of its gateways and of Postgres.
    rounds: Vec<Round>,
    /// Of all rounds: filings, CPU time of Postgres in milliseconds, transactions the gateways committed, syncs Postgres
    /// made of its log.
    filings: u64,
    store_cpu_ms: u64,
    commits: u64,
    syncs: Option<u64>,
}

/// A steady stream.
#[derive(Debug, Clone, Copy, Serialize)]
struct Steady {
    aimed_per_second: u32,
    round: Round,
}

/// Runs the plan. `say` gets a line of progress for each round.
///
/// # Errors
/// A process that does not start, a reply that is not as expected, or replies that the upstream does not account for.
pub async fn run(
    plan: &Plan,
    compiled: &Contract,
    mut say: impl FnMut(&str),
) -> anyhow::Result<Report> {
    // The HTTP client asks for a process-wide one; whoever comes second finds it there.
    let _there = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut report = Report {
        machine: machine::description(),
        load: load.split(' ').next().unwrap_or_default().to_owned(),
        connections: plan.connections,
        contestants: Vec::new(),
        steady: None,
        admits: Vec::new(),
    };
    if plan.parts.contains(&Part::Exchange) || plan.parts.contains(&Part::Steady) {
        exchanges(plan, compiled, &mut report, &mut say).await?;
    }
    if plan.parts.contains(&Part::Admit) {
        report.admits = stock::measure(&plan.folder, plan.keys, &mut say).await?;
    }
    Ok(report)
}

async fn exchanges(
    plan: &Plan,
    compiled: &Contract,
    report: &mut Report,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let bank = bank_of(&plan.contract)?;
    let pki = Pki::write(&plan.folder.join(place::PKI), &names(&bank))?;
    let filing = Arc::new(Filing::load(compiled, &plan.contract, &plan.case)?);
    std::fs::write(plan.folder.join(place::REPLY), filing.canned_reply())?;
    let role = |role| helper(&plan.own, role, &plan.contract, &plan.folder);
    let mut upstream = Process::start("upstream", Voice::Output, &mut role("upstream"))?;
    let addresses = upstream.line().await?;
    let (registry, collector) = addresses.split_once(' ').context("two addresses")?;
    let stand = Stand {
        folder: &plan.folder,
        contract: &plan.contract,
        pki: &pki,
        bank: &bank,
        division: &filing.division,
        registry,
        collector: Some(collector),
        registry_lines: "",
        more: "",
    };
    let mut hall = Hall {
        plan,
        tls: bank_tls(&pki, &bank)?,
        filing: Arc::clone(&filing),
        serials: Arc::new(AtomicU64::new(1)),
        accepted: 0,
    };
    if plan.parts.contains(&Part::Exchange) {
        report.contestants = contest(&mut hall, &stand, role("floor"), say).await?;
    }
    if plan.parts.contains(&Part::Steady) {
        let sqlite = stand.start("steady", &plan.gateway, "sqlite = \"steady.db\"").await?;
        report.steady = Some(hall.steady(&sqlite).await?);
        sqlite.process.kill().await?;
    }
    let counts: Counts = serde_json::from_str(&upstream.end().await?)?;
    ensure!(
        counts.submitted == hall.accepted,
        "{} replies said accepted, but the upstream was asked {} times",
        hall.accepted,
        counts.submitted
    );
    Ok(())
}

async fn contest(
    hall: &mut Hall<'_>,
    stand: &Stand<'_>,
    mut floor: tokio::process::Command,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Vec<Contestant>> {
    let plan = hall.plan;
    let mut floor =
        Process::start("floor", Voice::Output, floor.args(["--upstream", stand.registry]))?;
    let floor_address: SocketAddr = floor.line().await?.parse()?;
    // Postgres works as another user, who has no way into our own folder.
    let beside = plan.folder.parent().context("the folder lies in one")?;
    let postgres = PostgresServer::start_on_disk(beside, &[])?;
    let url = |database: &str| format!("postgres = {database:?}");
    let one = url(&postgres.make_database().await?);
    let shared = url(&postgres.make_database().await?);
    let off = stand.start("without-ledger", &plan.without_ledger, "").await?;
    let sqlite = stand.start("sqlite", &plan.gateway, "sqlite = \"ledger.db\"").await?;
    let alone = stand.start("postgres", &plan.gateway, &one).await?;
    let first = stand.start("postgres-first", &plan.gateway, &shared).await?;
    let second = stand.start("postgres-second", &plan.gateway, &shared).await?;
    let gateways = |who| match who {
        Who::Floor => Vec::new(),
        Who::WithoutLedger => vec![&off],
        Who::Sqlite => vec![&sqlite],
        Who::Postgres => vec![&alone],
        Who::TwoOnPostgres => vec![&first, &second],
    };

    let mut contestants: Vec<_> = Who::ALL.into_iter().map(Contestant::new).collect();
    for number in 1..=plan.rounds {
        for contestant in &mut contestants {
            let who = contestant.who;
            let server = matches!(who, Who::Postgres | Who::TwoOnPostgres).then_some(&postgres);
            let side = Side { floor: (&floor, floor_address), gateways: gateways(who), server };
            let round = hall.round(contestant, &side).await?;
            say(&format!(
                "{} connections, round {number}, {}: {round}",
                plan.connections,
                who.name()
            ));
        }
    }
    for gateway in [off, sqlite, alone, first, second] {
        gateway.process.kill().await?;
    }
    floor.kill().await?;
    Ok(contestants)
}

/// What is sent to the running processes.
struct Hall<'p> {
    plan: &'p Plan,
    tls: Arc<rustls::ClientConfig>,
    filing: Arc<Filing>,
    serials: Arc<AtomicU64>,
    /// Messages that gateways have accepted, warm-up included.
    accepted: u64,
}

/// The processes of one contestant.
struct Side<'s> {
    floor: (&'s Process, SocketAddr),
    /// None: the floor is the contestant.
    gateways: Vec<&'s Gateway>,
    server: Option<&'s PostgresServer>,
}

/// What has been used so far.
struct Used {
    gateways: Duration,
    store: Duration,
    commits: u64,
}

impl Side<'_> {
    async fn used(&self) -> anyhow::Result<Used> {
        let mut used = Used { gateways: Duration::ZERO, store: Duration::ZERO, commits: 0 };
        if self.gateways.is_empty() {
            used.gateways = self.floor.0.cpu()?;
        }
        for gateway in &self.gateways {
            used.gateways += gateway.process.cpu()?;
            used.commits += gateway.commits().await?;
        }
        if let Some(server) = self.server {
            used.store = cpu_of_family(server.process_id()?)?;
        }
        Ok(used)
    }

    /// How often Postgres has synced its log. Its processes tell at the latest when their connections end.
    async fn syncs(&self) -> anyhow::Result<Option<u64>> {
        let Some(server) = self.server else { return Ok(None) };
        let ours = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                    WHERE application_name = 'directlink'";
        server.administrate(ours).await?;
        let (client, connection) = tokio_postgres::connect(&server.administration(), NoTls).await?;
        let connection = tokio::spawn(connection);
        let row = client.query_one("SELECT wal_sync FROM pg_stat_wal", &[]).await?;
        let syncs: i64 = row.try_get(0)?;
        drop(client);
        connection.await??;
        Ok(Some(u64::try_from(syncs)?))
    }
}

impl Hall<'_> {
    async fn banks(&self, target: Target, addresses: &[SocketAddr]) -> anyhow::Result<Banks> {
        let (tls, filing) = (Arc::clone(&self.tls), Arc::clone(&self.filing));
        let serials = Arc::clone(&self.serials);
        Banks::connect(target, addresses, tls, self.plan.connections, filing, serials).await
    }

    async fn round(
        &mut self,
        contestant: &mut Contestant,
        side: &Side<'_>,
    ) -> anyhow::Result<Round> {
        let (target, addresses) = match contestant.who {
            Who::Floor => (Target::Floor, vec![side.floor.1]),
            _ => (Target::Gateway, side.gateways.iter().map(|gateway| gateway.address).collect()),
        };
        let mut banks = self.banks(target, &addresses).await?;
        let syncs_before = side.syncs().await?;
        let warm_up = WARM_UP * u64::try_from(self.plan.connections)?;
        let warmed = banks.send(warm_up, self.plan.time).await?.requests;
        let before = side.used().await?;
        let told = banks.send(self.plan.messages, self.plan.time).await?;
        let after = side.used().await?;
        let syncs = side.syncs().await?;
        let Told { requests, elapsed, latency_us } = told;
        if target == Target::Gateway {
            self.accepted += warmed + requests;
        }
        let store = after.store - before.store;
        let cpu = after.gateways - before.gateways + store;
        let round = Round::new(requests, elapsed, cpu, &latency_us);
        contestant.rounds.push(round);
        contestant.filings += requests;
        contestant.store_cpu_ms += u64::try_from(store.as_millis())?;
        contestant.commits += after.commits - before.commits;
        // Those of the warm-up are among them, in proportion.
        contestant.syncs = syncs.zip(syncs_before).map(|(after, before)| {
            let in_round = (after - before) * requests / (requests + warmed).max(1);
            contestant.syncs.unwrap_or_default() + in_round
        });
        Ok(round)
    }

    async fn steady(&mut self, gateway: &Gateway) -> anyhow::Result<Steady> {
        let Plan { per_second, time, connections, .. } = *self.plan;
        let mut banks = self.banks(Target::Gateway, &[gateway.address]).await?;
        let warm_up = WARM_UP * u64::try_from(connections)?;
        let warmed = banks.send(warm_up, time).await?.requests;
        let before = gateway.process.cpu()?;
        let told = banks.send_steadily(per_second, time).await?;
        let cpu = gateway.process.cpu()? - before;
        self.accepted += warmed + told.requests;
        let round = Round::new(told.requests, told.elapsed, cpu, &told.latency_us);
        Ok(Steady { aimed_per_second: per_second, round })
    }
}

impl Contestant {
    fn new(who: Who) -> Self {
        let (rounds, syncs) = (Vec::new(), None);
        Self { who, rounds, filings: 0, store_cpu_ms: 0, commits: 0, syncs }
    }

    /// So many for each filing, in thousandths.
    fn per_filing(&self, many: u64) -> Thousandths {
        Thousandths((many * 1000).checked_div(self.filings).unwrap_or_default())
    }
}

impl Report {
    fn median(&self, who: Who) -> Option<Round> {
        let found = self.contestants.iter().find(|contestant| contestant.who == who)?;
        Some(Round::median(&found.rounds))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}, load {} at the beginning", self.machine, self.load)?;
        let medians = (self.median(Who::Floor), self.median(Who::WithoutLedger));
        if let (Some(floor), Some(off)) = medians {
            let rounds = self.contestants.first().map_or(0, |it| it.rounds.len());
            writeln!(
                out,
                "{} connections, medians of {rounds} rounds each, in turn",
                self.connections
            )?;
            writeln!(
                out,
                "ledger                    CPU s/10,000  of them Postgres  of the floor   aim  of ledger off  \
                 per second   p50 ms   p99 ms  commits a filing  syncs a filing"
            )?;
            for contestant in &self.contestants {
                let median = Round::median(&contestant.rounds);
                let times = |of: Round| Hundredths((median.cpu_ms * 100).checked_div(of.cpu_ms));
                let store = (contestant.store_cpu_ms * 10_000).checked_div(contestant.filings);
                writeln!(
                    out,
                    "{:<24} {:>13} {:>17} {:>13} {:>5} {:>14} {:>11} {:>8} {:>8} {:>17} {:>15}",
                    contestant.who.name(),
                    Thousandths(median.cpu_ms).to_string(),
                    Thousandths(store.unwrap_or_default()).to_string(),
                    times(floor).to_string(),
                    Hundredths(contestant.who.aim_percent()).to_string(),
                    times(off).to_string(),
                    median.per_second,
                    Thousandths(median.p50_us).to_string(),
                    Thousandths(median.p99_us).to_string(),
                    contestant.per_filing(contestant.commits).to_string(),
                    contestant
                        .syncs
                        .map_or("–".to_owned(), |it| contestant.per_filing(it).to_string()),
                )?;
            }
            writeln!(out, "On SQLite a commit is a sync; each 1,000 pages written, a few more.")?;
            if let (Some(one), Some(two)) =
                (self.median(Who::Postgres), self.median(Who::TwoOnPostgres))
            {
                writeln!(
                    out,
                    "two gateways on one Postgres: {} of one's filings a second, {} of its CPU time",
                    Hundredths((two.per_second * 100).checked_div(one.per_second)),
                    Hundredths((two.cpu_ms * 100).checked_div(one.cpu_ms)),
                )?;
            }
        }
        if let Some(Steady { aimed_per_second, round }) = &self.steady {
            writeln!(
                out,
                "{aimed_per_second} filings a second on SQLite, from when each was due: p50 {} ms (aim 1), p99 {} ms \
                 (aim 4); {} a second were answered, of {}",
                Thousandths(round.p50_us),
                Thousandths(round.p99_us),
                round.per_second,
                round.requests,
            )?;
        }
        for admits in &self.admits {
            writeln!(out, "{admits}")?;
        }
        Ok(())
    }
}

/// Hundredths of a unit, written in whole units with two decimals; `–` if there is nothing to tell.
pub(super) struct Hundredths(pub(super) Option<u64>);

impl fmt::Display for Hundredths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(hundredths) => write!(out, "{}.{:02}", hundredths / 100, hundredths % 100),
            None => out.write_str("–"),
        }
    }
}
