//! A scenario: a conversation between a bank, the gateway and a registry, a step a line, as a file.
//!
//! Here is what the lines mean; `scenario/stage.rs` plays them against real processes. Nothing here knows a bank: messages
//! are called by the names of its samples, and what differs from place to place comes from `data/banks.toml`.

pub mod clock;
pub mod proof;
pub mod stage;
pub mod telling;

use std::{collections::BTreeMap, fs, path::Path, str::FromStr};

use anyhow::{Context, bail};
use proto::v1::CaseStatus;
use serde::Deserialize;
use time::macros::format_description;

use self::telling::Telling;
use crate::reference_registry::{self, Call, Fault, Repeats, Review, Silence};

/// A scenario as its file says it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: the file's, without ending, behind the folder it is in (`regions/nanning`).
    #[serde(skip)]
    pub name: String,
    /// What it shows, in one sentence.
    pub title: String,
    /// Whether the registry answers REGISTERED at once (default) or reviews first.
    #[serde(default)]
    pub review: Review,
    /// What the registry does with a key that comes again; it is declared to the gateway accordingly.
    #[serde(default)]
    pub repeats: Repeats,
    /// Only banks whose messages travel so; left out, all.
    pub wire: Option<WireKind>,
    /// Only these banks, by the folders of their contracts; empty is all that have the messages.
    #[serde(default)]
    pub banks: Vec<String>,
    /// Stores it is played over; empty is both.
    #[serde(default)]
    pub stores: Vec<StoreKind>,
    /// How many gateways run, over one ledger; more than one need a store that can be shared.
    #[serde(default = "one")]
    pub replicas: usize,
    /// By how much the gateways' clocks are off, or what they say at the start, one after the other; left out, by nothing.
    #[serde(default)]
    pub clocks: Vec<String>,
    /// What the playing institution is, as settings say it; left out, what `data/stage.toml` says.
    pub kind: Option<String>,
    /// What the other one is.
    pub another_kind: Option<String>,
    /// How many registries the gateway has: with two, another bank's offices are at another registry.
    #[serde(default = "one")]
    pub registries: usize,
    /// Settings of the gateway that differ from the stage's own, by table.
    #[serde(default)]
    pub settings: toml::Table,
    /// What every office of the registry does, where it differs from the registry's data.
    #[serde(default)]
    pub offices: toml::Table,
    /// Who is told of events, by name, with what their settings say other than the stage's own.
    #[serde(default)]
    pub subscribers: toml::Table,
    /// What happens, in order.
    #[serde(deserialize_with = "steps")]
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Whether another bank or another registry is in it.
    pub fn has_another(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Another(_)))
    }
}

fn one() -> usize {
    1
}

/// How a bank's messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireKind {
    /// Over HTTPS.
    Https,
    /// Behind a length prefix, over TCP.
    Tcp,
}

/// A ledger store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// SQLite in a file.
    Sqlite,
    /// A Postgres server.
    Postgres,
}

impl FromStr for StoreKind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => bail!("sqlite or postgres"),
        }
    }
}

