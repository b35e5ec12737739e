//! Puts a gateway together from its settings: contracts, offices, registries, ledger. Everything that is wrong is told at
//! once, so that `serve --check` and `serve` say the same.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use adapters::Contract;

use crate::{
    exchange::Gateway,
    ledger::{self, LedgerSettings, PostgresSettings, SqliteSettings},
    registry::Registry,
    route::Route,
    settings::{Problem, Settings, Store},
    telemetry::Metrics,
    tls,
};

/// What needs no ledger: made from files alone.
#[derive(Debug)]
pub struct Parts {
    contracts: HashMap<String, Arc<Contract>>,
    registries: HashMap<String, Registry>,
    metrics: Metrics,
}

impl Parts {
    /// Contracts by name.
    pub fn contracts(&self) -> &HashMap<String, Arc<Contract>> {
        &self.contracts
    }
}

/// Reads every file the settings name and checks it. Opens no port, connects to nobody.
///
/// # Errors
/// All problems of all files.
pub fn parts(settings: &Settings, metrics: Metrics) -> Result<Parts, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut contracts = HashMap::new();
    let mut registries = HashMap::new();
    for institution in &settings.institutions {
        if contracts.contains_key(&institution.contract) {
            continue;
        }
        match read_contract(&settings.contracts.folder.join(&institution.contract)) {
            Ok(contract) => {
                contracts.insert(institution.contract.clone(), Arc::new(contract));
            }
            Err(found) => problems.extend(found),
        }
    }
    for registry in &settings.registries {
        match connect_to(registry, &metrics) {
            Ok(made) => {
                registries.insert(registry.name.clone(), made);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Parts { contracts, registries, metrics }) } else { Err(problems) }
}

/// A gateway, its ledger open.
///
/// # Errors
/// The ledger cannot be opened.
pub async fn assemble(settings: &Settings, parts: Parts) -> Result<Gateway, ledger::LedgerError> {
    Ok(Gateway {
        contracts: parts.contracts,
        registries: parts.registries,
        route: Route::new(&settings.offices, &settings.routing),
        ledger: ledger::open(&store(&settings.ledger.store)).await?,
        ask_again_after: settings.resolver.ask_again,
        lease: settings.ledger.lease,
        metrics: parts.metrics,
    })
}

/// Reads and compiles the contract in a folder: `contract.toml` and the templates beside it.
///
/// # Errors
/// What cannot be read, and everything the checker refuses, each with its file and line.
pub fn read_contract(folder: &Path) -> Result<Contract, Vec<Problem>> {
    let files = read_texts(folder).map_err(|error| {
        vec![Problem { file: folder.to_owned(), line: None, message: error.to_string() }]
    })?;
    Contract::compile(&files).map_err(|complaints| {
        complaints
            .into_iter()
            .map(|complaint| Problem {
                line: files.get(&complaint.file).map(|text| line_at(text, complaint.span.start)),
                file: folder.join(complaint.file),
                message: complaint.message,
            })
            .collect()
    })
}

fn read_texts(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Folders (`cases`) are for tests.
        if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn connect_to(
    registry: &Arc<crate::settings::Registry>,
    metrics: &Metrics,
) -> Result<Registry, Problem> {
    let problem = |file: PathBuf, error: &dyn Error| Problem {
        file,
        line: None,
        message: format!("registry `{}`: {error}", registry.name),
    };
    let tls = tls::client_config(&registry.ca, &registry.certificate, &registry.key)
        .map_err(|error| problem(error.file().to_owned(), &error))?;
    Registry::new(Arc::clone(registry), Arc::new(tls), metrics.clone())
        .map_err(|error| problem(registry.ca.clone(), &error))
}

fn store(store: &Store) -> LedgerSettings {
    match store {
        Store::Sqlite(path) => LedgerSettings::Sqlite(SqliteSettings { path: path.clone() }),
        Store::Postgres { url, password_file, pool_size_max, wait, statement } => {
            LedgerSettings::Postgres(PostgresSettings {
                url: url.clone(),
                password_file: password_file.clone(),
                pool_size_max: *pool_size_max,
                wait: *wait,
                statement_timeout: *statement,
            })
        }
    }
}
