//! Steps about subscribers to notices: how they answer, what they are told, and what an operator does about it.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use proto::v1::{Application, CaseStatus};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    deployment::{Deployment, program},
    receiver::{Manner, Receiver, Taken},
    reserved_port::ReservedPort,
    samples, tls,
};

/// A step of one subscriber.
#[derive(Debug, Clone, PartialEq)]
pub enum Telling {
    /// It has been told these events and no others, in this order; each thing said of all of them.
    IsTold(BTreeMap<String, String>),
    /// It answers so from now on.
    Answers(Manner),
    /// It was tried so often since.
    IsTried(usize),
    /// Between the last two tries so many seconds passed at least.
    CameAgainAfter(u64),
    /// Nobody ever connected to it and sent something.
    WasNeverCalled,
    /// Nobody can connect to it.
    Down,
    /// It can be connected to again.
    Up,
    /// The gateway is given a second secret beside the first.
    SecondSecret,
    /// It believes the second secret alone.
    TurnsToSecond,
    /// The gateway's first secret is taken away.
    FirstSecretGone,
    /// Nothing that the bank said in its last filing, nor the case's number or certificates, was ever sent to it, but these.
    ToldNothingBut(Vec<String>),
    /// An operator has all that is parked sent again.
    Resend,
    /// An operator has it told again.
    Resume,
    /// An operator's list says these words of it, sooner or later.
    Listed(String),
}

impl Telling {
    /// From the words after `subscriber NAME` or, for what operators do, as they stand.
    pub(super) fn parse(words: &[&str]) -> anyhow::Result<(String, Self)> {
        let (name, telling) = match words {
            ["subscriber", name, words @ ..] => (name, subscriber(words)?),
            ["operator", "resends", "everything", "of", name] => (name, Self::Resend),
            ["operator", "resumes", name] => (name, Self::Resume),
            ["operator", "sees", "of", name, words @ ..] => (name, Self::Listed(words.join(" "))),
            _ => bail!("no step of this form"),
        };
        Ok(((*name).to_owned(), telling))
    }
}

fn subscriber(words: &[&str]) -> anyhow::Result<Telling> {
    Ok(match words {
        ["is", "told", says @ ..] => {
            let says = says.iter().map(|word| {
                let (what, values) = word.split_once('=').context("`WHAT=VALUE,VALUE`")?;
                Ok((what.to_owned(), values.to_owned()))
            });
            Telling::IsTold(says.collect::<anyhow::Result<_>>()?)
        }
        ["is", "silent"] => Telling::Answers(Manner::Silent),
        ["takes", "notices"] => Telling::Answers(Manner::Takes),
        ["answers", status, rest @ ..] => {
            let (mut retry_after, mut only) = (None, None);
            for pair in rest.chunks(2) {
                match pair {
                    ["with", after] => {
                        let seconds = after.strip_prefix("retry-after=").context("retry-after=")?;
                        retry_after = Some(seconds.parse()?);
                    }
                    ["to", status] => {
                        let status = CaseStatus::from_str_name(&format!("CASE_STATUS_{status}"));
                        only = Some(status.context("`to STATUS`")?);
                    }
                    _ => bail!("`answers STATUS with retry-after=SECONDS to STATUS`"),
                }
            }
            Telling::Answers(Manner::Says { status: status.parse()?, retry_after, only })
        }
        ["is", "tried", times, "times"] => Telling::IsTried(times.parse()?),
        ["was", "tried", "again", "after", seconds, "s"] => {
            Telling::CameAgainAfter(seconds.parse()?)
        }
        ["was", "never", "called"] => Telling::WasNeverCalled,
        ["goes", "down"] => Telling::Down,
        ["comes", "up"] => Telling::Up,
        ["gets", "a", "second", "secret"] => Telling::SecondSecret,
        ["believes", "the", "second", "secret", "alone"] => Telling::TurnsToSecond,
        ["loses", "its", "first", "secret"] => Telling::FirstSecretGone,
        ["was", "told", "nothing", "of", "the", "filing", "but", names @ ..] => {
            Telling::ToldNothingBut(names.iter().map(|it| (*it).to_owned()).collect())
        }
        _ => bail!("no step of a subscriber"),
    })
}

