//! `directlink manual FOLDER`: pages for `man` and completions for shells, made from the command line itself, and the pages of
//! docs/ that are made of the code.
//!
//! `make dist` and `make reference` call it; nobody else needs it, so the help does not name it.

use std::{fs, io, path::Path};

use clap::{Command, ValueEnum};
use clap_complete::Shell;
use gateway::reference;

/// Writes `man/` with a page for each command, `completions/` with a file for each shell, and `docs/`.
pub(crate) fn write(mut command: Command, folder: &Path) -> io::Result<()> {
    let (pages, completions) = (folder.join("man"), folder.join("completions"));
    let docs = folder.join("docs");
    fs::create_dir_all(&docs)?;
    for (name, page) in reference::pages() {
        fs::write(docs.join(name), page)?;
    }
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    // `help` has no page: each command has its own.
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), &pages)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command, "directlink", &completions)?;
    }
    Ok(())
}
