//! `browser`: drives the pages in a real Chromium, as `make browser` does. Reads arguments and prints.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use conformance_tests::browser;

/// Drives the pages for people in a real Chromium: the registrar's desk, and the operators' console.
///
/// Needs Node.js, Debian's chromium, what `npm ci` puts into conformance-tests/browser, and the program `directlink` beside
/// this one. Screenshots are kept in target/browser.
#[derive(Debug, Parser)]
#[command(version, after_help = "Examples:\n  browser\n  browser desk\n  browser console")]
struct Arguments {
    /// Which pages; without any, all.
    stories: Vec<String>,
    /// Folder of the scripts.
    #[arg(long, default_value = "conformance-tests/browser", value_name = "FOLDER")]
    scripts: PathBuf,
    /// Folder of the contracts.
    #[arg(long, default_value = "contracts/banks", value_name = "FOLDER")]
    contracts: PathBuf,
}

/// The scripts, and the banks that are in each.
const STORIES: [(&str, &[&str]); 2] =
    [("desk", &["yunshui", "fudeng"]), ("console", &["yunshui", "fudeng"])];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut ended = ExitCode::SUCCESS;
    for (story, banks) in STORIES {
        if !arguments.stories.is_empty() && !arguments.stories.iter().any(|it| it == story) {
            continue;
        }
        let script = arguments.scripts.join(story).with_extension("mjs");
        if let Err(error) = browser::run(&script, &arguments.contracts, banks, say).await {
            say(&format!("FAILED  {story}: {error:#}"));
            ended = ExitCode::FAILURE;
        }
    }
    ended
}

#[expect(clippy::print_stdout, reason = "a program that tells what passed")]
fn say(line: &str) {
    println!("{line}");
}
