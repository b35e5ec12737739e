//! `mapping`: what it costs to read and write the banks' messages, and to hold their contracts. Reads arguments and
//! prints; what is measured, and how, is in the library. A program of its own because it counts allocations, which would
//! weigh on what `bench` compares.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use conformance_tests::bench::{contracts_in, loading, machine, mapping, routing};

#[derive(Debug, Parser)]
#[command(
    version,
    about = "What it costs to read and write the banks' messages, and to hold their contracts."
)]
#[command(
    after_help = "Examples:\n  mapping steps contracts/banks\n  mapping load contracts/banks --contracts 700"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures decoding and encoding of each bank's first sample, on one core.
    Steps {
        /// Folder of the banks' contracts.
        #[arg(default_value = "contracts/banks")]
        banks: PathBuf,
        /// Only this bank's.
        #[arg(long)]
        bank: Option<String>,
    },
    /// Measures how long it takes to find the office in charge and the institution that calls, with as many as a country has.
    Route,
    /// Measures how long many contracts take to load and check, and the memory they stay in.
    Load {
        /// Folder of the banks' contracts.
        #[arg(default_value = "contracts/banks")]
        banks: PathBuf,
        /// How many; no two are alike.
        #[arg(long, default_value_t = 700)]
        contracts: usize,
    },
}

fn main() -> anyhow::Result<()> {
    say(&machine::description());
    match Arguments::parse().command {
        Command::Steps { banks, bank } => {
            say(mapping::HEAD);
            for folder in contracts_in(&banks)? {
                if bank.as_ref().is_none_or(|bank| folder.ends_with(bank)) {
                    say(&mapping::row(&folder, allocations)?.to_string());
                }
            }
        }
        Command::Route => {
            say(&routing::description());
            say(routing::HEAD);
            for look in routing::measure()? {
                say(&look.to_string());
            }
        }
        Command::Load { banks, contracts } => {
            let load = loading::load(&banks, contracts)?;
            let (before, after) = (load.before_kib / 1024, load.after_kib / 1024);
            let milliseconds = load.time.as_millis();
            let (user, system) = (load.user.as_millis(), load.system.as_millis());
            let contracts = load.contracts;
            say(&format!(
                "{contracts} contracts loaded and checked in {milliseconds} ms, of them {user} ms of CPU time and {system} ms in the kernel; memory {before} MiB before, {after} MiB after"
            ));
        }
    }
    Ok(())
}

fn allocations(step: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(step).count_total
}

#[expect(clippy::print_stdout, reason = "a command line program answers on its standard output")]
fn say(line: &str) {
    println!("{line}");
}
