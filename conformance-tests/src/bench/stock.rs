//! What a claim costs where few keys are stored and where many are, in both stores: batches of claims take turns, sixty-four
//! at a time, each with a key and a loan of its own, numbered as outlets number them or anywhere between those stored.
//!
//! What is stored is made by one statement of the store's own. The ledger is the gateway's, in this process.

use std::{
    fmt, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::{StreamExt, TryStreamExt, stream};
use gateway::ledger::{
    Admission, Claim, Fingerprint, Guard, Ledger, LedgerSettings, PostgresSettings, SqliteSettings,
    books::{Booked, Parties},
    run::Run,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;
use tokio_postgres::NoTls;

use super::{ledgers::Hundredths, report::Thousandths};
use crate::postgres_server::PostgresServer;

/// How new keys and contracts are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Numbering {
    /// By each of [`OUTLETS`] in a row, each row beginning somewhere between the stored ones.
    InRows,
    /// Each somewhere between the stored ones, as random keys (UUID) are.
    Anywhere,
}

/// Claims with few and with many keys stored.
#[derive(Debug, Clone, Serialize)]
pub struct Admits {
    store: &'static str,
    numbering: Numbering,
    few: u64,
    many: u64,
    /// By batch, nanoseconds a claim, sixty-four at a time.
    with_few_ns: Vec<u64>,
    with_many_ns: Vec<u64>,
    /// How long it took to store the many keys, in seconds.
    filled_s: u64,
}

const FEW: u64 = 10_000;
const AT_A_TIME: usize = 64;
const OUTLETS: usize = 64;
const BATCH: usize = 2_048;
const BATCHES: usize = 7;
/// Digests of leaves, such as a short application has.
const LEAVES: u8 = 100;
/// Keys and guards are numbers of so many digits, so that what is stored can lie evenly among all that can be.
const DIGITS: usize = 16;
const NUMBERS: u64 = 10_u64.pow(16);
/// As many as six bytes tell apart: digests are stored evenly among them.
const RUNS: u64 = 1 << 48;

/// Fills ledgers inside `folder`, of `many` keys each, and measures.
///
/// # Errors
/// A store that does not take it.
pub(super) async fn measure(
    folder: &Path,
    many: u64,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Vec<Admits>> {
    ensure!(many > FEW, "more than {FEW} keys");
    let sqlite = sqlite(folder, many, say).await?;
    // Postgres works as another user, who has no way into our own folder.
    let beside = folder.parent().context("the folder lies in one")?;
    let postgres = postgres(beside, many, say).await?;
    Ok([sqlite, postgres].concat())
}

async fn sqlite(
    folder: &Path,
    many: u64,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Vec<Admits>> {
    let mut ledgers = Vec::new();
    let mut filled = Duration::ZERO;
    for keys in [FEW, many] {
        say(&format!("SQLite: {keys} keys are stored"));
        let path = folder.join(format!("stock-{keys}.db"));
        let settings = LedgerSettings::Sqlite(SqliteSettings { path: path.clone() });
        // Makes the tables.
        drop(gateway::ledger::open(&settings).await?);
        let begun = Instant::now();
        tokio::task::block_in_place(|| fill_sqlite(&path, keys))?;
        filled = begun.elapsed();
        ledgers.push(gateway::ledger::open(&settings).await?);
    }
    let admits = take_turns("SQLite", &ledgers, many, filled).await?;
    drop(ledgers);
    fs::remove_file(folder.join(format!("stock-{many}.db")))?;
    Ok(admits)
}

fn fill_sqlite(path: &Path, keys: u64) -> anyhow::Result<()> {
    let database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
         PRAGMA cache_size = -200000;",
    )?;
    let (step, apart) = (NUMBERS / keys, RUNS / keys);
    database.execute_batch(&format!(
        "BEGIN;
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {keys})
        INSERT INTO filing (institution, key, digest, leaves, matter, registry, office, state, attempt,
            lease_until, due_at, case_id, outcome, admitted_at, changed_at)
        SELECT 'bank', printf('%0{DIGITS}d', i * {step}), zeroblob(32), zeroblob({LEAVES}),
            'mortgage_registration', 'province', '1401', 3, 1, now, now, printf('YWH-%012d', i), x'', now, now
        FROM n, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now);
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {keys})
        INSERT INTO guard (institution, run, digest, key)
        SELECT 'bank', unhex(printf('%012x', i * {apart})), zeroblob(16), printf('%0{DIGITS}d', i * {step}) FROM n;
        COMMIT;"
    ))?;
    drop(database);
    // Or the system would write it out while claims are measured.
    fs::File::open(path)?.sync_all()?;
    Ok(())
}

