//! The `directlink` program: its words on the command line, and the order in which a gateway comes up and goes down.
//!
//! Nothing is decided here about messages, banks or registries.

mod columns;
mod contract_commands;
mod evidence_commands;
mod ledger_commands;
mod manual;
mod notice_commands;
mod operator;
mod reconciliation_commands;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use contract_commands::ContractCommand;
use evidence_commands::EvidenceCommand;
use gateway::{
    admin_port::{self, Readiness},
    assembly::{self, Parts},
    attendance::Attendance,
    bank_port::BankPort,
    certificates,
    console::{Console, NoConsole},
    contracts,
    directory::watch::{self, Followers, Seen},
    entrance::{self, Entrance},
    evidence::sequencer,
    exchange::Gateway,
    feeds,
    identity::Identities,
    ledger::{Ledger, LedgerError},
    notices, opener,
    retention::{self, Old},
    settings::{Problem, Settings, Store},
    telemetry::{self, Metrics, NoCollector, Telemetry},
    tls::{Protocol, TlsError},
    turnstile::Turnstile,
};
use ledger_commands::LedgerCommand;
use notice_commands::NoticeCommand;
use reconciliation_commands::{FindingsCommand, RECONCILE_HELP, Reconcile};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// The system's allocator spends twice as long on what one thread makes and another drops, as a filing on its way
/// through the ledger does (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Carries banks' own messages to provincial land registries and the answers back.
#[derive(Parser)]
#[command(name = "directlink", version = version(), arg_required_else_help = true, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// With the commit it was built from, where whoever built it said so: the program does not ask git, so that the same
/// sources give the same bytes.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        match option_env!("DIRECTLINK_COMMIT").filter(|commit| !commit.is_empty()) {
            Some(commit) => format!("{version} (commit {commit})"),
            None => version.to_owned(),
        }
    });
    &VERSION
}

