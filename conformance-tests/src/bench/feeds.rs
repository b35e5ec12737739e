//! What a page of a feed of events costs at its beginning, in its middle and at its end, where a feed is long and where it is
//! short, in both stores.
//!
//! What is stored is made by one statement of the store's own. Pages are read by the gateway's own verb, in this process; one
//! that is not as long as it must be, or does not go on where the one before ended, is no result but an error.

use std::{
    fmt, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use gateway::ledger::{
    Ledger, LedgerSettings, PostgresSettings, SqliteSettings,
    events::{After, Page},
};
use prost::Message;
use proto::v1::{CaseStatus, Outcome};
use serde::Serialize;
use tokio_postgres::NoTls;

use super::{ledgers::Hundredths, report::Thousandths};
use crate::postgres_server::PostgresServer;

/// Pages of one feed.
#[derive(Debug, Serialize)]
pub struct Pages {
    store: &'static str,
    events: u64,
    /// Microseconds a page, sorted.
    at_the_beginning_us: Vec<u64>,
    in_the_middle_us: Vec<u64>,
    at_the_end_us: Vec<u64>,
    /// How long it took to store the events, in seconds.
    filled_s: u64,
}

const FEW: u64 = 100_000;
/// Events a page, and pages a place.
const PAGE: u32 = 100;
const PAGES: u64 = 300;
const BANK: &str = "bank";
/// What counts as the same: two medians of one place differ as much.
const SAME_PERCENT_MAX: u64 = 110;

/// Fills ledgers inside `folder`, with a feed of `events` each and with a short one, and reads.
///
/// # Errors
/// A store that does not take it, or a page that is wrong.
pub async fn measure(
    folder: &Path,
    events: u64,
    mut say: impl FnMut(&str),
) -> anyhow::Result<Vec<Pages>> {
    ensure!(events > FEW, "more than {FEW} events");
    let mut measured = Vec::new();
    for count in [FEW, events] {
        say(&format!("SQLite: a feed of {count} events is stored"));
        let path = folder.join(format!("feed-{count}.db"));
        let settings = LedgerSettings::Sqlite(SqliteSettings { path: path.clone() });
        // Makes the tables.
        drop(gateway::ledger::open(&settings).await?);
        let begun = Instant::now();
        tokio::task::block_in_place(|| fill_sqlite(&path, count))?;
        let filled = begun.elapsed();
        let mark = |position: u64| {
            let database = rusqlite::Connection::open(&path)?;
            database.busy_timeout(Duration::from_secs(20))?;
            anyhow::Ok(database.execute(&marked(position), []).map(drop)?)
        };
        let mut pages = Pages::new("SQLite", count, filled);
        for place in pages.places() {
            tokio::task::block_in_place(|| mark(place))?;
            let ledger = gateway::ledger::open(&settings).await?;
            let took = read(&ledger, place).await?;
            pages.took(place, took);
        }
        measured.push(pages);
        fs::remove_file(path)?;
    }
    // Postgres works as another user, who has no way into our own folder.
    let beside = folder.parent().context("the folder lies in one")?;
    let options = ["wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB"];
    let server = PostgresServer::start_on_disk(beside, &options)?;
    for count in [FEW, events] {
        say(&format!("Postgres: a feed of {count} events is stored"));
        let url = server.make_database().await?;
        let settings = LedgerSettings::Postgres(PostgresSettings {
            url: url.clone(),
            password_file: None,
            tls: None,
            pool_size_max: 4,
            wait: Duration::from_secs(20),
            statement_timeout: Duration::from_secs(20),
        });
        let ledger = gateway::ledger::open(&settings).await?;
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let begun = Instant::now();
        client.batch_execute(&filled_in_postgres(count)).await?;
        client.batch_execute("VACUUM (ANALYZE) event").await?;
        let mut pages = Pages::new("Postgres", count, begun.elapsed());
        for place in pages.places() {
            client.batch_execute(&marked(place)).await?;
            let took = read(&ledger, place).await?;
            pages.took(place, took);
        }
        measured.push(pages);
        drop(client);
        connection.await??;
    }
    Ok(measured)
}

/// A registered case.
fn outcome() -> String {
    let outcome = Outcome {
        case_id: "YWH-20260305-0000017".to_owned(),
        status: CaseStatus::Registered.into(),
        certificate_numbers: vec!["云(2026)昆明市不动产证明第0800100号".to_owned()],
        registered_at: Some(prost_types::Timestamp::default()),
        ..Outcome::default()
    };
    hex::encode(outcome.encode_to_vec())
}

fn fill_sqlite(path: &Path, events: u64) -> anyhow::Result<()> {
    let database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
         PRAGMA cache_size = -200000;",
    )?;
    let outcome = outcome();
    database.execute_batch(&format!(
        "BEGIN;
        INSERT INTO feed (institution, last) VALUES ('{BANK}', {events});
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {events})
        INSERT INTO event (institution, position, key, sequence, kind, happened_at, outcome)
        SELECT '{BANK}', i, printf('KEY-%012d', i), 1, 1, now, x'{outcome}'
        FROM n, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now);
        COMMIT;"
    ))?;
    drop(database);
    // Or the system would write it out while pages are read.
    fs::File::open(path)?.sync_all()?;
    Ok(())
}

