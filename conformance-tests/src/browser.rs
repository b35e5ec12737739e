//! Pages in a real Chromium: a gateway and a registry as processes, and a script of `browser/` that drives a browser and has
//! banks do what scenarios' steps say.
//!
//! The script asks on its standard output (`{"bank":"…","step":"bank sends …"}`, a line each) and reads the answer on its
//! standard input; its other lines are told as they are.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::{
    deployment::{Deployment, Places, Plan},
    programme,
    reference_registry::{Review, Settings},
    scenario::{Step, stage::Stage},
};

/// How long one script may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The console is open, and exchanges are under a checkpoint soon.
const SETTINGS: &str = r#"
console = {}
evidence = { origin = "log.example/stage", key_files = ["evidence.key"], checkpoint_seconds = 1 }
"#;

/// What a script asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    bank: String,
    step: String,
}

/// Runs one script against a deployment of its own, with the registrar's desk open and its banks in `banks`.
///
/// # Errors
/// Something of it did not go as it says, or it could not be run.
pub async fn run(
    script: &Path,
    contracts: &Path,
    banks: &[&str],
    tell: impl FnMut(&str),
) -> anyhow::Result<()> {
    let roles = programme::roles(contracts)?;
    let plan = Plan {
        kinds: Default::default(),
        banks: banks.iter().map(|bank| (*bank).to_owned()).collect(),
        others: Vec::new(),
        apart: None,
        contracts: contracts.to_owned(),
        places: Places::kit()?,
        replicas: 1,
        ledger: toml::Table::from_iter([("sqlite".to_owned(), "ledger.db".into())]),
        idempotent: true,
        settings: toml::from_str(SETTINGS)?,
    };
    let mut deployment = Deployment::prepare(&plan, |settings| Settings {
        review: Review::AtTheDesk,
        desk: Some(([127, 0, 0, 1], 0).into()),
        ..settings
    })
    .await?;
    deployment.start().await?;
    let desk = deployment.registry.registrars_desk().context("no desk")?;
    let admin = deployment.gateways.first().context("no gateway")?.admin;
    let mut node = Command::new("node");
    node.arg(script)
        .env("DESK", format!("http://{desk}/"))
        .env("CONSOLE", format!("http://{admin}/console/"))
        .env("OUTPUT", output()?);
    let stage = Stage::new(deployment, None);
    timeout(PATIENCE, converse(node, stage, &roles, tell)).await.context("it took too long")?
}

async fn converse<'s>(
    mut node: Command,
    mut stage: Stage<'s>,
    roles: &'s [std::sync::Arc<crate::scenario::stage::Role>],
    mut tell: impl FnMut(&str),
) -> anyhow::Result<()> {
    let mut child = node
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start node")?;
    let (mut answers, lines) =
        (child.stdin.take().context("no input")?, child.stdout.take().context("no output")?);
    let mut lines = BufReader::new(lines).lines();
    let mut turn = String::new();
    while let Some(line) = lines.next_line().await? {
        let Ok(asked) = serde_json::from_str::<Asked>(&line) else {
            tell(&line);
            continue;
        };
        if asked.bank != turn {
            let role = roles.iter().find(|role| role.bank == asked.bank);
            stage.enter(role.with_context(|| format!("there is no bank {}", asked.bank))?)?;
            turn = asked.bank;
        }
        let played = match asked.step.parse::<Step>() {
            Ok(step) => stage.play(&step).await,
            Err(error) => Err(error),
        };
        let answer = match played {
            Ok(()) => json!({}),
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        answers.write_all(format!("{answer}\n").as_bytes()).await?;
        answers.flush().await?;
    }
    let status = child.wait().await?;
    if !status.success() {
        bail!(
            "it did not go as told ({status}); the gateway's log:\n{}",
            stage.deployment().log_text()
        );
    }
    Ok(())
}

/// Where screenshots are kept.
fn output() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("not in a target folder")?;
    ensure!(target.is_dir(), "{} is no folder", target.display());
    Ok(target.join("browser"))
}
