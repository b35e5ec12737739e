//! Takes a settings file that has changed while the gateway runs, as far as it says who may call, and what a filing's way
//! depends on (`settings/taken.rs` lists it).
//!
//! It is taken whole or not at all: a file with a fault anywhere is told with every fault, and what was before counts on.
//! What it says of anything else is left for the restart, and that is told. Files are read on threads of their own.

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
    console::Console,
    entrance::Entrance,
    exchange::Gateway,
    identity::Identities,
    settings::{Problem, Settings},
    telemetry::SettingsEnd,
    turnstile::Turnstile,
};

/// The settings file as it was read at one moment, with the files of the registries that it names.
#[derive(Debug)]
pub struct Seen {
    file: PathBuf,
    /// What stands in it; nothing, if it cannot be read.
    pub text: String,
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
        let (file, text) = (file.to_owned(), text.unwrap_or_default());
        Self { file, text, tables, settings, digest: finished(context) }
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Problem {
    Problem { file: file.to_owned(), line: None, message: error.to_string() }
}

/// Those who go by the settings file while the gateway runs.
#[derive(Debug)]
pub struct Followers {
    /// The gateway, with its contracts and its directory.
    pub gateway: Arc<Gateway>,
    /// The way in for banks.
    pub entrance: Arc<Entrance<Identities>>,
    /// What each institution may have.
    pub turnstile: Arc<Turnstile>,
    /// The console, if there is one.
    pub console: Option<Console>,
}

impl Followers {
    /// Has them all go by `now` instead of `before`; returns the registries that settings name no more. `text`: the file that
    /// says so. One caller at a time.
    ///
    /// # Errors
    /// Everything that stands against it; then nothing has changed.
    fn follow(
        &self,
        before: &Settings,
        now: &Arc<Settings>,
        text: &str,
    ) -> Result<Vec<String>, Vec<Problem>> {
        let gateway = &self.gateway;
        let contracts = gateway.contracts.changed(before, now);
        let directory = gateway.directory().changed(now, &gateway.metrics);
        let (contracts, directory) = match (contracts, directory) {
            (Ok(contracts), Ok(directory)) => (contracts, directory),
            (contracts, directory) => {
                let mut problems = contracts.err().unwrap_or_default();
                problems.extend(directory.err().unwrap_or_default());
                return Err(problems);
            }
        };
        let left_out = directory.left_out().into_iter().map(str::to_owned).collect();
        // Whoever is let in last of all finds all that it needs.
        gateway.contracts.serve(contracts);
        gateway.directory.store(Arc::new(directory));
        self.turnstile.know(&now.institutions);
        self.entrance.know(Identities::new(&now.institutions, &now.listen.proxies));
        if let Some(console) = &self.console {
            console.follow(now, text);
        }
        Ok(left_out)
    }
}

/// Looks at the settings file `every` so often until the attendance's end; at once when `asked`. Ends when everybody has
/// ended who works for registries.
///
/// What has changed is taken once two looks find the same: it may be half written. Whoever asks says that it is not.
pub async fn watch(
    followers: Followers,
    mut attendance: Attendance,
    started: (Seen, Settings),
    every: Duration,
    mut asked: Signal,
) {
    let stop = attendance.stopping();
    let (started_with, counting) = started;
    let (served, counting) = (started_with.digest, Arc::new(counting));
    let mut watch =
        Watch { followers, started_with, counting, served, moving: None, refused: None };
    let mut pause = every;
    loop {
        let look = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(()) = asked.recv() => Look::Asked,
            () = sleep(pause) => Look::Routine,
        };
        let looking = tokio::task::spawn_blocking(move || {
            let done = watch.look(look);
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
    followers: Followers,
    /// What the rest of the gateway counts on until it is started again.
    started_with: Seen,
    /// The settings that count.
    counting: Arc<Settings>,
    served: Digest,
    /// Not yet found the same twice.
    moving: Option<Digest>,
    /// Did not pass; told once.
    refused: Option<Digest>,
}

impl Watch {
    fn look(&mut self, look: Look) -> Done {
        let now = Seen::read(&self.started_with.file);
        if now.digest == self.served {
            self.moving = None;
            if self.refused.take().is_some() {
                let waiting = now.settings.as_ref().map(|it| self.waiting(it, &now.tables));
                let metrics = &self.followers.gateway.metrics;
                metrics.settings_outdated(waiting.is_ok_and(|it| !it.is_empty()));
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
        let Seen { settings, digest, tables, text, .. } = now;
        let taken = settings.and_then(|changed| {
            let counting = Arc::new(self.counting.with_taken(&changed));
            let left_out = self.followers.follow(&self.counting, &counting, &text)?;
            let waiting = self.waiting(&changed, &tables);
            self.counting = counting;
            Ok((waiting, left_out))
        });
        let metrics = &self.followers.gateway.metrics;
        match taken {
            Ok((waiting, left_out)) => {
                (self.served, self.refused) = (digest, None);
                told_taken(&waiting, &left_out);
                metrics.settings(SettingsEnd::Taken);
                metrics.settings_outdated(!waiting.is_empty());
                Done::Taken
            }
            Err(problems) => {
                self.refused = Some(digest);
                told_refused(&problems);
                metrics.settings(SettingsEnd::Refused);
                metrics.settings_outdated(true);
                Done::Nothing
            }
        }
    }

    /// Tables that wait for a restart.
    fn waiting(&self, changed: &Settings, tables: &toml::Table) -> Vec<String> {
        self.counting.waiting(&self.started_with.tables, changed, tables)
    }
}

fn told_taken(waiting: &[String], left_out: &[String]) {
    tracing::info!(
        "changed settings count from now on: who may call, offices, registries, matters, calendar"
    );
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
