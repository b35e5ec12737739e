//! `conformance`: the conformance kit on the command line. Reads arguments and prints; what is done is in the library.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use conformance_tests::pki::{self, Names, Pki};

#[derive(Debug, Parser)]
#[command(version, about = "The conformance kit: development PKI, reference registry, scenarios.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a development PKI: roots, gateway, registry, banks, and certificates to be refused.
    Pki {
        /// Folder to write to; created where it is missing.
        folder: PathBuf,
        /// A bank that gets a client certificate with the name `core.NAME.example`; may be repeated.
        #[arg(long = "bank", value_name = "NAME")]
        banks: Vec<String>,
        /// A name of the registry's certificate besides `localhost` and `127.0.0.1`; may be repeated.
        #[arg(long = "registry-name", value_name = "DNS-NAME")]
        registries: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Pki { folder, banks, registries } => {
            let pki = Pki::write(&folder, &Names { banks, registries })?;
            say(&format!("banks trust {}", pki.banks_ca.display()));
            for (bank, credentials) in &pki.banks {
                let san = pki::bank_san(bank);
                say(&format!("{bank}: {} ({san})", credentials.certificate.display()));
            }
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command line program answers on its standard output")]
fn say(line: &str) {
    println!("{line}");
}