const AFTER_HELP: &str = "\
Examples:
  directlink serve --settings directlink.toml --check   say what is wrong with the settings, or nothing
  directlink serve --settings directlink.toml           serve until SIGTERM or SIGINT
  directlink ledger migrate --settings directlink.toml  bring the ledger's tables up to date, and end
  directlink contract check contracts/banks/*           say what is wrong with contracts
  directlink contract --help                            all the tools for contracts
  directlink notices list --settings directlink.toml    what subscribers were not told, and why
  directlink evidence --help                            bundles of evidence: made, judged, and the log audited
  directlink reconcile --help                           compare a day's books with the registries'

Exit codes:
  0  it was done; for serve: it was told to stop, and everything in flight was finished
  1  it could not be done; what is wrong is said on standard error
  2  the command line was not understood";

#[derive(Subcommand)]
enum Command {
    /// Serve banks, as one TOML file says.
    ///
    /// Logs are JSON lines on standard error. The first line that says `serving` tells the addresses of the ports. A
    /// SIGTERM or SIGINT lets nobody in any more and finishes what is in flight; a second one stops at once. Contracts
    /// that change on disk are taken without a restart, and so are institutions, the console's people, offices, registries,
    /// matters and the calendar of the settings; a SIGHUP makes it look for them at once.
    Serve {
        /// The settings file; every key is described in docs/settings-reference.md.
        #[arg(long, value_name = "FILE")]
        settings: PathBuf,
        /// Only load everything the settings name (certificates, keys, contracts) and say all that is wrong. Opens no
        /// port and no ledger.
        #[arg(long)]
        check: bool,
    },
    /// Look after contracts: check, test, explain, draft, … 合约工具
    #[command(subcommand)]
    Contract(ContractCommand),
    /// Look after the ledger.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// See to notices that subscribers did not take: list them, have them sent again. 通知
    #[command(subcommand)]
    Notices(NoticeCommand),
    /// Prove what was said in exchanges, years later and to anybody. 存证
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Compare one day's books with the registries', sums first, then case by case. 对账
    #[command(after_help = RECONCILE_HELP)]
    Reconcile(Reconcile),
    /// See to what was found when books were compared. 对账差异
    #[command(subcommand)]
    Findings(FindingsCommand),
    /// Write pages for `man` and completions for shells.
    #[command(hide = true)]
    Manual {
        /// Folder to write to; made where it is missing.
        folder: PathBuf,
    },
}

pub(crate) fn main() -> ExitCode {
    run(assembly::ledger)
}

/// The program; `open` opens its ledger.
pub(crate) fn run(open: impl OpensLedger) -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Contract(command) => return contract_commands::run(command),
        Command::Evidence(command) => return evidence_commands::run(command),
        Command::Reconcile(asked) => return ended(reconciliation_commands::reconcile(&asked)),
        Command::Findings(command) => return ended(reconciliation_commands::findings(&command)),
        Command::Ledger(command) => ledger_commands::run(command),
        Command::Notices(command) => notice_commands::run(command),
        Command::Manual { folder } => manual::write(Arguments::command(), &folder)
            .with_context(|| folder.display().to_string())
            .map_err(Failure::Broken),
        Command::Serve { settings, check: true } => check(&settings),
        Command::Serve { settings, check: false } => serve(&settings, open),
    };
    ended(done.map(|()| ExitCode::SUCCESS))
}

fn ended(done: Result<ExitCode, Failure>) -> ExitCode {
    done.unwrap_or_else(|failure| {
        // Nobody can be told if standard error is gone.
        let _unsaid = write!(io::stderr(), "{failure}");
        ExitCode::FAILURE
    })
}

/// How a ledger is opened as settings say.
pub(crate) trait OpensLedger:
    AsyncFn(&Settings) -> Result<Arc<dyn Ledger>, LedgerError>
{
}

impl<O: AsyncFn(&Settings) -> Result<Arc<dyn Ledger>, LedgerError>> OpensLedger for O {}

/// Why the program ends with 1.
enum Failure {
    /// Files are not as they should be.
    Faulty(Vec<Problem>),
    /// Something outside is not.
    Broken(anyhow::Error),
    /// The log has said it.
    Logged,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Faulty(problems) => {
                problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))
            }
            Self::Broken(error) => writeln!(out, "directlink: {error:#}"),
            Self::Logged => Ok(()),
        }
    }
}

/// Says a line to whoever runs the program.
fn say(line: &str) {
    // Nobody can be told if standard output is gone.
    let _unsaid = writeln!(io::stdout(), "{line}");
}

fn check(settings: &Path) -> Result<(), Failure> {
    let runtime = runtime()?;
    // Channels to registries are made inside a runtime, although nothing is connected to.
    let _inside = runtime.enter();
    let ready = prepare(settings)?;
    let remarks = certificates::remarks(&ready.settings, SystemTime::now());
    let (faults, warnings): (Vec<_>, Vec<_>) = remarks.into_iter().partition(|it| it.is_fault);
    for warning in warnings {
        say(&warning.to_string());
    }
    if !faults.is_empty() {
        return Err(Failure::Faulty(faults.into_iter().map(Into::into).collect()));
    }
    say(&format!("{}: nothing is wrong", settings.display()));
    if ready.parts.keys.signing().is_empty() {
        say(
            "no private key in `key_files` of [evidence]: what is kept as evidence is signed by nobody yet",
        );
    }
    Ok(())
}

/// What a gateway needs that can be had from files alone.
struct Ready {
    settings: Settings,
    seen: Seen,
    metrics: Metrics,
    parts: Parts,
    entrance: Arc<Entrance<Identities>>,
    console: Option<Console>,
}

/// Loads everything the settings name; tells all that is wrong with any of it.
fn prepare(file: &Path) -> Result<Ready, Failure> {
    let seen = Seen::read(file);
    let settings = seen.settings.clone().map_err(Failure::Faulty)?;
    let metrics = Metrics::new().map_err(|error| Failure::Broken(error.into()))?;
    let parts = assembly::parts(&settings, metrics.clone());
    let entrance = entrance(&settings);
    let mut problems = unreadable_secrets(&settings);
    problems.extend(no_collector(&settings, file));
    match (parts, entrance) {
        (Ok(parts), Ok(entrance)) if problems.is_empty() => {
            let console = Console::new(&settings, &seen.text, metrics.clone());
            let console = console.map_err(|error| match error {
                NoConsole::Pages(error) => Failure::Broken(error.into()),
                NoConsole::Files(error) => Failure::Faulty(vec![about(&error)]),
            })?;
            return Ok(Ready { settings, seen, metrics, parts, entrance, console });
        }
        (parts, entrance) => {
            problems.extend(parts.err().unwrap_or_default());
            problems.extend(entrance.err());
        }
    }
    Err(Failure::Faulty(problems))
}

fn unreadable_secrets(settings: &Settings) -> Vec<Problem> {
    let Store::Postgres { password_file: Some(file), .. } = &settings.ledger.store else {
        return Vec::new();
    };
    let told = std::fs::read_to_string(file).err().map(|error| Problem {
        file: file.clone(),
        line: None,
        message: format!("the ledger's password cannot be read: {error}"),
    });
    told.into_iter().collect()
}

/// Why traces could not be exported.
fn no_collector(settings: &Settings, file: &Path) -> Option<Problem> {
    let error = telemetry::check(&settings.telemetry).err()?;
    let told = |file: &Path| Problem {
        file: file.to_owned(),
        line: None,
        message: format!("traces cannot be exported: {error}"),
    };
    Some(match &error {
        NoCollector::Tls(error) => told(error.file()),
        NoCollector::Address | NoCollector::ServerName(_) | NoCollector::Endpoint(_) => told(file),
    })
}

/// The way in for banks.
fn entrance(settings: &Settings) -> Result<Arc<Entrance<Identities>>, Problem> {
    let identities = Identities::new(&settings.institutions, &settings.listen.proxies);
    Entrance::open((&settings.listen).into(), identities).map_err(|error| about(&error))
}

fn about(error: &TlsError) -> Problem {
    Problem { file: error.file().to_owned(), line: None, message: error.to_string() }
}

fn runtime() -> Result<Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::Broken(error.into()))
}

fn serve(settings: &Path, open: impl OpensLedger) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let ready = prepare(settings)?;
        let telemetry = Telemetry::start(&ready.settings.telemetry, ready.metrics.clone())
            .map_err(|error| Failure::Broken(error.into()))?;
        let served = serve_until_told(ready, open).await.map_err(|error| {
            let error: &(dyn std::error::Error + 'static) = error.as_ref();
            tracing::error!(error, "not serving");
            Failure::Logged
        });
        if let Err(error) = telemetry.stop().await {
            // A collector that is away says nothing about what was done for banks.
            tracing::warn!("{error}");
        }
        served
    })
}

/// Up: operators first, so that they see why it takes long; then the ledger, the banks' ports, and whatever works on
/// its own. Down: the other way round.
async fn serve_until_told(ready: Ready, open: impl OpensLedger) -> anyhow::Result<()> {
    let Ready { settings, seen, metrics, mut parts, entrance, console } = ready;
    let mut told = Told::listen()?;
    let (reload, settings_reload) = (signal(SignalKind::hangup())?, signal(SignalKind::hangup())?);
    let readiness = Readiness::default();
    let mut workers = JoinSet::new();

    let admin = bind(settings.admin.address).await?;
    let (admin_address, admin_stop) = (admin.local_addr()?, CancellationToken::new());
    let pages = admin_port::serve(
        admin,
        readiness.clone(),
        metrics.clone(),
        console.clone(),
        admin_stop.clone(),
    );
    let pages = tokio::spawn(pages);
    let mut console_address = None;
    let own_pages = match console.clone().map(|console| (console.address(), console)) {
        Some((Some(address), console)) => {
            let listener = bind(address).await?;
            console_address = Some(listener.local_addr()?);
            Some(tokio::spawn(console.serve(listener, admin_stop.clone())))
        }
        Some((None, _)) | None => None,
    };

    for remark in certificates::remarks(&settings, SystemTime::now()) {
        tracing::warn!(file = %remark.file.display(), "{}", remark.message);
    }

    let ledger = open(&settings).await.context("the ledger cannot be opened")?;
    let keys = Arc::clone(&parts.keys);
    let subscribers = std::mem::take(&mut parts.subscribers);
    let gateway = assembly::assemble(&settings, parts, ledger).context("[materials]")?;
    let gateway = Arc::new(gateway);
    if let Some(console) = &console {
        console.serving(&gateway);
    }
    let resolving = CancellationToken::new();
    let attendance = Attendance::begin(Arc::clone(&gateway), &settings, resolving.clone());
    let turnstile = Arc::new(Turnstile::new(&settings.limits, &settings.institutions, &metrics));
    let followers = Followers {
        gateway: Arc::clone(&gateway),
        entrance: Arc::clone(&entrance),
        turnstile: Arc::clone(&turnstile),
        console: console.clone(),
    };
    let (every, started) = (settings.contracts.reload, (seen, settings.clone()));
    workers.spawn(watch::watch(followers, attendance, started, every, settings_reload));

    if let Some(seals) = &gateway.seals {
        let (gateway, seals) = (Arc::clone(&gateway), Arc::clone(seals));
        workers.spawn(opener::open(gateway, seals, settings.resolver.clone(), resolving.clone()));
    }

    let sequencing = CancellationToken::new();
    let keeping =
        sequencer::keep(Arc::clone(&gateway), settings.evidence.clone(), keys, sequencing.clone());
    let keeping = tokio::spawn(keeping);

    let ages = [
        (Old::Filings, settings.ledger.retention),
        (Old::Events, settings.events.retention),
        (Old::Findings, settings.reconciliation.unwrap_or_default().retention),
        (Old::Salts, settings.evidence.salt_retention),
    ];
    for (old, age) in ages {
        workers.spawn(retention::delete(Arc::clone(&gateway), old, age, resolving.clone()));
    }
    if let Some(materials) = &gateway.materials {
        let age = materials.settings().retention;
        workers.spawn(retention::delete_materials(materials.clone(), age, resolving.clone()));
    }

    workers.spawn(notices::tell(Arc::clone(&gateway), subscribers, resolving.clone()));
    workers.spawn(feeds::look(Arc::clone(&gateway), resolving.clone()));

    let watching = CancellationToken::new();
    let watch =
        contracts::watch(Arc::clone(&gateway), settings.contracts.reload, reload, watching.clone());
    workers.spawn(watch);

    let (every, asked) = (settings.listen.reload, signal(SignalKind::hangup())?);
    let (banks, until) = (Arc::clone(&entrance), watching.clone());
    workers.spawn(entrance::watch(banks, every, metrics.clone(), asked, until.clone()));
    if let Some(people) = console.as_ref().and_then(Console::entrance) {
        let asked = signal(SignalKind::hangup())?;
        workers.spawn(entrance::watch(people, every, metrics.clone(), asked, until));
    }

    let port = BankPort::new(Arc::clone(&gateway), entrance, turnstile, settings.limits, metrics);
    let ports = [(Protocol::Https, settings.listen.https), (Protocol::Tcp, settings.listen.tcp)];
    let (mut addresses, mut listeners) = ([None, None], Vec::new());
    for ((protocol, wanted), address) in ports.into_iter().zip(&mut addresses) {
        let Some(wanted) = wanted else { continue };
        let listener = bind(wanted).await?;
        *address = Some(listener.local_addr()?);
        listeners.push((protocol, listener));
    }
    for (protocol, listener) in listeners {
        workers.spawn(Arc::clone(&port).serve(listener, protocol));
    }
    readiness.serving(Arc::clone(&gateway.ledger));
    tell_serving(admin_address, console_address, addresses);

    told.stop().await;
    tracing::info!("stopping: nobody is let in any more");
    readiness.stopping();
    port.stop();
    gateway.feeds.stop();
    let cut_off = tokio::select! {
        cut_off = port.finished() => cut_off,
        () = told.stop() => anyhow::bail!("told to stop at once"),
    };
    resolving.cancel();
    watching.cancel();
    while workers.join_next().await.is_some() {}
    // Last: what was just answered is to be in the tree, and under a checkpoint.
    sequencing.cancel();
    keeping.await.context("the log of exchanges broke")?;
    admin_stop.cancel();
    pages.await?.context("the port for operators broke")?;
    if let Some(own_pages) = own_pages {
        own_pages.await.context("the console's port broke")?;
    }
    drop::<Arc<Gateway>>(gateway);
    anyhow::ensure!(cut_off == 0, "{cut_off} connections and exchanges were cut off");
    tracing::info!("stopped: everything in flight was finished");
    Ok(())
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))
}

fn tell_serving(
    admin: SocketAddr,
    console: Option<SocketAddr>,
    [https, tcp]: [Option<SocketAddr>; 2],
) {
    let told = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        admin = admin.to_string(),
        console = told(console),
        https = told(https),
        tcp = told(tcp),
        "serving"
    );
}

/// The signals by which a process is told to stop.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
