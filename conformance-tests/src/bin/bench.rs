//! `bench`: what an exchange costs. Reads arguments and prints; what is measured, and how, is in the library.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use conformance_tests::{
    bench::{
        contest::{self, Plan},
        feeds,
        floor::Floor,
        ledgers::{self, Part},
        monday, notices,
        process::told_to_end,
        proofs, upstream,
    },
    samples,
};
use gateway::tls::{self, Protocol};

#[derive(Debug, Parser)]
#[command(version, about = "What an exchange costs, beside a floor that only forwards bytes.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures whole processes: gateway and floor in alternating rounds.
    Exchange(Exchange),
    /// Measures what the ledger costs: floor, gateway without a ledger, on SQLite, on Postgres, in alternating rounds; a steady
    /// stream; claims with many keys stored. Aims stand beside what was seen.
    #[command(after_help = LEDGER_EXAMPLES)]
    Ledger(Ledger),
    /// Measures what a proof out of the log of exchanges costs, with few leaves and with many, in both stores.
    Proofs(Proofs),
    /// Measures what telling costs: events taken in from a registry's stream and delivered to many subscribers, one of them
    /// dead; and a page of a feed at its beginning and at its end.
    #[command(after_help = NOTICES_EXAMPLES)]
    Notices(Notices),
    /// A Monday opening in simulated time: filings wait over the weekend, and are sent in order at the office's pace. Needs
    /// libfaketime.
    #[command(after_help = MONDAY_EXAMPLES)]
    Monday(Monday),
    /// The registry stand-in; `exchange` starts it.
    #[command(hide = true)]
    Upstream(Role),
    /// The floor; `exchange` starts it.
    #[command(hide = true)]
    Floor {
        #[command(flatten)]
        role: Role,
        #[arg(long)]
        upstream: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct Exchange {
    /// Folder of the bank's contract.
    contract: PathBuf,
    /// Golden case of the contract that is sent, each time with a serial of its own.
    case: String,
    /// Connections and messages per round, as CONNECTIONS:MESSAGES.
    #[arg(long, value_delimiter = ',', value_parser = stage, default_value = "1:2000,16:8000,64:20000")]
    stages: Vec<(usize, u64)>,
    /// Rounds of floor and of gateway per number of connections; an odd number has a true median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A round begins no message after so many seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Leaves the gateway's traces unexported.
    #[arg(long)]
    untraced: bool,
    /// The gateway's program. Default: `directlink` beside this one.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// File to write all figures to, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

const LEDGER_EXAMPLES: &str = "\
Examples:
  bench ledger contracts/banks/yunshui first_general                      everything; with 10 million keys, 20 GB of disk
  bench ledger contracts/banks/yunshui first_general --parts exchange     ratios to the floor, commits and syncs
  bench ledger contracts/banks/yunshui first_general --parts steady --seconds 20
  bench ledger contracts/banks/yunshui first_general --parts admit --keys 1000000
  bench ledger contracts/banks/yunshui first_general --parts exchange,steady --messages 2000 --rounds 1 --seconds 5";

#[derive(Debug, Args)]
struct Ledger {
    /// Folder of the bank's contract.
    contract: PathBuf,
    /// Golden case of the contract that is sent, each time with a serial of its own.
    case: String,
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_value = "exchange,steady,admit")]
    parts: Vec<Part>,
    /// Connections at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Messages per round.
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Rounds of each; an odd number has a true median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Filings a second of the steady stream.
    #[arg(long, default_value_t = 500)]
    per_second: u32,
    /// How long the steady stream is, in seconds; a round begins no message after so many either.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many keys are stored where claims are measured, beside a ledger with 10,000.
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// The gateway's program. Default: `directlink` beside this one.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// The same without a ledger. Default: `directlink-without-ledger` beside this one.
    #[arg(long)]
    without_ledger: Option<PathBuf>,
    /// File to write all figures to, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Proofs {
    /// How many leaves the large log has; ten million take 400 MB of disk in each store.
    #[arg(long, default_value_t = 10_000_000)]
    leaves: u64,
    /// How many proofs are taken out of each log.
    #[arg(long, default_value_t = 2_000)]
    proofs: u64,
    /// File to write all figures to, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

const NOTICES_EXAMPLES: &str = "\
Examples:
  bench notices                                           everything; ten million events take 3 GB of disk in each store
  bench notices --parts told --told 5000 --rounds 1
  bench notices --parts feed --events 1000000";

#[derive(Debug, Args)]
struct Notices {
    /// What is measured: `told`, events taken in and delivered; `feed`, pages of a feed.
    #[arg(long, value_delimiter = ',', default_value = "told,feed")]
    parts: Vec<NoticesPart>,
    /// Folder of the contract that the institutions file in; told they are in the standard words.
    #[arg(long, default_value = "contracts/banks/yunshui")]
    contract: PathBuf,
    /// Events of a round of `told`.
    #[arg(long, default_value_t = 20_000)]
    told: u64,
    /// Subscribers.
    #[arg(long, default_value_t = 100)]
    subscribers: u64,
    /// Rounds of each; an odd number has a true median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many events the long feed has, beside one of 100,000.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// The gateway's program. Default: `directlink` beside this one.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// File to write all figures to, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

const MONDAY_EXAMPLES: &str = "\
Examples:
  bench monday                                a province's: 5,000 filings for 1,000 homes
  bench monday --homes 100 --speed 40         500, sooner";

#[derive(Debug, Args)]
struct Monday {
    /// Folder of the bank's contract.
    #[arg(default_value = "contracts/banks/yunshui")]
    contract: PathBuf,
    /// Its sample of a mortgage of one home, which is filed for each.
    #[arg(default_value = "first_general")]
    case: String,
    /// How many homes are charged.
    #[arg(long, default_value_t = 1_000)]
    homes: usize,
    /// How many filings wait for each home.
    #[arg(long, default_value_t = 5)]
    filings_per_home: usize,
    /// How many filings that waited the office takes a minute.
    #[arg(long, default_value_t = 300)]
    per_minute: u32,
    /// How many times as fast the gateway's clock runs.
    #[arg(long, default_value_t = 20)]
    speed: u32,
    /// File to write all figures to, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum NoticesPart {
    Told,
    Feed,
}

/// What the processes of a run share.
#[derive(Debug, Args)]
struct Role {
    contract: PathBuf,
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Exchange(arguments) => block_on(exchange(arguments)),
        Command::Ledger(arguments) => block_on(ledger(arguments)),
        Command::Proofs(arguments) => block_on(proofs(arguments)),
        Command::Notices(arguments) => block_on(notices(arguments)),
        Command::Monday(arguments) => block_on(monday(arguments)),
        Command::Upstream(role) => {
            let pki = contest::pki_of(&role.folder, &contest::bank_of(&role.contract)?);
            let own = &pki.registry;
            let tls =
                tls::server_config(&own.certificate, &own.key, &pki.registry_ca, Protocol::Https)?;
            block_on(upstream::serve(tls, told_to_end(), say))
        }
        Command::Floor { role, upstream } => {
            let pki = contest::pki_of(&role.folder, &contest::bank_of(&role.contract)?);
            let (own, client) = (&pki.gateway, &pki.gateway_client);
            let floor = Floor {
                server: tls::server_config(
                    &own.certificate,
                    &own.key,
                    &pki.banks_ca,
                    Protocol::Tcp,
                )?,
                client: tls::client_config(&pki.registry_ca, &client.certificate, &client.key)?
                    .into(),
                upstream,
                prefix: samples::contract(&role.contract)?
                    .wire()
                    .prefix
                    .context("no length prefix")?,
                reply: fs::read(role.folder.join(contest::place::REPLY))?.into(),
            };
            block_on(floor.serve(told_to_end(), say))
        }
    }
}

async fn exchange(arguments: Exchange) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let beside = own.parent().context("this program lies in a folder")?;
    // Beside the program because that is on a disk, as a ledger is; a temporary folder often is not.
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
    let compiled = samples::contract(&arguments.contract)?;
    let plan = Plan {
        contract: arguments.contract,
        case: arguments.case,
        stages: arguments.stages,
        rounds: arguments.rounds,
        limit: Duration::from_secs(arguments.seconds),
        traced: !arguments.untraced,
        gateway: arguments.gateway.unwrap_or_else(|| beside.join("directlink")),
        own: own.clone(),
        folder: folder.path().to_owned(),
    };
    let report = contest::run(&plan, &compiled, say).await?;
    if let Some(file) = arguments.json {
        fs::write(&file, serde_json::to_vec_pretty(&report)?)
            .with_context(|| file.display().to_string())?;
    }
    say(&report.to_string());
    Ok(())
}