async fn postgres(
    place: &Path,
    many: u64,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Vec<Admits>> {
    // What is made in a transaction that also empties the table need not go through the log.
    let options = ["wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB"];
    let server = PostgresServer::start_on_disk(place, &options)?;
    let mut ledgers = Vec::new();
    let mut filled = Duration::ZERO;
    for keys in [FEW, many] {
        say(&format!("Postgres: {keys} keys are stored"));
        let url = server.make_database().await?;
        let settings = LedgerSettings::Postgres(PostgresSettings {
            url: url.clone(),
            password_file: None,
            tls: None,
            pool_size_max: 16,
            wait: Duration::from_secs(20),
            statement_timeout: Duration::from_secs(20),
        });
        // Makes the tables.
        drop(gateway::ledger::open(&settings).await?);
        let begun = Instant::now();
        fill_postgres(&url, keys).await?;
        filled = begun.elapsed();
        ledgers.push(gateway::ledger::open(&settings).await?);
    }
    server.administrate("CHECKPOINT").await?;
    take_turns("Postgres", &ledgers, many, filled).await
}

async fn fill_postgres(url: &str, keys: u64) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let (step, apart) = (NUMBERS / keys, RUNS / keys);
    client
        .batch_execute(&format!(
            "BEGIN; TRUNCATE filing, guard;
            INSERT INTO filing (institution, key, digest, leaves, matter, registry, office, state, attempt,
                lease_until, due_at, case_id, outcome, admitted_at, changed_at)
            SELECT 'bank', lpad((i * {step})::text, {DIGITS}, '0'), decode(repeat('00', 32), 'hex'),
                decode(repeat('00', {LEAVES}), 'hex'), 'mortgage_registration', 'province', '1401', 3, 1,
                now(), now(), 'YWH-' || lpad(i::text, 12, '0'), '', now(), now()
            FROM generate_series(0, {keys}::bigint - 1) AS i;
            INSERT INTO guard (institution, digest, key)
            SELECT 'bank', decode(lpad(to_hex(i * {apart}), 12, '0') || repeat('0', 20), 'hex'),
                lpad((i * {step})::text, {DIGITS}, '0') FROM generate_series(0, {keys}::bigint - 1) AS i;
            COMMIT"
        ))
        .await?;
    // As a server does by itself, sooner or later.
    for table in ["filing", "guard"] {
        client.batch_execute(&format!("VACUUM (ANALYZE) {table}")).await?;
    }
    drop(client);
    connection.await??;
    Ok(())
}

async fn take_turns(
    store: &'static str,
    ledgers: &[Arc<dyn Ledger>],
    many: u64,
    filled: Duration,
) -> anyhow::Result<Vec<Admits>> {
    let [with_few, with_many] = ledgers else { anyhow::bail!("two ledgers") };
    let mut lots = StdRng::seed_from_u64(1);
    let mut both = Vec::new();
    for numbering in [Numbering::InRows, Numbering::Anywhere] {
        let mut outlets: Vec<_> = (0..OUTLETS).map(|_| lots.random_range(0..NUMBERS)).collect();
        let mut admits = Admits {
            store,
            numbering,
            few: FEW,
            many,
            with_few_ns: Vec::new(),
            with_many_ns: Vec::new(),
            filled_s: filled.as_secs(),
        };
        // The first of each warms up.
        for batch in 0..=BATCHES {
            let numbers: Vec<u64> = match numbering {
                Numbering::InRows => (0..BATCH / OUTLETS)
                    .flat_map(|_| {
                        outlets.iter_mut().for_each(|number| *number += 1);
                        outlets.clone()
                    })
                    .collect(),
                Numbering::Anywhere => (0..BATCH).map(|_| lots.random_range(0..NUMBERS)).collect(),
            };
            for (ledger, told) in
                [(with_few, &mut admits.with_few_ns), (with_many, &mut admits.with_many_ns)]
            {
                let took = admit_batch(ledger, &numbers).await?;
                if batch > 0 {
                    told.push(u64::try_from(took.as_nanos())? / u64::try_from(BATCH)?);
                }
            }
        }
        both.push(admits);
    }
    Ok(both)
}

async fn admit_batch(ledger: &Arc<dyn Ledger>, numbers: &[u64]) -> anyhow::Result<Duration> {
    let claims: Vec<_> = numbers.iter().copied().map(claim).collect();
    let begun = Instant::now();
    let admissions = stream::iter(claims).map(|claim| {
        let ledger = Arc::clone(ledger);
        async move { ledger.admit(&claim).await }
    });
    let admissions: Vec<_> = admissions.buffer_unordered(AT_A_TIME).try_collect().await?;
    let took = begun.elapsed();
    let new = admissions.iter().filter(|it| matches!(it, Admission::New(_))).count();
    // By chance a number may be there already.
    ensure!(new + 2 >= admissions.len(), "{new} of {} keys were new", admissions.len());
    Ok(took)
}

fn claim(number: u64) -> Claim {
    let number = format!("{number:0DIGITS$}");
    Claim {
        institution: "bank".to_owned(),
        fingerprint: Fingerprint { digest: [1; 32], leaves: vec![1; usize::from(LEAVES)] },
        booked: Booked {
            amount_fen: Some(98_000_000),
            parties: Some(Parties([1; Parties::BYTES])),
        },
        matter: "mortgage_registration".to_owned(),
        registry: "province".to_owned(),
        office: "1401".to_owned(),
        lease: Duration::from_secs(600),
        announced: false,
        guards: vec![
            Guard::of(digest(&SHA256, number.as_bytes()).as_ref()).beside(Run::of(&number)),
        ],
        corrects: None,
        waiting: None,
        key: number,
    }
}

fn median(figures: &[u64]) -> u64 {
    let mut figures = figures.to_vec();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Admits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (few, many) = (median(&self.with_few_ns), median(&self.with_many_ns));
        write!(
            out,
            "a claim in {}, {AT_A_TIME} at a time, {}: {} µs with {} keys stored, {} µs with {}: ratio {} (aim below 1.50); \
             medians of {} batches of {BATCH}; storing took {} s",
            self.store,
            match self.numbering {
                Numbering::InRows => "numbered in rows",
                Numbering::Anywhere => "numbered anywhere",
            },
            Thousandths(few),
            self.few,
            Thousandths(many),
            self.many,
            Hundredths((many * 100).checked_div(few)),
            self.with_few_ns.len(),
            self.filled_s,
        )
    }
}
