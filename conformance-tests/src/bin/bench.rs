//! `bench`: what an exchange costs. Reads arguments and prints; what is measured, and how, is in the library.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use conformance_tests::{
    bench::{
        contest::{self, Plan},
        floor::Floor,
        process::told_to_end,
        upstream,
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