async fn ledger(arguments: Ledger) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let beside = own.parent().context("this program lies in a folder")?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
    let compiled = samples::contract(&arguments.contract)?;
    let program = |given: Option<PathBuf>, name| given.unwrap_or_else(|| beside.join(name));
    let plan = ledgers::Plan {
        contract: arguments.contract,
        case: arguments.case,
        parts: arguments.parts,
        connections: arguments.connections,
        messages: arguments.messages,
        rounds: arguments.rounds,
        per_second: arguments.per_second,
        time: Duration::from_secs(arguments.seconds),
        keys: arguments.keys,
        gateway: program(arguments.gateway, "directlink"),
        without_ledger: program(arguments.without_ledger, "directlink-without-ledger"),
        own: own.clone(),
        folder: folder.path().to_owned(),
    };
    let report = ledgers::run(&plan, &compiled, say).await?;
    if let Some(file) = arguments.json {
        fs::write(&file, serde_json::to_vec_pretty(&report)?)
            .with_context(|| file.display().to_string())?;
    }
    say(&report.to_string());
    Ok(())
}

async fn proofs(arguments: Proofs) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let beside = own.parent().context("this program lies in a folder")?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
    let Proofs { leaves, proofs, json } = arguments;
    let measured = proofs::measure(folder.path(), leaves, proofs, say).await?;
    if let Some(file) = json {
        fs::write(&file, serde_json::to_vec_pretty(&measured)?)
            .with_context(|| file.display().to_string())?;
    }
    measured.iter().for_each(|proofs| say(&proofs.to_string()));
    Ok(())
}