fn filled_in_postgres(events: u64) -> String {
    let outcome = outcome();
    format!(
        "BEGIN; TRUNCATE event;
        INSERT INTO feed (institution, last) VALUES ('{BANK}', {events});
        INSERT INTO event (institution, position, key, sequence, kind, happened_at, outcome)
        SELECT '{BANK}', i, 'KEY-' || lpad(i::text, 12, '0'), 1, 1, now(), decode('{outcome}', 'hex')
        FROM generate_series(1, {events}::bigint) AS i;
        COMMIT"
    )
}

/// That the bank has acknowledged so much: from there a reader goes on who has no place yet.
fn marked(position: u64) -> String {
    format!("UPDATE feed SET acknowledged = {position} WHERE institution = '{BANK}'")
}

/// Reads pages from a place on, one after the other.
async fn read(ledger: &Arc<dyn Ledger>, from: u64) -> anyhow::Result<Vec<u64>> {
    let (mut after, mut expected, mut took) = (After::Acknowledged, from, Vec::new());
    // The first finds the place, and warms up.
    for page in 0..=PAGES {
        let begun = Instant::now();
        let Page::Events { events, next } = ledger.events_after(BANK, &after, PAGE).await? else {
            anyhow::bail!("there is no place {expected}")
        };
        let elapsed = begun.elapsed();
        expected += u64::from(PAGE);
        let last = events.last().context("no events")?;
        ensure!(last.position == i64::try_from(expected)?, "{} is not {expected}", last.position);
        after = After::Event(next);
        if page > 0 {
            took.push(u64::try_from(elapsed.as_micros())?);
        }
    }
    took.sort_unstable();
    Ok(took)
}

impl Pages {
    fn new(store: &'static str, events: u64, filled: Duration) -> Self {
        Self {
            store,
            events,
            at_the_beginning_us: Vec::new(),
            in_the_middle_us: Vec::new(),
            at_the_end_us: Vec::new(),
            filled_s: filled.as_secs(),
        }
    }

    /// After how many events is read: nothing, half, and all but the pages that are read.
    fn places(&self) -> [u64; 3] {
        [0, self.events / 2, self.events - u64::from(PAGE) * (PAGES + 1)]
    }

    fn took(&mut self, place: u64, took: Vec<u64>) {
        let [beginning, middle, _] = self.places();
        match place {
            it if it == beginning => self.at_the_beginning_us = took,
            it if it == middle => self.in_the_middle_us = took,
            _ => self.at_the_end_us = took,
        }
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |took: &[u64], percent: usize| {
            let place = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            took.get(place).copied().unwrap_or_default()
        };
        let median = |took| at(took, 50);
        let beginning = median(&self.at_the_beginning_us);
        let of_the_beginning = (median(&self.at_the_end_us) * 100).checked_div(beginning);
        let same = of_the_beginning.is_some_and(|percent| percent <= SAME_PERCENT_MAX);
        let reached = if same { "reached" } else { "NOT reached" };
        write!(
            out,
            "a page of {PAGE} out of {} events in {}: p50 {} ms at the beginning, {} in the middle, {} at the end (p99 {}), \
             {} of the beginning (aim: the same, 1.10 at most, {reached}); storing took {} s",
            self.events,
            self.store,
            Thousandths(beginning),
            Thousandths(median(&self.in_the_middle_us)),
            Thousandths(median(&self.at_the_end_us)),
            Thousandths(at(&self.at_the_end_us, 99)),
            Hundredths(of_the_beginning),
            self.filled_s,
        )
    }
}
