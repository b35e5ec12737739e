//! The end of a soak: both sides' books are compared by the program for operators, the log of exchanges is audited by it, and
//! what there is in the register, the ledger, the feeds and the log is written into the history.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, ensure};
use gateway::ledger::{
    Ledger,
    events::{After, EventId, Page},
};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::trouble::System;
use crate::{
    deployment::{EVIDENCE_PUBLIC_KEY, program},
    history::{Event, Filing, Line, Writer},
};

/// The day it is, as books have it.
pub(super) fn today() -> String {
    time::OffsetDateTime::now_utc().to_offset(time::macros::offset!(+8)).date().to_string()
}

/// Waits until `directlink reconcile` finds that ledger and registry agree: then the gateways have heard all there is to
/// hear. `first`: the day on which it began.
///
/// # Errors
/// They do not agree in time; the program's account of it is told.
pub(super) async fn wait_until_books_agree(
    system: &System,
    first: &str,
    time_max: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + time_max;
    for day in BTreeSet::from([first.to_owned(), today()]) {
        loop {
            let (agree, told) = directlink(system, &["reconcile", "--day", &day]).await?;
            if agree {
                break;
            }
            ensure!(Instant::now() < deadline, "the books do not agree:\n{told}");
            sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

/// Waits until `directlink notices list` says that who subscribes was told of everything, or no longer than that: what is
/// left then is judged with the rest.
///
/// # Errors
/// The program cannot be run.
pub(super) async fn wait_until_told(system: &System, time_max: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + time_max;
    let nothing_left = |told: &str, bank: &str| {
        let wanted = format!("{bank}: undelivered 0, parked 0");
        told.lines().any(|line| line.strip_prefix(&wanted).is_some_and(|it| !it.contains("ended")))
    };
    while Instant::now() < deadline {
        let (_, told) = directlink(system, &["notices", "list"]).await?;
        if system.audience().banks().all(|bank| nothing_left(&told, bank)) {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// What `directlink evidence audit` says of the log: whatever became of processes and networks, it is one tree, and what was
/// signed.
///
/// # Errors
/// It is not what was logged.
pub(super) async fn audit(system: &System) -> anyhow::Result<String> {
    let (is_whole, told) = directlink(system, &["evidence", "audit"]).await?;
    ensure!(is_whole, "the log of exchanges:\n{told}");
    Ok(told.trim_end().to_owned())
}

/// Runs the program for operators with the settings of the first gateway. Whether it was content, and what it said.
async fn directlink(system: &System, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let settings = system.gateways().first().context("no gateway")?.settings();
    let mut command = Command::new(program("directlink")?);
    command.args(arguments).arg("--settings").arg(settings);
    let ended = command.current_dir(system.folder()).output().await?;
    let told = [ended.stdout, ended.stderr].concat();
    Ok((ended.status.success(), String::from_utf8_lossy(&told).into_owned()))
}

/// Writes what there is at the end.
///
/// # Errors
/// The ledger cannot be read, or the disk is full.
pub(super) async fn write(
    history: &Writer,
    system: &System,
    ledger: &dyn Ledger,
    banks: impl Iterator<Item = &str>,
    filings: &BTreeSet<Filing>,
) -> anyhow::Result<()> {
    register(history, system)?;
    for filing in filings {
        let found = ledger.find(&filing.bank, &filing.key).await?;
        let state = found.map_or("None".to_owned(), |record| format!("{:?}", record.state));
        history.write(&Line::Ledger { filing: filing.clone(), state: state.to_lowercase() })?;
    }
    for bank in banks {
        feed(history, ledger, bank).await?;
    }
    log(history, system, ledger).await
}

fn register(history: &Writer, system: &System) -> anyhow::Result<()> {
    let control = system.registry();
    for case in control.cases() {
        history.write(&Line::Case {
            filing: Filing { bank: case.institution, key: case.key },
            case: case.case_id,
            status: case.status,
            certificates: case.certificate_numbers.into_iter().collect(),
        })?;
    }
    for (name, counts) in control.counts().keys {
        let (bank, key) = name.split_once('/').context("a key without its institution")?;
        let filing = Filing { bank: bank.to_owned(), key: key.to_owned() };
        history.write(&Line::Entered { filing, times: counts.registrations })?;
    }
    Ok(())
}

/// A bank's whole feed, from place to place.
async fn feed(history: &Writer, ledger: &dyn Ledger, bank: &str) -> anyhow::Result<()> {
    let mut place = EventId::NONE;
    loop {
        let page = ledger.events_after(bank, &After::Event(place), PAGE).await?;
        let Page::Events { events, next } = page else { anyhow::bail!("{place} is no place") };
        if events.is_empty() {
            return Ok(());
        }
        place = next;
        for event in events {
            let status = event.outcome.status().as_str_name();
            history.write(&Line::Event {
                filing: Filing { bank: event.institution.clone(), key: event.key.clone() },
                event: Event {
                    id: event.id().to_string(),
                    number: event.sequence,
                    case: event.outcome.case_id.clone(),
                    status: status.trim_start_matches("CASE_STATUS_").to_owned(),
                },
            })?;
        }
    }
}

/// Events, leaves or checkpoints that are read together.
const PAGE: u32 = 256;

async fn log(history: &Writer, system: &System, ledger: &dyn Ledger) -> anyhow::Result<()> {
    let mut place = 0;
    loop {
        let leaves = ledger.leaves(place, PAGE).await?;
        let Some(last) = leaves.last() else { break };
        place = last.index.context("a leaf without a place")? + 1;
        for kept in leaves {
            let salt = kept.salt.map(|salt| hex::encode(salt.0)).unwrap_or_default();
            history.write(&Line::Leaf { leaf: kept.text, salt })?;
        }
    }
    let mut size = 0;
    loop {
        let checkpoints = ledger.checkpoints(size, PAGE).await?;
        let Some((last, _)) = checkpoints.last() else { break };
        size = last + 1;
        for (_, note) in checkpoints {
            history.write(&Line::Checkpoint { note })?;
        }
    }
    let key = std::fs::read_to_string(system.folder().join(EVIDENCE_PUBLIC_KEY))?;
    history.write(&Line::Key { key })?;
    for (bank, times) in unwritten(system) {
        history.write(&Line::Unwritten { bank, times })?;
    }
    Ok(())
}

/// How often the gateways' logs say that an exchange has no leaf, by bank.
fn unwritten(system: &System) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for gateway in system.gateways() {
        let log = gateway.log_text();
        // A process that is killed may leave half a line.
        let lines = log.lines().filter_map(|it| serde_json::from_str::<serde_json::Value>(it).ok());
        for line in lines.filter(|it| it["message"] == UNWRITTEN) {
            let bank = line["institution"].as_str().unwrap_or_default().to_owned();
            *times.entry(bank).or_default() += 1;
        }
    }
    times
}

/// As `gateway/src/exchange/witness.rs` says it.
const UNWRITTEN: &str = "an exchange is answered without its evidence being kept";
