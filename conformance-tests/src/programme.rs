//! The whole programme: every scenario, for every bank that has its messages, over both ledger stores.

use std::{fmt, fs, path::Path, sync::Arc, time::Instant};

use anyhow::{Context, ensure};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    deployment::Places,
    postgres_server::PostgresServer,
    samples::{self, Samples},
    scenario::{
        Scenario, StoreKind,
        stage::{self, Role, Theatre},
    },
};

/// What to play.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Scenarios whose name contains one of these; empty is all.
    pub names: Vec<String>,
    /// Only this bank.
    pub bank: Option<String>,
    /// Only this store.
    pub store: Option<StoreKind>,
    /// How many are played at a time.
    pub at_a_time: usize,
}

/// How one playing went.
#[derive(Debug)]
pub struct Played {
    scenario: String,
    bank: String,
    store: StoreKind,
    seconds: f64,
    result: anyhow::Result<()>,
}

impl Played {
    /// Whether everything went as the scenario says.
    pub fn passed(&self) -> bool {
        self.result.is_ok()
    }
}

impl fmt::Display for Played {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, bank, store, seconds, result } = self;
        let word = if result.is_ok() { "passed" } else { "FAILED" };
        write!(out, "{word}  {scenario} · {bank} · {} ({seconds:.1} s)", store.name())?;
        match result {
            Ok(()) => Ok(()),
            Err(error) => write!(out, "\n    {}", format!("{error:#}").replace('\n', "\n    ")),
        }
    }
}

/// Plays what was chosen and tells each as it ends; answers with how many passed and failed.
///
/// # Errors
/// Scenarios or contracts that can't be read, no Postgres server, or nothing that fits the choice.
pub async fn run(
    scenarios: &Path,
    contracts: &Path,
    choice: &Choice,
    mut tell: impl FnMut(&Played),
) -> anyhow::Result<(usize, usize)> {
    let scenarios = crate::scenario::read_all(scenarios)?;
    let roles = roles(contracts)?;
    let mut parts = Vec::new();
    for scenario in scenarios.into_iter().map(Arc::new).filter(|it| choice.names_it(it)) {
        for role in
            roles.iter().filter(|role| choice.bank.as_ref().is_none_or(|it| *it == role.bank))
        {
            for store in [StoreKind::Sqlite, StoreKind::Postgres] {
                let wanted = choice.store.is_none_or(|it| it == store)
                    && (scenario.stores.is_empty() || scenario.stores.contains(&store));
                let another = match scenario.has_another() {
                    true => Some(another(&roles, role, &scenario)?),
                    false => None,
                };
                if wanted && role.can_play(&scenario) {
                    parts.push((Arc::clone(&scenario), Arc::clone(role), another, store));
                }
            }
        }
    }
    ensure!(!parts.is_empty(), "no scenario fits");
    let needs_postgres = parts.iter().any(|(_, _, _, store)| *store == StoreKind::Postgres);
    let theatre = Arc::new(Theatre {
        contracts: contracts.to_owned(),
        places: Places::kit()?,
        postgres: needs_postgres.then(PostgresServer::start).transpose()?,
    });
    let places = Arc::new(Semaphore::new(choice.at_a_time.max(1)));
    let mut playing = JoinSet::new();
    for (scenario, role, another, store) in parts {
        let (theatre, places) = (Arc::clone(&theatre), Arc::clone(&places));
        playing.spawn(async move {
            let _place = places.acquire_owned().await;
            let started = Instant::now();
            let result = stage::play(&theatre, &scenario, &role, another.as_deref(), store).await;
            let seconds = started.elapsed().as_secs_f64();
            Played {
                scenario: scenario.name.clone(),
                bank: role.bank.clone(),
                store,
                seconds,
                result,
            }
        });
    }
    let (mut passed, mut failed) = (0, 0);
    while let Some(played) = playing.join_next().await {
        let played = played?;
        if played.passed() {
            passed += 1
        } else {
            failed += 1
        }
        tell(&played);
    }
    Ok((passed, failed))
}

impl Choice {
    fn names_it(&self, scenario: &Scenario) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| scenario.name.contains(name.as_str()))
    }
}

/// The next bank in the list that can play another's part; its homes lie elsewhere, so that its office may be at another
/// registry.
fn another(roles: &[Arc<Role>], role: &Role, scenario: &Scenario) -> anyhow::Result<Arc<Role>> {
    let (before, after) = roles.split_at(roles.partition_point(|it| it.bank <= role.bank));
    let mut others = after.iter().chain(before);
    let other = others.find(|it| {
        let apart = it.own.division() != role.own.division();
        it.bank != role.bank && apart && it.can_play_another(scenario)
    });
    other.map(Arc::clone).with_context(|| format!("{}: no other bank can play", scenario.name))
}

/// Every bank of a contracts folder that has samples.
///
/// # Errors
/// A contract that does not compile, or samples that can't be read.
pub fn roles(contracts: &Path) -> anyhow::Result<Vec<Arc<Role>>> {
    let places = Places::kit()?;
    let mut folders: Vec<_> = fs::read_dir(contracts)
        .with_context(|| format!("contracts in {}", contracts.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    folders.retain(|folder| folder.join("contract.toml").is_file());
    folders.sort();
    folders
        .iter()
        .map(|folder| {
            let bank = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let own = places.bank.get(&bank).cloned().unwrap_or_default();
            Ok(Arc::new(Role {
                contract: Arc::new(samples::contract(folder)?),
                samples: Samples::of(folder)?,
                own,
                bank,
            }))
        })
        .collect()
}
