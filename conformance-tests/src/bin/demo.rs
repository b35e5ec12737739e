//! `demo`: the whole thing on one machine, as `make demo` shows it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use conformance_tests::demo;

/// Starts a gateway, a registry and two banks on this machine, and plays a story in which mortgages are registered and
/// discharged. Shows what each bank sends (→) and hears (←), in its own words.
///
/// Then the registry gets a desk: pages on which you are the registrar, in a browser. Applications wait there, and what each
/// bank hears is told here as you decide.
///
/// Needs the program `directlink` beside this one. Everything is on loopback and in a temporary folder.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 everything happened as told; 1 something did not.

Examples:
  demo          play the story, then be the registrar until Ctrl-C
  demo --desk 127.0.0.1:7080   the same, with the desk at an address of your own
  demo --once   play the story and end"
)]
struct Arguments {
    /// Ends after the story; otherwise the gateway runs on until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Where the registrar's desk listens after the story; loopback only, port 0 takes any that is free.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    desk: SocketAddr,
    /// Folder of the contracts.
    #[arg(long, default_value = "contracts/banks", value_name = "FOLDER")]
    contracts: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(tally) => {
            say(&format!("\n{tally}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("\nfailed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<demo::Tally> {
    let desk = (!arguments.once).then_some(arguments.desk);
    let (deployment, tally) = demo::play(&arguments.contracts, desk, say).await?;
    if arguments.once {
        return Ok(tally);
    }
    say("\nStill running; Ctrl-C ends it.");
    for gateway in &deployment.gateways {
        say(&format!("Try: curl http://{}/metrics", gateway.admin));
    }
    if let Some(address) = deployment.registry.registrars_desk() {
        say(&format!("登记员工作台 · You are the registrar at http://{address}/"));
    }
    tokio::select! {
        _interrupted = tokio::signal::ctrl_c() => Ok(tally),
        failed = demo::wait_for_the_registrar(deployment, &arguments.contracts, say) => match failed? {},
    }
}

#[expect(clippy::print_stdout, reason = "a program that tells a story")]
fn say(line: &str) {
    println!("{line}");
}
