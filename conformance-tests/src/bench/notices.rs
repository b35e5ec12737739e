//! What telling costs: a registry tells of cases by its stream, a gateway takes the events in and delivers each to its
//! subscriber, of whom there are many; with all of them alive, and with one dead. In both stores, a fresh ledger each.
//!
//! The gateway is a process of the real program; registry and subscribers are in this one ([`super::teller`]). Cases are put
//! into the ledger by one statement before it starts. The dead one's events are not delivered; that all others are is
//! waited for.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use gateway::ledger::{LedgerSettings, PostgresSettings, SqliteSettings};
use prost::Message;
use proto::v1::{CaseStatus, Outcome};
use serde::Serialize;
use tokio::{sync::watch, time::sleep};
use tokio_postgres::NoTls;

use super::{
    contest::bank_of,
    ledgers::Hundredths,
    machine,
    process::cpu_of_family,
    report::{Mebibytes, Thousandths},
    stand::Stand,
    teller::{self, case_id, case_of, institution},
};
use crate::{
    pki::{self, Names, Pki},
    postgres_server::PostgresServer,
    tls,
};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder of the contract that the institutions file in, over TCP; its name is the bank's. Told they are in the standard
    /// words.
    pub contract: PathBuf,
    /// Events of a round.
    pub events: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// Rounds of each.
    pub rounds: usize,
    /// The `directlink` program.
    pub gateway: PathBuf,
    /// Where ledgers, certificates and settings go; must be on a disk.
    pub folder: PathBuf,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: String,
    subscribers: u64,
    events: u64,
    told: Vec<Told>,
}

/// One round.
#[derive(Debug, Clone, Serialize)]
struct Told {
    store: &'static str,
    /// How many subscribers are dead.
    dead: u64,
    /// Milliseconds from the first event on until all were in the ledger, and until all were delivered.
    taken_ms: u64,
    delivered_ms: u64,
    delivered: u64,
    /// CPU time of the gateway, and of Postgres, in milliseconds.
    cpu_ms: u64,
    store_cpu_ms: u64,
    peak_kib: u64,
}

/// Measures. `say` gets a line for each round.
///
/// # Errors
/// A process that does not start, or events that are not delivered.
pub async fn run(plan: &Plan, mut say: impl FnMut(&str)) -> anyhow::Result<Report> {
    // The HTTP client asks for a process-wide one; whoever comes second finds it there.
    let _there = rustls::crypto::aws_lc_rs::default_provider().install_default();
    ensure!(plan.subscribers > 1, "more than one subscriber");
    let bank = bank_of(&plan.contract)?;
    let names = Names { banks: Vec::new(), registries: Vec::new() };
    let pki = Pki::write(&plan.folder.join("pki"), &names)?;
    // Postgres works as another user, who has no way into our own folder.
    let beside = plan.folder.parent().context("the folder lies in one")?;
    let postgres = PostgresServer::start_on_disk(beside, &[])?;
    let (machine, subscribers, events) = (machine::description(), plan.subscribers, plan.events);
    let mut report = Report { machine, subscribers, events, told: Vec::new() };
    for number in 0..plan.rounds {
        for dead in [0, 1] {
            for server in [None, Some(&postgres)] {
                let store = if server.is_some() { "Postgres" } else { "SQLite" };
                say(&format!(
                    "round {} of {}, {store}, {dead} of {subscribers} dead: {events} events",
                    number + 1,
                    plan.rounds
                ));
                let round = Round { plan, pki: &pki, bank: &bank, server, dead, number };
                let told = round.tell().await?;
                say(&format!("  {told}"));
                report.told.push(told);
            }
        }
    }
    Ok(report)
}

struct Round<'r> {
    plan: &'r Plan,
    pki: &'r Pki,
    bank: &'r str,
    server: Option<&'r PostgresServer>,
    dead: u64,
    number: usize,
}

/// What counts as no longer, in hundredths: rounds alike differ as much.
const SAME_PERCENT_MAX: u64 = 110;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(600);