/// The subscribers of one playing.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    wanted: BTreeMap<String, Wanted>,
    receivers: BTreeMap<String, Receiver>,
}

#[derive(Debug)]
struct Wanted {
    port: ReservedPort,
    contract: Arc<adapters::Contract>,
    secrets: [String; 2],
    is_signed: bool,
}

impl Subscribers {
    /// Gives each an address, and the settings of the gateway that tell of them.
    pub(crate) fn plan(
        tables: &toml::Table,
        contracts: &std::path::Path,
        bank: &str,
    ) -> anyhow::Result<(Self, Vec<toml::Value>)> {
        let (mut subscribers, mut settings) = (Self::default(), Vec::new());
        for (name, over) in tables {
            let over = over.as_table().context("[subscribers.NAME]")?;
            let folder = over.get("contract").and_then(toml::Value::as_str).unwrap_or(bank);
            let contract = Arc::new(samples::contract(&contracts.join(folder))?);
            let port = ReservedPort::reserve()?;
            let is_http = contract.wire().prefix.is_none();
            let is_signed = is_http && !contract.needs_keys();
            let address = match is_http {
                true => format!("https://{}/notices", port.address),
                false => format!("tcp://{}", port.address),
            };
            let mut table = toml::Table::new();
            let mut put = |key: &str, value: toml::Value| {
                table.insert(key.to_owned(), value);
            };
            put("name", name.as_str().into());
            put("address", address.into());
            put("ca", "pki/banks-ca.pem".into());
            put("server_name", "localhost".into());
            put("certificate", "pki/gateway-client.pem".into());
            put("key", "pki/gateway-client.key".into());
            put("networks", toml::Value::Array(vec!["127.0.0.0/8".into()]));
            put("answer_seconds_max", 1.into());
            put("first_seconds", 1.into());
            put("longest_seconds", 1.into());
            if is_signed {
                let file = secret_file(name);
                put("secret_files", toml::Value::Array(vec![file.into()]));
            }
            if !over.contains_key("sees") {
                put("institution", bank.into());
            }
            table.extend(over.clone());
            if let Some(toml::Value::String(address)) = table.get_mut("address") {
                *address = address.replace("{port}", &port.address.port().to_string());
            }
            settings.push(table.into());
            let secret = |byte: u8| format!("whsec_{}", STANDARD.encode([byte; 32]));
            let wanted = Wanted { port, contract, secrets: [secret(1), secret(2)], is_signed };
            subscribers.wanted.insert(name.clone(), wanted);
        }
        Ok((subscribers, settings))
    }

    /// Opens them, before the gateway starts.
    pub(crate) async fn open(&mut self, deployment: &Deployment) -> anyhow::Result<()> {
        let pki = &deployment.pki;
        let server = tls::server(&pki.gateway, &pki.registry_ca, &[])?;
        for (name, wanted) in &self.wanted {
            let [first, _] = &wanted.secrets;
            fs::write(deployment.folder().join(secret_file(name)), format!("{first}\n"))?;
            let secret = wanted.is_signed.then_some(first.as_str());
            let contract = Arc::clone(&wanted.contract);
            let address = wanted.port.address;
            let receiver = Receiver::start(address, Arc::clone(&server), contract, secret).await?;
            self.receivers.insert(name.clone(), receiver);
        }
        Ok(())
    }

    /// Those that opened, by name.
    pub(crate) fn receivers(&self) -> impl Iterator<Item = (&str, &Receiver)> {
        self.receivers.iter().map(|(name, receiver)| (name.as_str(), receiver))
    }

