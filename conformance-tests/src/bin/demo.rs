//! `demo`: the whole thing on one machine, as `make demo` shows it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use conformance_tests::demo;

/// Starts a gateway, a registry and two banks on this machine, and plays a story in which mortgages are registered and
/// discharged. Shows what each bank sends (→) and hears (←), in its own words.
///
/// Needs the program `directlink` beside this one. Everything is on loopback and in a temporary folder.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 everything happened as told; 1 something did not.

Examples:
  demo          play the story, then keep the gateway running until Ctrl-C
  demo --once   play the story and end"
)]
struct Arguments {
    /// Ends after the story; otherwise the gateway runs on until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// Folder of the contracts.
    #[arg(long, default_value = "contracts/banks", value_name = "FOLDER")]
    contracts: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match demo::play(&arguments.contracts, say).await {
        Ok((deployment, tally)) => {
            if !arguments.once {
                say("\nStill running; Ctrl-C ends it.");
                for gateway in &deployment.gateways {
                    say(&format!("Try: curl http://{}/metrics", gateway.admin));
                }
                let _interrupted = tokio::signal::ctrl_c().await;
            }
            say(&format!("\n{tally}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("\nfailed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program that tells a story")]
fn say(line: &str) {
    println!("{line}");
}
