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

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut ended = ExitCode::SUCCESS;
    let stories = match browser::stories(&arguments.scripts) {
        Ok(stories) => stories,
        Err(error) => {
            say(&format!("FAILED  {error:#}"));
            return ExitCode::FAILURE;
        }
    };
    for story in &stories {
        let name = &story.script;
        if !arguments.stories.is_empty() && !arguments.stories.contains(name) {
            continue;
        }
        let ran =
            Box::pin(browser::run(story, &arguments.scripts, &arguments.contracts, say)).await;
        if let Err(error) = ran {
            say(&format!("FAILED  {name}: {error:#}"));
            ended = ExitCode::FAILURE;
        }
    }
    ended
}

#[expect(clippy::print_stdout, reason = "a program that tells what passed")]
fn say(line: &str) {
    println!("{line}");
}