impl StoreKind {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// One line of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The bank sends a message and waits for the answer.
    Send(Message),
    /// The bank sends a message on another connection; the answer is heard later.
    Start(Message),
    /// The bank sends a message again and again until it hears this.
    Repeat(Message, Hears),
    /// A step of another bank, or of another registry.
    Another(Box<Step>),
    /// What the last answer says.
    Hear(Hears),
    /// What the answer to the oldest started message says.
    StartedHears(Hears),
    /// The bank sends the same message to every gateway at the same moment; to a single one twice, on two connections. It hears the outcome as the first; from every
    /// other gateway, as replayed, or that it is being worked on.
    SendToAll(Message),
    /// The bank calls the next gateway from now on.
    TurnToNext,
    /// The bank calls with the wrong certificate, or none, and is turned away.
    TurnedAway(Caller),
    /// The registry is told to fail the next call of a kind.
    Order(Call, Fault),
    /// Held calls go on.
    Release,
    /// Something has arrived at the registry.
    Await(Counted),
    /// Cases under review are registered.
    RegisterAll,
    /// Cases under review are to be corrected.
    AskForCorrections,
    /// Days pass at the registry, and nowhere else, until it is that day there.
    GoOn(time::Date),
    /// Cases take a step, all that stand where it begins.
    Advance(reference_registry::Step),
    /// Watchers are told of every case that it is in a state that it is not in.
    TellWrongly(CaseStatus),
    /// Watchers are told once more of everything.
    TellAgain,
    /// Watchers are told of a case that nobody filed.
    TellOfAStranger,
    /// All gateways' clocks are turned, while they run.
    ClocksTurn(String),
    /// Every office is at the other registry from now on, and every gateway is told that its settings have changed.
    OfficesMove,
    /// What the registry says it entered has one party list filled from the other, or no longer.
    MixUp(bool),
    /// Nobody can connect to the registry.
    RegistryDown,
    /// It can be reached again.
    RegistryUp,
    /// What the registry counts.
    RegistryHas(Vec<(Counted, u64)>),
    /// The registry has seen the bank's trace and certificate with the last submission.
    RegistrySaw,
    /// What the last application at the registry says, by path.
    RegistrySawSaid(Vec<(String, String)>),
    /// The gateway that the bank calls is killed (SIGKILL).
    Kill,
    /// The process is told to stop (SIGTERM), without waiting for it.
    Stop,
    /// The process that was told to stop has ended well.
    Stopped,
    /// It is started again.
    Run,
    /// The gateway that the bank calls has told its operators something in its log, once.
    LoggedOnce(String),
    /// A line of the metrics of the gateway that the bank calls, sooner or later.
    Counts(String),
    /// The filing last sent is proved by a bundle of so many exchanges, the last of them word for word.
    Proves(u64),
    /// The log of exchanges is audited, and is what was logged.
    Audits,
    /// A subscriber to notices, by name: what it does, is told, or is done about it.
    Telling(String, Telling),
    /// The gateway says at `/ready` that it is, or that it is not.
    Ready(bool),
    /// The Postgres server stops; nobody can write to the SQLite file.
    LedgerDown,
    /// It runs again.
    LedgerUp,
}

/// What a bank sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A sample, with changes to its canonical form; without any, the bytes as the bank wrote them.
    Sample {
        /// Its name in `samples.json`.
        name: String,
        /// What is changed.
        changes: Vec<Change>,
    },
    /// Bytes from the bank's `cases/`, as they are.
    Bytes {
        /// Path inside `cases`, without ending.
        file: String,
    },
    /// A message of so many bytes, all blanks.
    Blank {
        /// Its length.
        length: usize,
    },
}

impl Message {
    /// The sample it is made from.
    pub fn sample(&self) -> Option<&str> {
        match self {
            Self::Sample { name, .. } => Some(name),
            Self::Bytes { .. } | Self::Blank { .. } => None,
        }
    }
}

/// A change to a canonical message. Paths are those of contracts.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The field is set.
    Set(String, String),
    /// The field's end is replaced.
    End(String, String),
    /// The field is taken out.
    Without(String),
    /// The field's value is taken out of the bytes, and its place left empty.
    Emptying(String),
}

/// What an answer must say. Left out: anything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hears {
    /// Which answer.
    pub kind: Kind,
    /// What it must say, by canonical path (`outcome.status`) or by one of the short words.
    pub says: BTreeMap<String, String>,
}

/// Which answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The answer that carries an outcome.
    #[default]
    Outcome,
    /// A refusal in the bank's own envelope.
    Refusal,
    /// The answer to a title query.
    Titles,
    /// A registration record certificate.
    Record,
    /// What a certificate is worth.
    Certificate,
    /// A document.
    Document,
    /// What stands in the way of a discharge.
    Obstacles,
    /// What an office does and when.
    Office,
    /// Events.
    Events,
    /// That an event was acknowledged.
    Acknowledged,
    /// No answer in the bank's words: the connection ended, or an HTTP problem.
    Nothing,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Without a certificate.
    Nobody,
    /// With one that no institution has.
    Unknown,
    /// With one that ran out.
    Expired,
    /// With one that is not for clients.
    WrongUse,
    /// With one from another root of the same name.
    Foreign,
}

/// What the registry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Submit calls.
    Submits,
    /// Questions for a case.
    Questions,
    /// Cases.
    Cases,
    /// Mortgages entered.
    Registrations,
    /// Discharges entered.
    Discharges,
    /// Entries of every matter.
    Entries,
    /// Cases refused.
    Refusals,
}

/// Reads all scenarios of a folder and of the folders in it, in order of name.
///
/// # Errors
/// A file that can't be read or says something that is no step.
pub fn read_all(folder: &Path) -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = read_folder(folder, "")?;
    scenarios.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(scenarios)
}