impl Round<'_> {
    async fn tell(&self) -> anyhow::Result<Told> {
        let Self { plan, pki, server, dead, number, .. } = *self;
        let ledger = self.filled().await?;
        let (open, opened) = watch::channel(0);
        let own = tls::server(&pki.registry, &pki.registry_ca, &["h2"])?;
        let registry = teller::registry(own, plan.subscribers, opened).await?.to_string();
        let own = tls::server(&pki.gateway, &pki.registry_ca, &["http/1.1"])?;
        let (alive, taken) = teller::subscribers(own).await?;
        let silent = teller::dead().await?;
        let more = (0..plan.subscribers)
            .map(|it| self.subscriber(it, if it < dead { silent } else { alive }))
            .collect::<String>();
        let stand = Stand {
            folder: &plan.folder,
            contract: &plan.contract,
            pki,
            bank: self.bank,
            division: "530102",
            registry: &registry,
            collector: None,
            registry_lines: "answers = \"events\"",
            more: &more,
        };
        let gateway = stand.start("telling", &plan.gateway, &ledger).await?;
        let cpu = || anyhow::Ok((gateway.process.cpu()?, self.store_cpu()?));
        let before = cpu()?;
        let begun = Instant::now();
        open.send_replace(plan.events);
        let expected = (1..=plan.events).filter(|event| event % plan.subscribers >= dead).count();
        let expected = u64::try_from(expected)?;
        let (mut taken_ms, mut delivered) = (None, 0);
        while taken_ms.is_none() || delivered < expected {
            ensure!(
                begun.elapsed() < PATIENCE,
                "{delivered} of {expected} were delivered, {} taken in",
                gateway.counted(TAKEN).await?
            );
            sleep(Duration::from_millis(20)).await;
            delivered = taken.load(Ordering::Relaxed);
            if taken_ms.is_none() && gateway.counted(TAKEN).await? >= plan.events {
                taken_ms = Some(milliseconds(begun.elapsed())?);
            }
        }
        let delivered_ms = milliseconds(begun.elapsed())?;
        let after = cpu()?;
        ensure!(delivered == expected, "{delivered} were delivered, of {expected}");
        let peak_kib = gateway.process.peak_kib()?;
        gateway.process.kill().await?;
        if server.is_none() {
            std::fs::remove_file(self.file(number))?;
        }
        Ok(Told {
            store: if server.is_some() { "Postgres" } else { "SQLite" },
            dead,
            taken_ms: taken_ms.unwrap_or_default(),
            delivered_ms,
            delivered,
            cpu_ms: milliseconds(after.0.saturating_sub(before.0))?,
            store_cpu_ms: milliseconds(after.1.saturating_sub(before.1))?,
            peak_kib,
        })
    }

    fn store_cpu(&self) -> anyhow::Result<Duration> {
        self.server.map_or(Ok(Duration::ZERO), |server| cpu_of_family(server.process_id()?))
    }

    fn file(&self, number: usize) -> PathBuf {
        self.plan.folder.join(format!("told-{number}-{}.db", self.dead))
    }

    /// A ledger with a case for each event, and the lines of settings that name it.
    async fn filled(&self) -> anyhow::Result<String> {
        let Self { plan, server, .. } = self;
        let cases = (1..=plan.events).map(|event| {
            let (institution, key) = case_of(event, plan.subscribers);
            (institution, key, case_id(event), accepted(event))
        });
        match server {
            None => {
                let path = self.file(self.number);
                let settings = LedgerSettings::Sqlite(SqliteSettings { path: path.clone() });
                // Makes the tables.
                drop(gateway::ledger::open(&settings).await?);
                tokio::task::block_in_place(|| fill_sqlite(&path, cases))?;
                Ok(format!("sqlite = {path:?}"))
            }
            Some(server) => {
                let url = server.make_database().await?;
                let settings = LedgerSettings::Postgres(PostgresSettings {
                    url: url.clone(),
                    password_file: None,
                    tls: None,
                    pool_size_max: 2,
                    wait: Duration::from_secs(20),
                    statement_timeout: Duration::from_secs(60),
                });
                drop(gateway::ledger::open(&settings).await?);
                fill_postgres(&url, cases).await?;
                Ok(format!("postgres = {url:?}"))
            }
        }
    }

    fn subscriber(&self, number: u64, address: std::net::SocketAddr) -> String {
        let (name, pki) = (institution(number), self.pki);
        format!(
            r#"
[[institution]]
id = "{name}"
name = "{name}"
kind = "BANK"
contract = "{bank}"
certificate_issuer = "CN={issuer}"
certificate_san = "{san}"
[[subscriber]]
name = "{name}"
institution = "{name}"
address = "https://{address}/{name}"
contract = "standard"
server_name = "localhost"
ca = {ca:?}
certificate = {certificate:?}
key = {key:?}
networks = ["127.0.0.0/8"]
"#,
            bank = self.bank,
            issuer = pki::BANKS_CA,
            san = pki::bank_san(&name),
            ca = pki.banks_ca,
            certificate = pki.gateway_client.certificate,
            key = pki.gateway_client.key,
        )
    }
}

/// What a gateway calls an event that it took in.
const TAKEN: &str =
    "directlink_registry_events_total{made=\"news\",registry=\"upstream\",status=\"REGISTERED\"} ";

fn milliseconds(time: Duration) -> anyhow::Result<u64> {
    Ok(u64::try_from(time.as_millis())?)
}

/// The case before it is registered.
fn accepted(event: u64) -> Vec<u8> {
    let status = CaseStatus::Accepted.into();
    Outcome { case_id: case_id(event), status, ..Outcome::default() }.encode_to_vec()
}

