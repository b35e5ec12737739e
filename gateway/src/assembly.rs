//! Puts a gateway together from its settings: contracts, offices, registries, ledger. Everything that is wrong is told at
//! once, so that `serve --check` and `serve` say the same.

use std::{error::Error, sync::Arc};

use arc_swap::ArcSwap;

pub use crate::contracts::read_contract;
use crate::{
    capability::Capabilities,
    contracts::Contracts,
    directory::Directory,
    evidence::checkpoint::Keys,
    exchange::Gateway,
    feeds::Feeds,
    ledger::{self, Ledger, LedgerError, LedgerSettings, PostgresSettings, SqliteSettings},
    materials::{Materials, NoStore},
    notices::Subscriber,
    seal::Seals,
    settings::{Problem, Settings, Store},
    telemetry::Metrics,
};

/// What needs no ledger: made from files alone.
#[derive(Debug)]
pub struct Parts {
    contracts: Contracts,
    directory: Directory,
    seals: Option<Arc<Seals>>,
    /// Keys of the log of exchanges.
    pub keys: Arc<Keys>,
    /// Who is told of events.
    pub subscribers: Vec<Subscriber>,
    metrics: Metrics,
}

/// Reads every file the settings name and checks it. Opens no port, connects to nobody.
///
/// # Errors
/// All problems of all files.
pub fn parts(settings: &Settings, metrics: Metrics) -> Result<Parts, Vec<Problem>> {
    let mut problems = Vec::new();
    let contracts = Contracts::load(settings).map_err(|found| problems.extend(found)).ok();
    let directory = Directory::new(settings, &metrics).map_err(|found| problems.extend(found)).ok();
    let seals = settings.queue.key_file.as_ref().and_then(|file| match Seals::read(file) {
        Ok(seals) => Some(Arc::new(seals)),
        Err(error) => {
            let message = format!("the keys of the queue: {error}");
            problems.push(Problem { file: file.clone(), line: None, message });
            None
        }
    });
    let keys = keys(settings).map_err(|found| problems.extend(found)).unwrap_or_default();
    if let Some(materials) = &settings.materials
        && let Err(error) = Materials::examine(materials)
    {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let message = format!("[materials]: {error}{cause}");
        problems.push(Problem { file: materials.folder.clone(), line: None, message });
    }
    let mut subscribers = Vec::new();
    for subscriber in contracts.iter().flat_map(|_| &settings.subscribers) {
        let made = contracts
            .as_ref()
            .map(|it| Subscriber::new(Arc::clone(subscriber), &settings.institutions, it));
        match made {
            Some(Ok(made)) => subscribers.push(made),
            Some(Err(found)) => problems.extend(found),
            None => {}
        }
    }
    match (contracts, directory) {
        (Some(contracts), Some(directory)) if problems.is_empty() => {
            let keys = Arc::new(keys);
            Ok(Parts { contracts, directory, seals, keys, subscribers, metrics })
        }
        _ => Err(problems),
    }
}

/// The keys of the log of exchanges.
///
/// # Errors
/// Every file that is none.
pub fn keys(settings: &Settings) -> Result<Keys, Vec<Problem>> {
    let (mut keys, mut problems) = (Keys::default(), Vec::new());
    for file in &settings.evidence.key_files {
        if let Err(error) = keys.add(file, &settings.evidence.origin) {
            let message = format!("a key of the log of exchanges: {error}");
            problems.push(Problem { file: file.clone(), line: None, message });
        }
    }
    if problems.is_empty() { Ok(keys) } else { Err(problems) }
}

/// A gateway over an open ledger.
///
/// # Errors
/// The store of materials cannot be opened.
pub fn assemble(
    settings: &Settings,
    parts: Parts,
    ledger: Arc<dyn Ledger>,
) -> Result<Gateway, NoStore> {
    let materials = settings.materials.as_ref().map(Materials::open).transpose()?;
    // Metrics outlive the ledger, which is closed when the last of its users lets go of it.
    let counted = Arc::downgrade(&ledger);
    parts.metrics.watch_commits(move || counted.upgrade().map_or(0, |ledger| ledger.commits()));
    Ok(Gateway {
        contracts: parts.contracts,
        directory: ArcSwap::from_pointee(parts.directory),
        capabilities: Capabilities::default(),
        seals: parts.seals,
        ledger,
        ask_again_after: settings.resolver.ask_again,
        lease: settings.ledger.lease,
        give_up_after: settings.resolver.give_up,
        expectation: settings.expectation.clone(),
        events: settings.events.clone(),
        feeds: Feeds::new(&settings.events),
        inline_material_bytes_max: settings.limits.inline_material_bytes_max,
        materials,
        document_bytes_max: settings.limits.document_bytes_max,
        origin: settings.evidence.origin.clone(),
        keys: parts.keys,
        metrics: parts.metrics,
    })
}

/// The ledger alone, its tables brought up to date.
///
/// # Errors
/// It cannot be opened.
pub async fn ledger(settings: &Settings) -> Result<Arc<dyn Ledger>, LedgerError> {
    ledger::open(&store(&settings.ledger.store)).await
}

/// The ledger alone, to be read beside the gateways that have it open.
///
/// # Errors
/// It cannot be reached.
pub async fn ledger_to_read(settings: &Settings) -> Result<Arc<dyn Ledger>, LedgerError> {
    ledger::open_to_read(&store(&settings.ledger.store)).await
}

/// The ledger alone, for a word of an operator's beside the gateways that have it open.
///
/// # Errors
/// It cannot be reached.
pub async fn ledger_beside(settings: &Settings) -> Result<Arc<dyn Ledger>, LedgerError> {
    ledger::open_beside(&store(&settings.ledger.store)).await
}

fn store(store: &Store) -> LedgerSettings {
    match store {
        Store::Sqlite(path) => LedgerSettings::Sqlite(SqliteSettings { path: path.clone() }),
        Store::Postgres { url, password_file, tls, pool_size_max, wait, statement } => {
            LedgerSettings::Postgres(PostgresSettings {
                url: url.clone(),
                password_file: password_file.clone(),
                tls: tls.clone(),
                pool_size_max: *pool_size_max,
                wait: *wait,
                statement_timeout: *statement,
            })
        }
    }
}