fn read_folder(folder: &Path, within: &str) -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("scenarios in {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = format!("{within}{}", path.file_stem().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            scenarios.extend(read_folder(&path, &format!("{name}/"))?);
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            scenarios.push(Scenario { name, ..read(&path)? });
        }
    }
    Ok(scenarios)
}

fn read(file: &Path) -> anyhow::Result<Scenario> {
    let text = fs::read_to_string(file)?;
    toml::from_str(&text).with_context(|| format!("scenario {}", file.display()))
}

pub(crate) fn steps<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Step>, D::Error> {
    Vec::<String>::deserialize(from)?
        .iter()
        .map(|line| {
            line.parse().map_err(|error| serde::de::Error::custom(format!("\"{line}\": {error:#}")))
        })
        .collect()
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["another", words @ ..] => Self::Another(Box::new(words.join(" ").parse()?)),
            ["bank", "sends", "everywhere", message @ ..] => Self::SendToAll(message_of(message)?),
            ["bank", "sends", message @ ..] => Self::Send(message_of(message)?),
            ["bank", "turns", "to", "the", "next", "gateway"] => Self::TurnToNext,
            ["bank", "starts", message @ ..] => Self::Start(message_of(message)?),
            ["bank", "repeats", rest @ ..] => {
                let until = rest
                    .iter()
                    .position(|word| *word == "until")
                    .context("`bank repeats MESSAGE until …`")?;
                let (message, hears) = rest.split_at(until);
                Self::Repeat(message_of(message)?, hears_of(hears.get(1..).unwrap_or(&[]))?)
            }
            ["bank", "hears", what @ ..] => Self::Hear(hears_of(what)?),
            ["started", "one", "hears", what @ ..] => Self::StartedHears(hears_of(what)?),
            ["bank", "is", "turned", "away", "with", "no", "certificate"] => {
                Self::TurnedAway(Caller::Nobody)
            }
            ["bank", "is", "turned", "away", "with", "an", sort, "certificate"] => {
                Self::TurnedAway(caller_of(sort)?)
            }
            ["registry", "drops", "before", "commit"] => {
                Self::Order(Call::Submit, Fault::DropBeforeCommit { how: Silence::Close })
            }
            ["registry", "drops", "after", "commit"] => {
                Self::Order(Call::Submit, Fault::DropAfterCommit { how: Silence::Close })
            }
            ["registry", "is", "silent", "before", "commit"] => {
                Self::Order(Call::Submit, Fault::DropBeforeCommit { how: Silence::Never })
            }
            ["registry", "is", "silent", "after", "commit"] => {
                Self::Order(Call::Submit, Fault::DropAfterCommit { how: Silence::Never })
            }
            ["registry", "is", "unavailable", "once"] => {
                Self::Order(Call::Submit, Fault::Unavailable)
            }
            ["registry", "does", "not", "answer", "a", "question"] => {
                Self::Order(Call::GetCase, Fault::Unavailable)
            }
            ["registry", "is", "behind", "in", "an", "answer"] => {
                Self::Order(Call::GetCase, Fault::Behind)
            }
            ["registry", "takes", ms, "ms", "for", "the", "next"] => {
                Self::Order(Call::Submit, Fault::DelayAfterCommit { ms: ms.parse()? })
            }
            ["registry", "holds", "the", "next"] => Self::Order(Call::Submit, Fault::Hold),
            ["registry", "holds", "a", "question"] => Self::Order(Call::GetCase, Fault::Hold),
            ["registry", "lets", "go"] => Self::Release,
            ["registry", "gets", "a", "submission"] => Self::Await(Counted::Submits),
            ["registry", "gets", "a", "question"] => Self::Await(Counted::Questions),
            ["registry", "makes", "a", "case"] => Self::Await(Counted::Cases),
            ["registry", "registers", "everything"] => Self::RegisterAll,
            ["registry", "asks", "for", "corrections"] => Self::AskForCorrections,
            ["registry", "reviews", "everything"] => {
                Self::Advance(reference_registry::Step::Review)
            }
            ["registry", "refuses", "everything"] => {
                Self::Advance(reference_registry::Step::Refuse)
            }
            ["registry", "completes", "everything"] => {
                Self::Advance(reference_registry::Step::Complete)
            }
            ["registry", "lets", "deadlines", "pass"] => {
                Self::Advance(reference_registry::Step::Lapse)
            }
            ["registry", "goes", "on", "to", day] => {
                let day = time::Date::parse(day, format_description!("[year]-[month]-[day]"));
                Self::GoOn(day.context("`registry goes on to 2029-03-01`")?)
            }
            ["registry", "tells", "wrongly", status] => Self::TellWrongly(
                CaseStatus::from_str_name(&format!("CASE_STATUS_{status}"))
                    .context("`registry tells wrongly STATUS`")?,
            ),
            ["registry", "tells", "everything", "again"] => Self::TellAgain,
            ["registry", "tells", "of", "a", "stranger"] => Self::TellOfAStranger,
            ["registry", "cuts", "its", "events", "short"] => {
                Self::Order(Call::WatchEvents, Fault::CutShort)
            }
            ["registry", "holds", "its", "events"] => Self::Order(Call::WatchEvents, Fault::Hold),
            ["registry", "does", "not", "answer", "about", "titles"] => {
                Self::Order(Call::QueryTitle, Fault::Unavailable)
            }
            ["registry", "does", "not", "answer", "about", "certificates"] => {
                Self::Order(Call::VerifyCertificate, Fault::Unavailable)
            }
            ["registry", "drops", "a", "withdrawal", "before", "commit"] => {
                Self::Order(Call::Withdraw, Fault::DropBeforeCommit { how: Silence::Close })
            }
            ["registry", "drops", "a", "withdrawal", "after", "commit"] => {
                Self::Order(Call::Withdraw, Fault::DropAfterCommit { how: Silence::Close })
            }
            ["registry", "drops", "a", "correction", "after", "commit"] => {
                Self::Order(Call::Correct, Fault::DropAfterCommit { how: Silence::Close })
            }
            ["registry", "spoils", "a", "certificate"] => {
                Self::Order(Call::FetchCertificate, Fault::Spoil)
            }
            ["registry", "cuts", "a", "certificate", "short"] => {
                Self::Order(Call::FetchCertificate, Fault::CutShort)
            }
            ["registry", "spoils", "a", "record"] => Self::Order(Call::CertifyRecord, Fault::Spoil),
            ["offices", "move", "to", "the", "other", "registry"] => Self::OfficesMove,
            ["clocks", "turn", "to", moment @ ..] => Self::ClocksTurn(moment.join(" ")),
            ["registry", "mixes", "up", "the", "parties"] => Self::MixUp(true),
            ["registry", "has", "the", "parties", "right"] => Self::MixUp(false),
            ["registry", "goes", "down"] => Self::RegistryDown,
            ["registry", "comes", "up"] => Self::RegistryUp,
            ["registry", "has", counts @ ..] => Self::RegistryHas(counts_of(counts)?),
            ["registry", "saw", "the", "bank"] => Self::RegistrySaw,
            ["registry", "saw", said @ ..] => Self::RegistrySawSaid(
                said.iter()
                    .map(|word| {
                        let (path, value) = word.split_once('=').context("`PATH=VALUE`")?;
                        Ok((path.to_owned(), value.to_owned()))
                    })
                    .collect::<anyhow::Result<_>>()?,
            ),
            ["gateway", "is", "killed"] => Self::Kill,
            ["gateway", "is", "told", "to", "stop"] => Self::Stop,
            ["gateway", "has", "stopped"] => Self::Stopped,
            ["gateway", "starts"] => Self::Run,
            ["gateway", "logs", "once", words @ ..] => Self::LoggedOnce(words.join(" ")),
            ["gateway", "counts", line @ ..] => Self::Counts(line.join(" ")),
            ["evidence", "proves", number, "exchanges", "of", "the", "filing"] => {
                Self::Proves(number.parse()?)
            }
            ["evidence", "is", "audited"] => Self::Audits,
            ["gateway", "is", "ready"] => Self::Ready(true),
            ["gateway", "is", "not", "ready"] => Self::Ready(false),
            ["subscriber" | "operator", ..] => {
                let (name, telling) = Telling::parse(&words)?;
                Self::Telling(name, telling)
            }
            ["ledger", "goes", "down"] => Self::LedgerDown,
            ["ledger", "comes", "up"] => Self::LedgerUp,
            _ => bail!("no step of this form"),
        })
    }
}