async fn notices(arguments: Notices) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let beside = own.parent().context("this program lies in a folder")?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
    let (mut told, mut pages) = (None, Vec::new());
    if arguments.parts.contains(&NoticesPart::Told) {
        let plan = notices::Plan {
            contract: arguments.contract,
            events: arguments.told,
            subscribers: arguments.subscribers,
            rounds: arguments.rounds,
            gateway: arguments.gateway.unwrap_or_else(|| beside.join("directlink")),
            folder: folder.path().to_owned(),
        };
        let report = notices::run(&plan, say).await?;
        say(&report.to_string());
        told = Some(report);
    }
    if arguments.parts.contains(&NoticesPart::Feed) {
        pages = feeds::measure(folder.path(), arguments.events, say).await?;
        pages.iter().for_each(|pages| say(&pages.to_string()));
    }
    if let Some(file) = arguments.json {
        let all = serde_json::json!({ "told": told, "feed": pages });
        fs::write(&file, serde_json::to_vec_pretty(&all)?)
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

async fn monday(arguments: Monday) -> anyhow::Result<()> {
    let Monday { contract, case, homes, filings_per_home, per_minute, speed, json } = arguments;
    let plan = monday::Plan { contract, case, homes, filings_per_home, per_minute, speed };
    let monday = monday::run(&plan, say).await?;
    if let Some(file) = json {
        fs::write(&file, serde_json::to_vec_pretty(&monday)?)
            .with_context(|| file.display().to_string())?;
    }
    say(&monday.to_string());
    Ok(())
}

/// As `directlink` runs: all roles on the same runtime.
fn block_on(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(role)
}

fn stage(text: &str) -> Result<(usize, u64), String> {
    let stage = text.split_once(':').and_then(|(connections, requests)| {
        Some((connections.parse().ok()?, requests.parse().ok()?))
    });
    stage.ok_or_else(|| format!("{text} is not CONNECTIONS:MESSAGES"))
}

#[expect(clippy::print_stdout, reason = "a command line program answers on its standard output")]
fn say(line: &str) {
    println!("{line}");
}
