//! The demo: a gateway on SQLite, the reference registry and two banks of different dialects on one machine, playing the
//! story of `data/demo.toml` and showing what each bank sends and hears in its own words.

use std::{convert::Infallible, net::SocketAddr, path::Path};

use anyhow::{Context, ensure};
use serde::Deserialize;

use proto::v1::CaseStatus;

use crate::{
    deployment::{Deployment, Places, Plan},
    fake_bank::Heard,
    programme,
    reference_registry::{CaseView, Review, Settings},
    scenario::{
        Step,
        stage::{Role, Stage},
    },
};

/// The story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    act: Vec<Act>,
    waiting: Vec<Waiting>,
}

/// What waits for the registrar when the story is over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    bank: String,
    title: String,
    #[serde(deserialize_with = "crate::scenario::steps")]
    steps: Vec<Step>,
}

/// One scene of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    bank: String,
    title: String,
    #[serde(deserialize_with = "crate::scenario::steps")]
    steps: Vec<Step>,
}

/// What was counted in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Mortgages entered.
    pub registered: u64,
    /// Discharges entered.
    pub discharged: u64,
    /// Answers marked as replayed.
    pub replayed: u64,
    /// Refusals heard.
    pub refused: u64,
    /// The most registrations under one key.
    pub per_key_max: u64,
}

fn story() -> anyhow::Result<Story> {
    toml::from_str(include_str!("../data/demo.toml")).context("data/demo.toml")
}

/// Plays the story and tells it line by line, with a registrar's desk where it is told to open one. What is left running
/// ends when the deployment is dropped.
///
/// # Errors
/// The first expectation that did not hold.
pub async fn play(
    contracts: &Path,
    desk: Option<SocketAddr>,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<(Deployment, Tally)> {
    let story = story()?;
    let roles = programme::roles(contracts)?;
    let mut banks: Vec<String> = story.act.iter().map(|act| act.bank.clone()).collect();
    banks.sort();
    banks.dedup();
    let plan = Plan {
        people: Vec::new(),
        kinds: Default::default(),
        banks,
        others: Vec::new(),
        apart: None,
        contracts: contracts.to_owned(),
        places: Places::kit()?,
        replicas: 1,
        ledger: toml::Table::from_iter([("sqlite".to_owned(), "ledger.db".into())]),
        idempotent: true,
        settings: toml::Table::from_iter([("console".to_owned(), toml::Table::new().into())]),
    };
    let mut deployment =
        Deployment::prepare(&plan, |settings| Settings { desk, ..settings }).await?;
    deployment.start().await?;
    for gateway in &deployment.gateways {
        tell(&format!("gateway: TCP {}, HTTPS {}", gateway.tcp, gateway.https));
        tell(&format!("health and metrics: http://{}/ready, /metrics", gateway.admin));
        tell(&format!("运维控制台 · console: http://{}/console/", gateway.admin));
    }
    tell(&format!("registry: {}", deployment.registry.address()));

    let mut tally = Tally::default();
    let mut stage = Stage::new(deployment, None);
    for act in &story.act {
        let role = roles.iter().find(|role| role.bank == act.bank);
        stage.enter(role.with_context(|| format!("there is no bank {}", act.bank))?)?;
        tell(&format!("\n=== {}", act.title));
        for step in &act.steps {
            stage.play(step).await.with_context(|| format!("{step:?}"))?;
            if let (Step::Send(_), Some(heard)) = (step, stage.heard()) {
                tally.count(heard);
                show(heard, role, &mut tell);
            }
        }
    }
    let deployment = stage.into_deployment();
    let counts = deployment.registry.control().counts();
    tally.registered = counts.registered;
    tally.discharged = counts.discharged;
    tally.per_key_max = counts.registrations_per_key_max;
    ensure!(tally.per_key_max <= 1, "{} registrations under one key", tally.per_key_max);
    Ok((deployment, tally))
}

/// Has the banks file what waits for the registrar, and tells what they hear whenever that has changed; for ever.
///
/// # Errors
/// A bank that hears nothing.
pub async fn wait_for_the_registrar(
    deployment: Deployment,
    contracts: &Path,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Infallible> {
    let (story, roles) = (story()?, programme::roles(contracts)?);
    let control = deployment.registry.control().clone();
    control.review_so(Review::AtTheDesk);
    let mut stage = Stage::new(deployment, None);
    let mut known = vec![CaseStatus::Unspecified; story.waiting.len()];
    loop {
        // Before they ask, so that what happens meanwhile is not missed.
        let seen = control.cases();
        for (waiting, known) in story.waiting.iter().zip(&mut known) {
            let role = roles.iter().find(|role| role.bank == waiting.bank);
            stage.enter(role.with_context(|| format!("there is no bank {}", waiting.bank))?)?;
            for step in &waiting.steps {
                stage.play(step).await.with_context(|| format!("{step:?}"))?;
            }
            let heard = stage.heard().context("nothing was sent")?;
            let status = heard.status().with_context(|| heard.text().to_owned())?;
            if std::mem::replace(known, status) != status {
                let status = status.as_str_name().trim_start_matches("CASE_STATUS_");
                tell(&format!("\n{}: {status}\n← {}", waiting.title, heard.text()));
            }
        }
        loop {
            let changed = control.next_change();
            if cases_differ(&control.cases(), &seen) {
                break;
            }
            changed.await;
        }
    }
}

/// Whether a bank that asks may hear something else. Questions change the registry's counts, and nothing for a bank.
fn cases_differ(now: &[CaseView], seen: &[CaseView]) -> bool {
    let statuses =
        |cases: &[CaseView]| -> Vec<_> { cases.iter().map(|case| case.status.clone()).collect() };
    statuses(now).get(..seen.len()) != Some(&statuses(seen))
}

fn show(heard: &Heard, role: Option<&std::sync::Arc<Role>>, tell: &mut impl FnMut(&str)) {
    if let (Heard::Answer { sent, .. }, Some(role)) = (heard, role)
        && let Ok(opened) = role.contract.wire().open(sent)
    {
        tell(&format!("→ {}", opened.text));
    }
    tell(&format!("← {}", heard.text()));
}

impl Tally {
    fn count(&mut self, heard: &Heard) {
        let Heard::Answer { envelope, .. } = heard else { return };
        let outcome = envelope.outcome.as_ref();
        if outcome.is_some_and(|outcome| outcome.refusal.is_some()) {
            self.refused += 1;
        } else if outcome.is_some_and(|outcome| outcome.replayed()) {
            self.replayed += 1;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { registered, discharged, replayed, refused, per_key_max } = self;
        write!(
            out,
            "registered {registered}, discharged {discharged}, replayed {replayed}, refused {refused}, \
             registrations per key at most {per_key_max}"
        )
    }
}
