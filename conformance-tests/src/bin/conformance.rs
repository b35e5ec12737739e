//! `conformance`: the conformance kit on the command line. Reads arguments and prints; what is done is in the library.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use conformance_tests::{
    history::{self, check::Judgement},
    pki::{self, Credentials, Names, Pki},
    programme::{self, Choice},
    reference_registry::{ReferenceRegistry, Repeats, Review, SAMPLES, Settings},
    scenario::StoreKind,
    soak::{self, Fault, Order},
};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(version, about = "The conformance kit: development PKI, reference registry, scenarios.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a development PKI: roots, gateway, registry, banks, and certificates to be refused.
    Pki(PkiArguments),
    /// Plays scenarios: for every bank that has the messages, over both ledger stores, against real processes.
    Run(RunArguments),
    /// Soaks the system: many banks file, retry, repeat, change and discharge at random while things fail, and what they
    /// heard is judged afterwards. Ends with what was found; 0 where every promise was kept.
    #[command(after_help = SOAK_EXAMPLES)]
    Soak(SoakArguments),
    /// Judges a history that a soak wrote, and ends as the soak did.
    CheckHistory {
        /// The file, a line of JSON each; docs/soak.md says what they mean.
        file: PathBuf,
    },
    /// Runs a registry to build against, until it is asked to end (SIGTERM, SIGINT).
    ReferenceRegistry(RegistryArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Scenarios whose name contains one of these; without any, all.
    names: Vec<String>,
    /// Folder of the scenarios.
    #[arg(long, default_value = "conformance-tests/scenarios", value_name = "FOLDER")]
    scenarios: PathBuf,
    /// Folder of the contracts.
    #[arg(long, default_value = "contracts/banks", value_name = "FOLDER")]
    contracts: PathBuf,
    /// Only this bank.
    #[arg(long)]
    bank: Option<String>,
    /// Only this ledger store: sqlite or postgres.
    #[arg(long)]
    store: Option<StoreKind>,
    /// How many are played at a time.
    #[arg(long, default_value_t = 6)]
    at_a_time: usize,
}

const SOAK_EXAMPLES: &str = "Examples:
  conformance soak --store postgres --replicas 2 --seconds 60
  conformance soak --store sqlite --operations 100000 --seconds 3600 --faults kill,registry
  conformance soak --store sqlite --registry not-idempotent";

#[derive(Debug, Args)]
struct SoakArguments {
    /// Where the ledger is: sqlite or postgres.
    #[arg(long)]
    store: StoreKind,
    /// How many gateways share it; more than one need Postgres.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// How long, at most, in seconds; what is open then is settled afterwards.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// About how many calls of banks, at most.
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
    /// Decides what banks do and what goes wrong.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the registry makes of a key that comes again: `idempotent`, the first case; `not-idempotent`, another case, so
    /// that a filing sent twice is registered twice.
    #[arg(long, default_value = "idempotent", value_name = "KIND")]
    registry: RegistryKind,
    /// What may go wrong, with commas: kill, restart, registry, registry-down, network, ledger-network, postgres. Without
    /// it, all that the store has; `none` is nothing.
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// How many calls are made at a time.
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// Where the history is written.
    #[arg(long, default_value = "soak.jsonl", value_name = "FILE")]
    history: PathBuf,
    /// Folder of the contracts.
    #[arg(long, default_value = "contracts/banks", value_name = "FOLDER")]
    contracts: PathBuf,
}

/// A registry's promise.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RegistryKind {
    Idempotent,
    NotIdempotent,
}

impl From<RegistryKind> for Repeats {
    fn from(kind: RegistryKind) -> Self {
        match kind {
            RegistryKind::Idempotent => Self::FirstCase,
            RegistryKind::NotIdempotent => Self::NewCase,
        }
    }
}

impl SoakArguments {
    fn order(self) -> anyhow::Result<Order> {
        let faults = match self.faults.as_deref() {
            None => Fault::ALL.into_iter().collect(),
            Some("none") => Default::default(),
            Some(list) => list.split(',').map(str::parse).collect::<anyhow::Result<_>>()?,
        };
        Ok(Order {
            contracts: self.contracts,
            store: self.store,
            replicas: self.replicas,
            time: Duration::from_secs(self.seconds),
            operations_max: self.operations,
            seed: self.seed,
            repeats: self.registry.into(),
            faults,
            clients: self.clients,
            history: self.history,
        })
    }
}

#[derive(Debug, Args)]
struct PkiArguments {
    /// Folder to write to; created where it is missing.
    folder: PathBuf,
    /// A bank that gets a client certificate with the name `core.NAME.example`; may be repeated.
    #[arg(long = "bank", value_name = "NAME")]
    banks: Vec<String>,
    /// A name of the registry's certificate besides `localhost` and `127.0.0.1`; may be repeated.
    #[arg(long = "registry-name", value_name = "DNS-NAME")]
    registries: Vec<String>,
}

