//! Takes a settings file that has changed while the gateway runs, as far as a filing's way depends on it.
//!
//! It is taken whole or not at all: a file with a fault anywhere is told with every fault, and the directory before counts
//! on. What it says of anything else is left for the restart, and that is told. Files are read on threads of their own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use tokio::{signal::unix::Signal, time::sleep};

use super::{Digest, digest_of, finished};
use crate::{
    attendance::Attendance,
    exchange::Gateway,
    settings::{Problem, Settings},
    telemetry::SettingsEnd,
};

/// Tables that are taken while the gateway runs; all others wait for a restart.
const TAKEN: [&str; 5] = ["office", "registry", "routing", "matters", "calendar"];

/// The settings file as it was read at one moment, with the files of the registries that it names.
#[derive(Debug)]
pub struct Seen {
    file: PathBuf,
    tables: toml::Table,
    /// What it says; else everything that is wrong with it.
    pub settings: Result<Settings, Vec<Problem>>,
    digest: Digest,
}

impl Seen {
    /// Reads the file.
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file);
        let mut context = Context::new(&SHA256);
        context.update(text.as_deref().unwrap_or_default().as_bytes());
        let tables = text.as_deref().ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        let settings = match &text {
            Ok(text) => Settings::parse(text, file),
            Err(error) => Err(vec![unreadable(file, error)]),
        };
        for registry in settings.iter().flat_map(|settings| &settings.registries) {
            context.update(&digest_of(registry));
        }
        Self { file: file.to_owned(), tables, settings, digest: finished(context) }
    }

    /// Tables of which `now` says something else, and that are not taken before a restart.
    fn waiting(&self, now: &Self) -> Vec<String> {
        let names = self.tables.keys().chain(now.tables.keys());
        let mut waiting: Vec<_> = names
            .filter(|name| !TAKEN.contains(&name.as_str()))
            .filter(|name| self.tables.get(*name) != now.tables.get(*name))
            .map(|name| format!("[{name}]"))
            .collect();
        waiting.sort_unstable();
        waiting.dedup();
        waiting
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Problem {
    Problem { file: file.to_owned(), line: None, message: error.to_string() }
}

/// Looks at the settings file `every` so often until the attendance's end; at once when `asked`. Ends when everybody has
/// ended who works for registries.
///
/// What has changed is taken once two looks find the same: it may be half written. Whoever asks says that it is not.
pub async fn watch(
    gateway: Arc<Gateway>,
    mut attendance: Attendance,
    started_with: Seen,
    every: Duration,
    mut asked: Signal,
) {
    let stop = attendance.stopping();
    let digest = started_with.digest;
    let mut watch = Watch { started_with, served: digest, moving: None, refused: None };
    let mut pause = every;
    loop {
        let look = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(()) = asked.recv() => Look::Asked,
            () = sleep(pause) => Look::Routine,
        };
        let there = Arc::clone(&gateway);
        let looking = tokio::task::spawn_blocking(move || {
            let done = watch.look(&there, look);
            (watch, done)
        });
        let Ok((kept, done)) = looking.await else {
            tracing::error!("looking for changed settings broke: they need a restart from now on");
            stop.cancelled().await;
            break;
        };
        watch = kept;
        if done == Done::Taken {
            attendance.follow();
        }
        pause = if done == Done::Moving { every.min(SETTLING) } else { every };
    }
    attendance.ended().await;
}

/// How long after a change is first seen it is looked at again.
const SETTLING: Duration = Duration::from_secs(1);

/// Why the file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Routine,
    Asked,
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// Nothing is to be taken.
    Nothing,
    /// It has changed, and may be changing.
    Moving,
    /// There is another directory from now on.
    Taken,
}

/// What was seen on disk.
#[derive(Debug)]
struct Watch {
    /// What the rest of the gateway counts on until it is started again.
    started_with: Seen,
    served: Digest,
    /// Not yet found the same twice.
    moving: Option<Digest>,
    /// Did not pass; told once.
    refused: Option<Digest>,
}

impl Watch {
    fn look(&mut self, gateway: &Gateway, look: Look) -> Done {
        let now = Seen::read(&self.started_with.file);
        if now.digest == self.served {
            self.moving = None;
            if self.refused.take().is_some() {
                gateway.metrics.settings_outdated(!self.started_with.waiting(&now).is_empty());
            }
            return Done::Nothing;
        }
        if look == Look::Routine {
            if self.refused == Some(now.digest) {
                return Done::Nothing;
            }
            if self.moving.replace(now.digest) != Some(now.digest) {
                return Done::Moving;
            }
        }
        self.moving = None;
        let waiting = self.started_with.waiting(&now);
        let taken = now.settings.and_then(|settings| gateway.take_directory(&settings));
        match taken {
            Ok(left_out) => {
                (self.served, self.refused) = (now.digest, None);
                told_taken(&waiting, &left_out);
                gateway.metrics.settings(SettingsEnd::Taken);
                gateway.metrics.settings_outdated(!waiting.is_empty());
                Done::Taken
            }
            Err(problems) => {
                self.refused = Some(now.digest);
                told_refused(&problems);
                gateway.metrics.settings(SettingsEnd::Refused);
                gateway.metrics.settings_outdated(true);
                Done::Nothing
            }
        }
    }
}

fn told_taken(waiting: &[String], left_out: &[String]) {
    tracing::info!("changed settings count from now on: offices, registries, matters, calendar");
    if !waiting.is_empty() {
        tracing::warn!(
            tables = waiting.join(" "),
            "these tables of the settings have changed too: they wait for a restart"
        );
    }
    for registry in left_out {
        tracing::warn!(
            registry,
            "a registry is in settings no more: no office leads there, and what was filed there is followed until the restart"
        );
    }
}

fn told_refused(problems: &[Problem]) {
    for Problem { file, line, message } in problems {
        tracing::error!(
            file = %file.display(),
            line,
            problem = message,
            "changed settings are not taken, those before count on"
        );
    }
}
