//! The demo: a gateway on SQLite, the reference registry and two banks of different dialects on one machine, playing the
//! story of `data/demo.toml` and showing what each bank sends and hears in its own words.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::{
    deployment::{Deployment, Places, Plan},
    fake_bank::Heard,
    programme,
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

/// Plays the story and tells it line by line. What is left running ends when the deployment is dropped.
///
/// # Errors
/// The first expectation that did not hold.
pub async fn play(
    contracts: &Path,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<(Deployment, Tally)> {
    let story: Story =
        toml::from_str(include_str!("../data/demo.toml")).context("data/demo.toml")?;
    let roles = programme::roles(contracts)?;
    let mut banks: Vec<String> = story.act.iter().map(|act| act.bank.clone()).collect();
    banks.sort();
    banks.dedup();
    let plan = Plan {
        kinds: Default::default(),
        banks,
        apart: None,
        contracts: contracts.to_owned(),
        places: Places::kit()?,
        replicas: 1,
        ledger: toml::Table::from_iter([("sqlite".to_owned(), "ledger.db".into())]),
        idempotent: true,
        settings: toml::Table::new(),
    };
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await?;
    deployment.start().await?;
    for gateway in &deployment.gateways {
        tell(&format!("gateway: TCP {}, HTTPS {}", gateway.tcp, gateway.https));
        tell(&format!("health and metrics: http://{}/ready, /metrics", gateway.admin));
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
