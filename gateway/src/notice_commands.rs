//! `directlink notices …`: what operators do about notices that subscribers did not take, beside the gateways that serve.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use gateway::{
    assembly,
    evidence::act::Act,
    ledger::{
        Ledger,
        events::EventId,
        notices::{Parked, Standing},
    },
    settings::Settings,
};

use super::{Failure, operator, runtime, say};

#[derive(Subcommand)]
pub(crate) enum NoticeCommand {
    /// Say how every subscriber stands, and which notices are parked. 列出通知
    ///
    /// The ledger is read beside the gateways that serve; nothing is changed.
    #[command(after_help = LIST_HELP)]
    List {
        #[command(flatten)]
        from: From,
        /// Of this subscriber alone, by its name in settings.
        subscriber: Option<String>,
        /// Parked notices at most.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: u32,
    },
    /// Have parked notices sent again, at once. 重发通知
    ///
    /// They keep their identifiers: a subscriber that has one already passes it over. What came of the same cases since is sent
    /// after them, in order.
    #[command(after_help = RESEND_HELP)]
    Resend {
        #[command(flatten)]
        from: From,
        /// Whose, by its name in settings.
        subscriber: String,
        /// This one, with those parked before it of its case; as `list` names it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        event: Option<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
    /// Send to a subscriber again that had answered 410 Gone, or is left alone for a while. 恢复订阅
    ///
    /// It goes on where it was: whatever came meanwhile is sent, as long as events are kept.
    #[command(after_help = RESUME_HELP)]
    Resume {
        #[command(flatten)]
        from: From,
        /// Which, by its name in settings.
        subscriber: String,
    },
}

/// Which ledger.
#[derive(Args)]
pub(crate) struct From {
    /// The settings file; every key is described in docs/settings-reference.md.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
}

const LIST_HELP: &str = "\
Examples:
  directlink notices list --settings directlink.toml
  directlink notices list bank-core --limit 1000 --settings directlink.toml

What is told of a subscriber:
  undelivered  events it is still to be told of, parked ones apart; oldest: since when the oldest of them is known
  parked       notices that are sent only once an operator says so
  away         for how long it has answered nothing, or that it takes nothing now
  ended        it answered 410 Gone: nothing is sent until `resume`

Exit codes: 0 it is told; 1 the ledger cannot be read; 2 the command line was not understood";

const RESEND_HELP: &str = "\
Examples:
  directlink notices resend bank-core EV-0000000912-5c1d9e0a77b3f210 --settings directlink.toml
  directlink notices resend bank-core --all --settings directlink.toml

Exit codes: 0 they are to be sent; 1 there is none, or the ledger cannot be written to; 2 the command line was not understood";

const RESUME_HELP: &str = "\
Examples:
  directlink notices resume bank-core --settings directlink.toml

Exit codes: 0 it is sent to again; 1 there is no such subscriber, or the ledger cannot be written to; 2 the command line was not
understood";

pub(crate) fn run(command: NoticeCommand) -> Result<(), Failure> {
    let done = runtime()?.block_on(async {
        match command {
            NoticeCommand::List { from, subscriber, limit } => {
                list(&settings(&from)?, subscriber.as_deref(), limit).await
            }
            NoticeCommand::Resend { from, subscriber, event, all: _ } => {
                resend(&settings(&from)?, &subscriber, event.as_deref()).await
            }
            NoticeCommand::Resume { from, subscriber } => {
                resume(&settings(&from)?, &subscriber).await
            }
        }
    });
    done.map_err(|error: anyhow::Error| match error.downcast::<Unread>() {
        Ok(Unread(problems)) => Failure::Faulty(problems),
        Err(error) => Failure::Broken(error),
    })
}

/// The settings have faults.
#[derive(Debug, thiserror::Error)]
#[error("the settings have faults")]
struct Unread(Vec<gateway::settings::Problem>);

fn settings(from: &From) -> anyhow::Result<Settings> {
    Settings::load(&from.settings).map_err(|problems| Unread(problems).into())
}

async fn beside(settings: &Settings) -> anyhow::Result<Arc<dyn Ledger>> {
    assembly::ledger_beside(settings).await.context("the ledger cannot be opened")
}

async fn list(settings: &Settings, of: Option<&str>, limit: u32) -> anyhow::Result<()> {
    let ledger = assembly::ledger_to_read(settings).await.context("the ledger cannot be opened")?;
    let standings = ledger.standings().await.context("the ledger cannot be read")?;
    let wanted = |name: &str| of.is_none_or(|of| of == name);
    let mut found = false;
    for standing in standings.iter().filter(|it| wanted(&it.subscriber)) {
        found = true;
        say(&standing_told(standing));
    }
    if let (Some(of), false) = (of, found) {
        bail!("nobody was ever told under the name `{of}`");
    }
    for parked in ledger.parked(of, limit).await.context("the ledger cannot be read")? {
        say(&parked_told(&parked));
    }
    Ok(())
}

fn standing_told(standing: &Standing) -> String {
    let Standing { subscriber, ended, failures, failing_for, waiting, parked, unread, oldest } =
        standing;
    let mut told = format!("{subscriber}: undelivered {}", waiting.saturating_add(*unread));
    if let Some(oldest) = oldest {
        told.push_str(&format!(", oldest {}", length(*oldest)));
    }
    told.push_str(&format!(", parked {parked}"));
    if let Some(failing_for) = failing_for {
        told.push_str(&format!(", away {} ({failures} turns)", length(*failing_for)));
    }
    if *ended {
        told.push_str(", ended");
    }
    told
}

fn parked_told(parked: &Parked) -> String {
    let Parked { subscriber, event, tries } = parked;
    let status = event.outcome.status().as_str_name().trim_start_matches("CASE_STATUS_");
    format!(
        "{subscriber} {} institution={} case={} number={} status={status} tries={tries}",
        event.id(),
        event.institution,
        event.outcome.case_id,
        event.sequence,
    )
}

fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

async fn resend(settings: &Settings, subscriber: &str, id: Option<&str>) -> anyhow::Result<()> {
    let id: Option<EventId> = id.map(str::parse).transpose()?;
    let ledger = beside(settings).await?;
    let subject = id.map_or_else(|| subscriber.to_owned(), |id| format!("{subscriber} {id}"));
    operator::note(settings, &*ledger, Act::Resend, &subject).await?;
    let again = ledger.resend(subscriber, id.as_ref()).await;
    match again.context("the ledger cannot be written to")? {
        0 => bail!("nothing of that is parked for `{subscriber}`"),
        again => say(&format!("{again} to be sent again")),
    }
    Ok(())
}

async fn resume(settings: &Settings, subscriber: &str) -> anyhow::Result<()> {
    let ledger = beside(settings).await?;
    operator::note(settings, &*ledger, Act::Resume, subscriber).await?;
    let resumed = ledger.resume(subscriber).await;
    if !resumed.context("the ledger cannot be written to")? {
        bail!("nobody was ever told under the name `{subscriber}`");
    }
    say(&format!("`{subscriber}` is sent to again"));
    Ok(())
}
