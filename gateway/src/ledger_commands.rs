//! `directlink ledger …`: what operators do to the ledger themselves, beside replicas that serve.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use gateway::{assembly, settings::Settings};

use super::{Failure, runtime, say};

#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// Bring the ledger's tables up to date, serving nobody.
    ///
    /// Every `serve` does the same when it starts. Done before, it fails before a replica is replaced. Replicas of the
    /// version before go on serving meanwhile and afterwards. Of all that the settings name, only the ledger's own files
    /// need be there.
    Migrate {
        /// The settings file; every key is described in docs/settings-reference.md.
        #[arg(long, value_name = "FILE")]
        settings: PathBuf,
    },
}

pub(crate) fn run(command: LedgerCommand) -> Result<(), Failure> {
    match command {
        LedgerCommand::Migrate { settings } => migrate(&settings),
    }
}

fn migrate(file: &Path) -> Result<(), Failure> {
    let settings = Settings::load(file).map_err(Failure::Faulty)?;
    let opened = runtime()?.block_on(assembly::ledger(&settings));
    let ledger = opened.context("the ledger cannot be opened").map_err(Failure::Broken)?;
    drop(ledger);
    say("the ledger's tables are up to date");
    Ok(())
}