fn message_of(words: &[&str]) -> anyhow::Result<Message> {
    match words {
        ["bytes", file] => Ok(Message::Bytes { file: (*file).to_owned() }),
        ["blanks", length] => Ok(Message::Blank { length: length.parse()? }),
        [name, changes @ ..] => {
            let changes = changes_of(changes)?;
            Ok(Message::Sample { name: (*name).to_owned(), changes })
        }
        [] => bail!("which message?"),
    }
}

fn changes_of(words: &[&str]) -> anyhow::Result<Vec<Change>> {
    words
        .chunks(2)
        .map(|pair| match pair {
            ["with", what] => match (what.split_once("=…"), what.split_once('=')) {
                (Some((path, end)), _) => Ok(Change::End(path.to_owned(), end.to_owned())),
                (None, Some((path, value))) => Ok(Change::Set(path.to_owned(), value.to_owned())),
                (None, None) => bail!("`with PATH=VALUE` or `with PATH=…END`"),
            },
            ["without", path] => Ok(Change::Without((*path).to_owned())),
            ["emptying", path] => Ok(Change::Emptying((*path).to_owned())),
            _ => bail!("`with PATH=VALUE`, `without PATH` or `emptying PATH`"),
        })
        .collect()
}

fn hears_of(words: &[&str]) -> anyhow::Result<Hears> {
    let (kind, says) = match words {
        ["outcome", says @ ..] => (Kind::Outcome, says),
        ["refusal", says @ ..] => (Kind::Refusal, says),
        ["titles", says @ ..] => (Kind::Titles, says),
        ["record", says @ ..] => (Kind::Record, says),
        ["certificate", says @ ..] => (Kind::Certificate, says),
        ["document", says @ ..] => (Kind::Document, says),
        ["obstacles", says @ ..] => (Kind::Obstacles, says),
        ["office", says @ ..] => (Kind::Office, says),
        ["events", says @ ..] => (Kind::Events, says),
        ["acknowledged", says @ ..] => (Kind::Acknowledged, says),
        ["nothing"] => return Ok(Hears { kind: Kind::Nothing, says: BTreeMap::new() }),
        _ => bail!(
            "`hears outcome …`, `refusal …`, `titles …`, `record …`, `certificate …`, `document …`, \
             `obstacles …`, `office …`, `events …`, `acknowledged …` or `nothing`"
        ),
    };
    let says = says
        .iter()
        .map(|word| {
            let (what, value) = word.split_once('=').context("`WHAT=VALUE`")?;
            Ok((what.to_owned(), value.to_owned()))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Hears { kind, says })
}

fn caller_of(sort: &str) -> anyhow::Result<Caller> {
    Ok(match sort {
        "unknown" => Caller::Unknown,
        "expired" => Caller::Expired,
        "unfit" => Caller::WrongUse,
        "alien" => Caller::Foreign,
        _ => bail!("an unknown, expired, unfit or alien certificate"),
    })
}

fn counts_of(words: &[&str]) -> anyhow::Result<Vec<(Counted, u64)>> {
    words
        .chunks(2)
        .map(|pair| match pair {
            [number, what] => {
                let counted = match what.trim_end_matches(',') {
                    "submission" | "submissions" => Counted::Submits,
                    "question" | "questions" => Counted::Questions,
                    "case" | "cases" => Counted::Cases,
                    "registration" | "registrations" => Counted::Registrations,
                    "discharge" | "discharges" => Counted::Discharges,
                    "entry" | "entries" => Counted::Entries,
                    "refusal" | "refusals" => Counted::Refusals,
                    _ => bail!(
                        "submissions, questions, cases, registrations, discharges, entries or refusals"
                    ),
                };
                Ok((counted, number.parse()?))
            }
            _ => bail!("`NUMBER WHAT, NUMBER WHAT`"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_means() {
        let step: Step = "bank sends first with matter.rank=2 without matter.remarks with a.b=…9"
            .parse()
            .unwrap();
        assert_eq!(
            step,
            Step::Send(Message::Sample {
                name: "first".into(),
                changes: vec![
                    Change::Set("matter.rank".into(), "2".into()),
                    Change::Without("matter.remarks".into()),
                    Change::End("a.b".into(), "9".into()),
                ],
            })
        );
        let step: Step = "registry has 1 registration, 2 submissions".parse().unwrap();
        assert_eq!(
            step,
            Step::RegistryHas(vec![(Counted::Registrations, 1), (Counted::Submits, 2)])
        );
        assert!("bank mumbles".parse::<Step>().is_err());
    }
}