type Row = (String, String, String, Vec<u8>);

fn fill_sqlite(path: &Path, cases: impl Iterator<Item = Row>) -> anyhow::Result<()> {
    let mut database = rusqlite::Connection::open(path)?;
    let filling = database.transaction()?;
    {
        let mut insert = filling.prepare(
            "INSERT INTO filing (institution, key, digest, leaves, matter, registry, office, state, attempt,
                lease_until, due_at, case_id, outcome, admitted_at, changed_at)
            SELECT ?1, ?2, zeroblob(32), zeroblob(100), 'mortgage_registration', 'upstream', '530102', 3, 1, now,
                now, ?3, ?4, now, now
            FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)",
        )?;
        for (institution, key, case, outcome) in cases {
            insert.execute(rusqlite::params![institution, key, case, outcome])?;
        }
    }
    Ok(filling.commit()?)
}

async fn fill_postgres(url: &str, cases: impl Iterator<Item = Row>) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let (mut institutions, mut keys, mut numbers, mut outcomes) = (vec![], vec![], vec![], vec![]);
    for (institution, key, case, outcome) in cases {
        institutions.push(institution);
        keys.push(key);
        numbers.push(case);
        outcomes.push(outcome);
    }
    client
        .execute(
            "INSERT INTO filing (institution, key, digest, leaves, matter, registry, office, state, attempt,
                lease_until, due_at, case_id, outcome, admitted_at, changed_at)
            SELECT institution, key, decode(repeat('00', 32), 'hex'), decode(repeat('00', 100), 'hex'),
                'mortgage_registration', 'upstream', '530102', 3, 1, now(), now(), number, outcome, now(), now()
            FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS t (institution, key, number, outcome)",
            &[&institutions, &keys, &numbers, &outcomes],
        )
        .await?;
    client.batch_execute("VACUUM (ANALYZE) filing").await?;
    drop(client);
    connection.await??;
    Ok(())
}

impl Told {
    fn per_second(count: u64, ms: u64) -> u64 {
        (count * 1_000).checked_div(ms).unwrap_or_default()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}, {} dead: taken in after {} s, {} delivered after {} s ({} a second); gateway {} s of CPU time, store {} s",
            self.store,
            self.dead,
            Thousandths(self.taken_ms),
            self.delivered,
            Thousandths(self.delivered_ms),
            Self::per_second(self.delivered, self.delivered_ms),
            Thousandths(self.cpu_ms),
            Thousandths(self.store_cpu_ms),
        )
    }
}

impl Report {
    /// The median of some rounds, by a figure of theirs.
    fn median(&self, store: &str, dead: u64, of: impl Fn(&Told) -> u64) -> u64 {
        let rounds = self.told.iter().filter(|it| it.store == store && it.dead == dead);
        let mut figures: Vec<_> = rounds.map(of).collect();
        figures.sort_unstable();
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.machine)?;
        writeln!(
            out,
            "{} events of as many cases, {} subscribers, each told its own; medians",
            self.events, self.subscribers
        )?;
        writeln!(
            out,
            "{:<10} {:>5} {:>17} {:>19} {:>13} {:>17} {:>10}",
            "store",
            "dead",
            "taken in/second",
            "delivered/second",
            "CPU s/10,000",
            "of them Postgres",
            "peak MiB"
        )?;
        for store in ["SQLite", "Postgres"] {
            for dead in [0, 1] {
                let of = |of: fn(&Told) -> u64| self.median(store, dead, of);
                let cpu =
                    |ms: u64| Thousandths((ms * 10_000).checked_div(self.events).unwrap_or(0));
                writeln!(
                    out,
                    "{store:<10} {dead:>5} {:>17} {:>19} {:>13} {:>17} {:>10}",
                    Told::per_second(self.events, of(|it| it.taken_ms)),
                    of(|it| Told::per_second(it.delivered, it.delivered_ms)),
                    cpu(of(|it| it.cpu_ms + it.store_cpu_ms)).to_string(),
                    cpu(of(|it| it.store_cpu_ms)).to_string(),
                    Mebibytes(of(|it| it.peak_kib)).to_string(),
                )?;
            }
            let time =
                |dead| self.median(store, dead, |it| it.delivered_ms * 1_000 / it.delivered.max(1));
            let of_before = (time(1) * 100).checked_div(time(0));
            let same = of_before.is_some_and(|percent| percent <= SAME_PERCENT_MAX);
            writeln!(
                out,
                "{store}: with one dead an event took the others {} of the time it took before (aim: no longer, 1.10 at most, {})",
                Hundredths(of_before),
                if same { "reached" } else { "NOT reached" },
            )?;
        }
        Ok(())
    }
}
