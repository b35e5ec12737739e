//! `cargo ready`: all that a change must pass, one step after another, each with its seconds and the command to repeat
//! it alone. With `--all` (`make test`) also what needs a database or starts processes, installing what is missing.
//!
//! It holds no checks of its own: every step is a command. It goes on after a failure, to tell all at once.

use std::io::{Write, stderr};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;

/// Runs the checks of this repository.
#[derive(Parser)]
struct Arguments {
    /// Also what needs Postgres or starts the real processes; installs what is missing.
    #[arg(long)]
    all: bool,
}

/// One thing that is checked.
struct Step {
    name: &'static str,
    /// Leading `NAME=VALUE` words are the environment.
    command: &'static str,
    /// Without these programs the step is left out aloud, with what to do about it.
    needs: Option<(&'static str, &'static str)>,
    when: When,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// In the inner loop only: the same with less.
    Inner,
    /// With `--all` only.
    All,
}

/// One runner for both: nextest where it is, `cargo test` where not.
const TESTS: [[&str; 2]; 2] = [
    [
        "cargo nextest run --no-fail-fast --workspace",
        "cargo nextest run --no-fail-fast --workspace -E not(test(postgres))",
    ],
    [
        "cargo test --no-fail-fast --workspace --all-targets",
        "cargo test --no-fail-fast --workspace --all-targets -- --skip postgres",
    ],
];

fn steps() -> Vec<Step> {
    let step = |name, command| Step { name, command, needs: None, when: When::Always };
    let [tests, tests_without_database] = TESTS[usize::from(!runs("cargo nextest --version"))];
    // Where the advisories cannot be fetched, what can be checked without them still is, and the line says so.
    let dependencies = match runs("cargo deny fetch db") {
        true => step("dependencies", "cargo deny --all-features check"),
        false => step(
            "dependencies, no advisories",
            "cargo deny --all-features check bans licenses sources",
        ),
    };
    vec![
        step("format", "cargo fmt --all -- --check"),
        step("lints", "cargo clippy --workspace --all-targets -- -D warnings"),
        Step { when: When::All, ..step("tests", tests) },
        Step { when: When::Inner, ..step("tests", tests_without_database) },
        step("examples in documentation", "cargo test --workspace --doc"),
        step("documentation", "RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps"),
        Step {
            needs: Some(("npx --version", "install Node.js with npm")),
            ..step("protocol", "npx --yes @bufbuild/buf@1.75.0 lint proto")
        },
        Step {
            needs: Some(("cargo deny --version", "cargo install --locked cargo-deny")),
            ..dependencies
        },
        // Scenarios and demo start the gateway's own program, which stands beside theirs.
        Step { when: When::All, ..step("programs", "cargo build --workspace --bins") },
        Step { when: When::All, ..step("chart and image", "make chart") },
        Step { when: When::All, ..step("alerts and dashboard", "make alerts") },
        Step { when: When::All, ..step("ledger restored", "conformance-tests/drill.sh") },
        Step { when: When::All, ..step("scenarios", "cargo run --quiet --bin conformance -- run") },
        Step {
            when: When::All,
            ..step(
                "soak over Postgres, short",
                "cargo run --quiet --bin conformance -- soak --store postgres \
                 --replicas 2 --seconds 10 --history target/soak-postgres.jsonl",
            )
        },
        Step {
            when: When::All,
            ..step(
                "soak over SQLite, short",
                "cargo run --quiet --bin conformance -- soak --store sqlite \
                 --seconds 10 --history target/soak-sqlite.jsonl",
            )
        },
        Step { when: When::All, ..step("pages in a browser", "make browser") },
        Step { when: When::All, ..step("demo", "cargo run --quiet --bin demo -- --once") },
    ]
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .context("the repository's root")?;
    if arguments.all {
        install()?;
    }
    let left_out = if arguments.all { When::Inner } else { When::All };
    let mut told = Vec::new();
    let mut failed = 0;
    for step in steps().into_iter().filter(|step| step.when != left_out) {
        let (line, held) = taken(&step)?;
        say(&line)?;
        failed += usize::from(!held);
        told.push(line);
    }
    say(&format!("\n{}\n{failed} of {} steps failed", told.join("\n"), told.len()))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes one step; tells it in a line, and whether all is well. What could not be tried is no failure, but is told.
fn taken(step: &Step) -> Result<(String, bool)> {
    let Step { name, command, .. } = step;
    if let Some((probe, remedy)) = step.needs.filter(|(probe, _)| !runs(probe)) {
        let missing = probe.trim_end_matches(" --version");
        return Ok((format!("NOT RUN {name}: `{missing}` is missing ({remedy})"), true));
    }
    say(&format!("\n=== {name}: {command}"))?;
    let begun = Instant::now();
    let held = ready(command).status().with_context(|| command.to_owned())?.success();
    let word = if held { "ok     " } else { "FAILED " };
    Ok((format!("{word} {:>5} s  {name:<28} {command}", begun.elapsed().as_secs()), held))
}

/// Installs the programs that tests start, where the system has none.
fn install() -> Result<()> {
    let wanted = [
        ("initdb", "postgresql", database_is_here()),
        ("faketime", "faketime", runs("faketime --version")),
        ("npx", "nodejs npm", runs("npx --version")),
        ("curl", "curl", runs("curl --version")),
        ("sqlite3", "sqlite3", runs("sqlite3 --version")),
        ("chromium", "chromium fonts-noto-cjk", runs("chromium --version")),
        ("python3", "python3 python3-venv", runs("python3 -m ensurepip --version")),
    ];
    for (program, packages, here) in wanted {
        if here {
            continue;
        }
        say(&format!("\n=== {program} is missing: installing {packages}"))?;
        let apt = if runs("sudo -n true") { "sudo -n apt-get" } else { "apt-get" };
        // Lists age: an install without them often asks for versions that are gone.
        for command in [
            format!("{apt} update"),
            format!("{apt} install --yes --no-install-recommends {packages}"),
        ] {
            let done = ready(&format!("DEBIAN_FRONTEND=noninteractive {command}")).status();
            if !done.is_ok_and(|status| status.success()) {
                say(&format!("`{command}` failed: install {packages} by hand"))?;
            }
        }
    }
    Ok(())
}

/// Debian keeps the server's programs out of the search path, one folder a version.
fn database_is_here() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    runs("initdb --version")
        || versions.into_iter().any(|version| version.path().join("bin/initdb").exists())
}

fn runs(command: &str) -> bool {
    ready(command)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command behind its words; no word holds a blank.
fn ready(words: &str) -> Command {
    let mut words = words.split_whitespace().peekable();
    let mut environment = Vec::new();
    while let Some(pair) = words.peek().and_then(|word| word.split_once('=')) {
        environment.push(pair);
        words.next();
    }
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).envs(environment);
    command
}

fn say(words: &str) -> Result<()> {
    // To the same stream as cargo's own words, so that they stay in order.
    writeln!(stderr(), "{words}").context("writing what was run")
}