#[derive(Debug, Args)]
struct RegistryArguments {
    /// Where it listens; port 0 takes any that is free.
    #[arg(long, default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Folder of a development PKI, for `--certificate`, `--key` and `--clients-ca`.
    #[arg(long, default_value = "pki", value_name = "FOLDER")]
    pki: PathBuf,
    /// Its certificate (PEM).
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Root of the gateways that may call (PEM).
    #[arg(long)]
    clients_ca: Option<PathBuf>,
    /// Data file (TOML) it starts from; without it the data that fit the kit's sample messages.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Where its control port listens: plain HTTP, loopback only; without it there is none.
    #[arg(long)]
    control: Option<SocketAddr>,
    /// Where the registrar's desk listens: pages on which a person decides, loopback only. Applications wait there for the
    /// registrar then: the answer to `Submit` is SUBMITTED.
    #[arg(long, conflicts_with = "review_on_command")]
    desk: Option<SocketAddr>,
    /// Answers ACCEPTED, and registers on command (`POST /advance`).
    #[arg(long)]
    review_on_command: bool,
    /// Makes a new case of a key that comes again, as some registries do.
    #[arg(long)]
    not_idempotent: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match Arguments::parse().command {
        Command::Pki(arguments) => make_pki(arguments)?,
        Command::Run(arguments) => return runtime.block_on(run_scenarios(arguments)),
        Command::Soak(arguments) => {
            let judgement = runtime.block_on(soak::run(&arguments.order()?, say))?;
            return Ok(told(&judgement));
        }
        Command::CheckHistory { file } => {
            return Ok(told(&history::check::judge(&history::read(&file)?)));
        }
        Command::ReferenceRegistry(arguments) => runtime.block_on(run_registry(arguments))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How many complaints are told; a broken system has one for every filing.
const COMPLAINTS_MAX: usize = 20;

fn told(judgement: &Judgement) -> ExitCode {
    for complaint in judgement.complaints.iter().take(COMPLAINTS_MAX) {
        say(&complaint.to_string());
    }
    if judgement.left_to_operators > 0 {
        say(&format!(
            "{} filings that banks gave up stay open for an operator, with nothing at the registry",
            judgement.left_to_operators
        ));
    }
    say(&judgement.told_and_proved());
    say(&judgement.to_string());
    if judgement.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run_scenarios(arguments: RunArguments) -> anyhow::Result<ExitCode> {
    let RunArguments { names, scenarios, contracts, bank, store, at_a_time } = arguments;
    let choice = Choice { names, bank, store, at_a_time };
    let (passed, failed) =
        programme::run(&scenarios, &contracts, &choice, |played| say(&played.to_string())).await?;
    say(&format!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn make_pki(arguments: PkiArguments) -> anyhow::Result<()> {
    let PkiArguments { folder, banks, registries } = arguments;
    let pki = Pki::write(&folder, &Names { banks, registries })?;
    say(&format!("banks trust {}", pki.banks_ca.display()));
    for (bank, credentials) in &pki.banks {
        say(&format!("{bank}: {} ({})", credentials.certificate.display(), pki::bank_san(bank)));
    }
    Ok(())
}

async fn run_registry(arguments: RegistryArguments) -> anyhow::Result<()> {
    // Before anything is said, so that whoever reads the address may end it at once.
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let registry = ReferenceRegistry::start(arguments.settings()?).await?;
    let control = match registry.control_port() {
        Some(address) => format!(" control={address}"),
        None => String::new(),
    };
    let desk = match registry.registrars_desk() {
        Some(address) => format!(" desk=http://{address}/"),
        None => String::new(),
    };
    say(&format!("reference registry listens={}{control}{desk}", registry.address()));
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    registry.control().stop().await;
    Ok(())
}

impl RegistryArguments {
    fn settings(self) -> anyhow::Result<Settings> {
        let pki = Pki::paths(&self.pki, &Names::default());
        let own = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Credentials { certificate, key },
            _ => pki.registry,
        };
        let data = match self.data {
            None => SAMPLES.to_owned(),
            Some(file) => {
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?
            }
        };
        Ok(Settings {
            listen: self.listen,
            own,
            clients_ca: self.clients_ca.unwrap_or(pki.registry_ca),
            data,
            review: match (self.desk, self.review_on_command) {
                (Some(_), _) => Review::AtTheDesk,
                (None, true) => Review::OnCommand,
                (None, false) => Review::AtOnce,
            },
            repeats: if self.not_idempotent { Repeats::NewCase } else { Repeats::FirstCase },
            control: self.control,
            desk: self.desk,
        })
    }
}

#[expect(clippy::print_stdout, reason = "a command line program answers on its standard output")]
fn say(line: &str) {
    println!("{line}");
}
