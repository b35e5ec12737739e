//! Pages in a real Chromium: gateways and registries as processes, and a script of `browser/` that drives a browser and has
//! banks do what scenarios' steps say.
//!
//! The script asks on its standard output (`{"bank":"…","step":"bank sends …"}` and the like, a line each) and reads the answer
//! on its standard input; its other lines are told as they are. What each is driven against stands in `browser/stories.toml`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use gateway::{
    assembly,
    ledger::books::{Finding, Kind},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::{
    deployment::{Deployment, Places, Plan, program},
    programme,
    reference_registry::{Review, Settings},
    reserved_port::ReservedPort,
    scenario::{
        Step,
        stage::{Role, Stage},
        telling::Subscribers,
    },
};

/// How long one script may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The console is open, and exchanges are under a checkpoint soon.
const SETTINGS: &str = r#"
console = {}
evidence = { origin = "log.example/stage", key_files = ["evidence.key"], checkpoint_seconds = 1 }
"#;

/// A script, and what it is driven against.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// The script's name, without ending.
    pub script: String,
    /// Banks, by the folders of their contracts.
    banks: Vec<String>,
    /// The one of them whose offices are at another registry.
    apart: Option<String>,
    /// How the registry reviews.
    #[serde(default)]
    review: Review,
    /// Who gets a certificate for the console, which then has a port of its own.
    #[serde(default)]
    people: Vec<String>,
    /// Who is told of events, by name.
    #[serde(default)]
    subscribers: toml::Table,
    /// Settings that differ from the stage's own.
    #[serde(default)]
    settings: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stories {
    story: Vec<Story>,
}

/// All stories of a folder of scripts.
///
/// # Errors
/// A slip in `stories.toml`.
pub fn stories(scripts: &Path) -> anyhow::Result<Vec<Story>> {
    let file = scripts.join("stories.toml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let stories: Stories = toml::from_str(&text).with_context(|| file.display().to_string())?;
    Ok(stories.story)
}

/// What a script asks for.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Asked {
    /// A step of a bank's, as scenarios know it.
    Play { bank: String, step: String },
    /// The bytes of a bank's sample, as they are sent.
    Sample { bank: String, sample: String },
    /// `directlink` with these arguments, beside the gateway; whatever it ends with. `TODAY` is today, in Asia/Shanghai.
    Run { run: Vec<String> },
    /// It is found that the registry has no such case as this one of a bank's, and another amount, as the gateway would find out
    /// by itself once a day.
    Find { find: String },
}

/// Runs one story against a deployment of its own, with the registrar's desk open.
///
/// # Errors
/// Something of it did not go as it says, or it could not be run.
pub async fn run(
    story: &Story,
    scripts: &Path,
    contracts: &Path,
    tell: impl FnMut(&str),
) -> anyhow::Result<()> {
    let roles = programme::roles(contracts)?;
    let mut settings: toml::Table = toml::from_str(SETTINGS)?;
    lay_over(&mut settings, &story.settings);
    let first = story.banks.first().context("a story without banks")?;
    let (mut subscribers, told) = Subscribers::plan(&story.subscribers, contracts, first)?;
    if !told.is_empty() {
        settings.insert("subscriber".to_owned(), told.into());
    }
    let own = match story.people.is_empty() {
        true => None,
        false => Some(own_port(&mut settings)?),
    };
    let plan = Plan {
        kinds: Default::default(),
        banks: story.banks.clone(),
        others: Vec::new(),
        people: story.people.clone(),
        apart: story.apart.clone(),
        contracts: contracts.to_owned(),
        places: Places::kit()?,
        replicas: 1,
        ledger: toml::Table::from_iter([("sqlite".to_owned(), "ledger.db".into())]),
        idempotent: true,
        settings,
    };
    let desk = matches!(story.review, Review::AtTheDesk).then(|| ([127, 0, 0, 1], 0).into());
    let mut deployment =
        Deployment::prepare(&plan, |settings| Settings { review: story.review, desk, ..settings })
            .await?;
    subscribers.open(&deployment).await?;
    deployment.start().await?;
    let admin = deployment.gateways.first().context("no gateway")?.admin;
    let console = match &own {
        Some(port) => format!("https://{}/console/", port.address),
        None => format!("http://{admin}/console/"),
    };
    let script = scripts.join(&story.script).with_extension("mjs");
    let mut node = Command::new("node");
    node.arg(script)
        .env("CONSOLE", console)
        .env("ADMIN", format!("http://{admin}/"))
        .env("PKI", deployment.folder().join("pki"))
        .env("OUTPUT", output()?);
    if let Some(desk) = deployment.registry.registrars_desk() {
        node.env("DESK", format!("http://{desk}/"));
    }
    let mut stage = Stage::new(deployment, None).with_subscribers(subscribers);
    if let Some(apart) = &story.apart {
        stage.enter_another(role(&roles, apart)?)?;
    }
    timeout(PATIENCE, converse(node, stage, &roles, tell)).await.context("it took too long")?
}