    /// Plays one step.
    pub(super) async fn play(
        &mut self,
        name: &str,
        telling: &Telling,
        deployment: &Deployment,
        said: impl FnOnce() -> anyhow::Result<Said>,
    ) -> anyhow::Result<()> {
        let none = || format!("no [subscribers.{name}]");
        let receiver = self.receivers.get_mut(name).with_context(none)?;
        let wanted = self.wanted.get(name).with_context(none)?;
        let [first, second] = &wanted.secrets;
        let secrets = deployment.folder().join(secret_file(name));
        match telling {
            Telling::IsTold(says) => receiver.is_told(|taken| are(taken, says)).await?,
            Telling::Answers(manner) => receiver.answers(*manner),
            Telling::IsTried(times) => receiver.is_tried(*times).await?,
            Telling::CameAgainAfter(seconds) => {
                let pause = receiver.last_pause().context("it was not tried twice")?;
                ensure!(pause >= Duration::from_secs(*seconds), "after {pause:?}");
            }
            Telling::WasNeverCalled => ensure!(!receiver.was_called(), "it was called"),
            Telling::Down => receiver.down().await,
            Telling::Up => receiver.up().await?,
            Telling::SecondSecret => fs::write(secrets, format!("{second}\n{first}\n"))?,
            Telling::TurnsToSecond => receiver.believes(second)?,
            Telling::FirstSecretGone => fs::write(secrets, format!("{second}\n"))?,
            Telling::ToldNothingBut(but) => told_nothing_but(receiver, said()?, but)?,
            Telling::Resend => {
                operate(deployment, &["resend", name, "--all"]).await?;
            }
            Telling::Resume => {
                operate(deployment, &["resume", name]).await?;
            }
            Telling::Listed(words) => {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
                loop {
                    let told = operate(deployment, &["list", name]).await?;
                    if told.contains(words) {
                        break;
                    }
                    ensure!(tokio::time::Instant::now() < deadline, "{told}");
                    // Another process is asked: there is no event to wait for.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        Ok(())
    }
}

/// What is known of the last filing.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// As the registry has it.
    pub(super) application: Application,
    /// The case's number.
    pub(super) case: Option<String>,
    /// The bank's own name for it.
    pub(super) institution: String,
}

fn are(taken: &[Taken], says: &BTreeMap<String, String>) -> bool {
    says.iter().all(|(what, values)| {
        let expected: Vec<&str> = values.split(',').filter(|it| !it.is_empty()).collect();
        let found: Vec<String> = match what.as_str() {
            "statuses" => taken.iter().map(|it| it.status().to_owned()).collect(),
            "numbers" => taken.iter().map(|it| it.number().to_string()).collect(),
            "certificates" => taken
                .iter()
                .filter_map(|it| it.envelope.outcome.as_ref())
                .map(|outcome| outcome.certificate_numbers.len().to_string())
                .collect(),
            _ => return false,
        };
        found == expected
    })
}

fn told_nothing_but(receiver: &Receiver, said: Said, but: &[String]) -> anyhow::Result<()> {
    let case = said.case.clone().unwrap_or_default();
    let mut texts = Vec::new();
    leaves(&samples::as_json(&said.application)?, &mut texts);
    texts.extend([case.clone(), said.institution]);
    texts.retain(|text| !text.is_ascii() || text.len() >= WORTH_LOOKING_FOR);
    if but.iter().any(|it| it == "case") {
        texts.retain(|text| *text != case);
    }
    ensure!(texts.len() > 5, "there is hardly anything to look for: {texts:?}");
    let found = receiver.was_told_any(texts.iter().map(String::as_str));
    ensure!(found.is_empty(), "it was told {found:?}");
    ensure!(receiver.was_called(), "it was told nothing at all");
    Ok(())
}

/// Shorter ones stand in identifiers and moments by chance, names not.
const WORTH_LOOKING_FOR: usize = 6;

fn leaves(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, texts)),
        Value::Object(members) => members.values().for_each(|it| leaves(it, texts)),
        // What is money, area or a number of pages.
        Value::Number(number) => texts.push(number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}

async fn operate(deployment: &Deployment, words: &[&str]) -> anyhow::Result<String> {
    let settings = deployment.gateways.first().context("no gateway")?.settings();
    let output = Command::new(program("directlink")?)
        .arg("notices")
        .args(words)
        .arg("--settings")
        .arg(settings)
        .output()
        .await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "notices {words:?}: {told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(told)
}

fn secret_file(name: &str) -> String {
    format!("{name}.secret")
}
