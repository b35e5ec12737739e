//! What a proof costs where a log has few leaves and where it has many, in both stores: that a leaf anywhere in it is there.
//!
//! The log grows by the gateway's own verb, leaves apart: a proof reads none. Every proof is judged; one that does not hold
//! is no result but an error.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use gateway::{
    evidence::{
        proving,
        tree::{self, Hash, Tiles, WIDTH},
    },
    ledger::{
        Ledger, LedgerSettings, PostgresSettings, SqliteSettings,
        evidence::{Growth, Head},
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

use super::report::Thousandths;
use crate::postgres_server::PostgresServer;

/// Proofs out of one log.
#[derive(Debug, Serialize)]
pub struct Proofs {
    store: &'static str,
    leaves: u64,
    /// Microseconds a proof, one after the other, sorted.
    took_us: Vec<u64>,
    /// How long it took to let the log grow to that, in seconds.
    filled_s: u64,
}

const FEW: u64 = 10_000;

/// What ninety-nine of a hundred proofs are to stay below, in microseconds.
const AIM_US: u64 = 5_000;

/// Leaves that are added together.
const STEP: u64 = WIDTH * WIDTH;

/// Lets logs grow inside `folder`, and takes `proofs` proofs out of each.
///
/// # Errors
/// A store that does not take it, or a proof that does not hold.
pub async fn measure(
    folder: &Path,
    many: u64,
    proofs: u64,
    mut say: impl FnMut(&str),
) -> anyhow::Result<Vec<Proofs>> {
    // Postgres works as another user, who has no way into our own folder.
    let beside = folder.parent().context("the folder lies in one")?;
    let server = PostgresServer::start_on_disk(beside, &[])?;
    let mut measured = Vec::new();
    for leaves in [FEW, many] {
        let path = folder.join(format!("log-{leaves}.db"));
        let sqlite = LedgerSettings::Sqlite(SqliteSettings { path });
        let postgres = LedgerSettings::Postgres(PostgresSettings {
            url: server.make_database().await?,
            password_file: None,
            tls: None,
            pool_size_max: 4,
            wait: Duration::from_secs(20),
            statement_timeout: Duration::from_secs(60),
        });
        for (store, settings) in [("SQLite", sqlite), ("Postgres", postgres)] {
            say(&format!("{store}: a log grows to {leaves} leaves"));
            let log = gateway::ledger::open(&settings).await?;
            let begun = Instant::now();
            let root = fill(&log, leaves, &mut say).await?;
            let filled_s = begun.elapsed().as_secs();
            let took_us = prove(&log, leaves, root, proofs).await?;
            measured.push(Proofs { store, leaves, took_us, filled_s });
        }
    }
    Ok(measured)
}

fn leaf(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

async fn fill(
    log: &Arc<dyn Ledger>,
    leaves: u64,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Hash> {
    let (mut tiles, mut size, mut tenths) = (Tiles::default(), 0, 0);
    let mut root = tiles.root(0)?;
    while size < leaves {
        let beyond = (size + STEP).min(leaves);
        let hashes: Vec<_> = (size..beyond).map(|index| Hash::of_leaf(&leaf(index))).collect();
        let changed = tiles.grow(size, &hashes)?;
        root = tiles.root(beyond)?;
        let growth = Growth {
            from: size,
            leaves: Vec::new(),
            tiles: changed.iter().map(|id| (*id, tiles.bytes(*id))).collect(),
            head: Head { size: beyond, root },
        };
        ensure!(log.grow(&growth).await?, "somebody else lets it grow");
        for id in changed {
            let is_full = tiles.bytes(id).len() == 256 * Hash::BYTES;
            if is_full {
                tiles.forget(id);
            }
        }
        size = beyond;
        if size * 10 / leaves > tenths {
            tenths = size * 10 / leaves;
            say(&format!("  {size} of {leaves}"));
        }
    }
    Ok(root)
}

async fn prove(
    log: &Arc<dyn Ledger>,
    leaves: u64,
    root: Hash,
    proofs: u64,
) -> anyhow::Result<Vec<u64>> {
    let mut places = StdRng::seed_from_u64(1);
    let mut took = Vec::new();
    for _ in 0..proofs {
        let index = places.random_range(0..leaves);
        let begun = Instant::now();
        let proof = proving::inclusion(&**log, index, leaves).await?;
        took.push(u64::try_from(begun.elapsed().as_micros())?);
        let holds = tree::is_included(&leaf(index), index, leaves, root, &proof);
        ensure!(holds, "the proof of leaf {index} does not hold");
    }
    took.sort_unstable();
    Ok(took)
}

impl fmt::Display for Proofs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent: usize| {
            let place =
                (self.took_us.len() * percent / 100).min(self.took_us.len().saturating_sub(1));
            self.took_us.get(place).copied().unwrap_or_default()
        };
        let reached = if at(99) < AIM_US { "reached" } else { "NOT reached" };
        write!(
            out,
            "a proof out of {} leaves in {}: p50 {} ms, p99 {} ms (aim: below 5, {reached}), longest {} ms of {}; growing took {} s",
            self.leaves,
            self.store,
            Thousandths(at(50)),
            Thousandths(at(99)),
            Thousandths(at(100)),
            self.took_us.len(),
            self.filled_s,
        )
    }
}