/// Gives the console a port of its own, with the gateway's certificate for banks.
fn own_port(settings: &mut toml::Table) -> anyhow::Result<ReservedPort> {
    let port = ReservedPort::reserve()?;
    let console = settings.get_mut("console").and_then(toml::Value::as_table_mut);
    let console = console.context("[console]")?;
    let files = [
        ("certificate", "pki/gateway.pem"),
        ("key", "pki/gateway.key"),
        ("client_ca", "pki/banks-ca.pem"),
    ];
    for (key, file) in files {
        console.insert(key.to_owned(), file.into());
    }
    console.insert("address".to_owned(), port.address.to_string().into());
    Ok(port)
}

fn lay_over(settings: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (settings.get_mut(key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => lay_over(inner, over),
            _ => drop(settings.insert(key.clone(), value.clone())),
        }
    }
}

async fn converse<'s>(
    mut node: Command,
    mut stage: Stage<'s>,
    roles: &'s [Arc<Role>],
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
        let answer = match done(asked, &mut stage, roles, &mut turn).await {
            Ok(told) => told,
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

async fn done<'s>(
    asked: Asked,
    stage: &mut Stage<'s>,
    roles: &'s [Arc<Role>],
    turn: &mut String,
) -> anyhow::Result<Value> {
    match asked {
        Asked::Play { bank, step } => {
            if bank != *turn {
                stage.enter(role(roles, &bank)?)?;
                *turn = bank;
            }
            stage.play(&step.parse::<Step>()?).await?;
            Ok(json!({}))
        }
        Asked::Sample { bank, sample } => {
            let bytes = role(roles, &bank)?.samples.request(&sample)?;
            Ok(json!({ "bytes": STANDARD.encode(bytes) }))
        }
        Asked::Run { run } => {
            let now = time::OffsetDateTime::now_utc().to_offset(time::macros::offset!(+8));
            let today = now.date().to_string();
            let arguments = run.iter().map(|it| it.replace("TODAY", &today));
            let mut command = Command::new(program("directlink")?);
            command.args(arguments).args(["--settings", "directlink-1.toml"]);
            let ended = command.current_dir(stage.deployment().folder()).output().await?;
            let told = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
            Ok(json!({ "told": told, "code": ended.status.code() }))
        }
        Asked::Find { find } => {
            let gateway = stage.deployment().gateways.first().context("no gateway")?;
            let settings = gateway::settings::Settings::load(gateway.settings());
            let settings = settings.map_err(|problems| anyhow!("{problems:?}"))?;
            let ledger = assembly::ledger_beside(&settings).await?;
            let finding = |kind, ours: &str, theirs: &str| Finding {
                institution: find.clone(),
                key: "K-1".to_owned(),
                kind,
                office: "140105".to_owned(),
                case_id: "SL-1".to_owned(),
                ours: ours.to_owned(),
                theirs: theirs.to_owned(),
            };
            let findings = [
                finding(Kind::OnlyOurs, "REGISTERED", ""),
                finding(Kind::Amount, "120000000", "12000000"),
            ];
            ledger.record_findings("province", "2026-03-05", &findings).await?;
            Ok(json!({}))
        }
    }
}

fn role<'s>(roles: &'s [Arc<Role>], bank: &str) -> anyhow::Result<&'s Role> {
    let role = roles.iter().find(|role| role.bank == bank);
    Ok(role.with_context(|| format!("there is no bank {bank}"))?)
}

/// Where screenshots are kept.
fn output() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("not in a target folder")?;
    ensure!(target.is_dir(), "{} is no folder", target.display());
    Ok(target.join("browser"))
}
