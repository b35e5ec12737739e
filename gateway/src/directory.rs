//! Which offices and registries there are, which institution may ask for what, and which days are kept: what a filing's way
//! depends on, as one thing that is replaced as a whole while the gateway runs.
//!
//! Whoever begins something takes the directory of that moment and ends with it. A registry that has not changed is kept
//! with its connection and with what is known of its trouble. One that is in settings no more is called on for what was
//! filed there, until the restart; no office leads to it. Nothing is watched here: `directory/watch.rs` does that.

use std::{collections::HashMap, error::Error, fs, path::PathBuf, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};

use crate::{
    certificates,
    hours::Calendar,
    registry::Registry,
    route::Route,
    settings::{self, Matters, Problem, Settings},
    telemetry::{Holder, Metrics},
    tls,
};

pub mod watch;

/// Says what content is, for comparing.
type Digest = [u8; 32];

/// What a filing's way depends on.
#[derive(Debug)]
pub struct Directory {
    /// Offices.
    pub route: Route,
    /// Which institutions may ask for what.
    pub matters: Matters,
    /// Holidays and weekend days that are worked.
    pub calendar: Calendar,
    registries: HashMap<String, Reached>,
}

/// A registry, and how it came to be reached so.
#[derive(Debug, Clone)]
struct Reached {
    registry: Registry,
    settings: Arc<settings::Registry>,
    /// Of the certificates and the key.
    files: Digest,
    /// Whether settings name it.
    named: bool,
}

impl Directory {
    /// The directory that settings make.
    ///
    /// # Errors
    /// Every registry that cannot be reached so.
    pub fn new(settings: &Settings, metrics: &Metrics) -> Result<Self, Vec<Problem>> {
        Self::over(HashMap::new(), settings, metrics)
    }

    /// The directory that settings make of this one.
    ///
    /// # Errors
    /// Every registry that cannot be reached so.
    pub fn changed(&self, settings: &Settings, metrics: &Metrics) -> Result<Self, Vec<Problem>> {
        Self::over(self.registries.clone(), settings, metrics)
    }

    fn over(
        mut registries: HashMap<String, Reached>,
        settings: &Settings,
        metrics: &Metrics,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        registries.values_mut().for_each(|reached| reached.named = false);
        for registry in &settings.registries {
            let files = digest_of(registry);
            if let Some(reached) = registries.get_mut(&registry.name)
                && (&reached.settings, reached.files) == (registry, files)
            {
                reached.named = true;
                continue;
            }
            match connect_to(registry, metrics) {
                Ok(made) => {
                    let settings = Arc::clone(registry);
                    let reached = Reached { registry: made, settings, files, named: true };
                    registries.insert(registry.name.clone(), reached);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            route: Route::new(&settings.offices, &settings.routing),
            matters: settings.matters.clone(),
            calendar: settings.calendar.clone(),
            registries,
        })
    }

    /// A registry by its name; one that is in settings no more too.
    pub fn registry(&self, name: &str) -> Option<&Registry> {
        self.registries.get(name).map(|reached| &reached.registry)
    }

    /// Every registry, those that are in settings no more too.
    pub fn registries(&self) -> impl Iterator<Item = &Registry> {
        self.registries.values().map(|reached| &reached.registry)
    }

    /// The registry, where settings name a single one.
    pub fn only_registry(&self) -> Option<&Registry> {
        let mut named = self.registries.values().filter(|reached| reached.named);
        let only = named.next().filter(|_| named.next().is_none());
        only.map(|reached| &reached.registry)
    }

    /// Registries that are in settings no more, by name.
    pub(crate) fn left_out(&self) -> Vec<&str> {
        let left_out = self.registries.iter().filter(|(_, reached)| !reached.named);
        let mut names: Vec<_> = left_out.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

fn connect_to(registry: &Arc<settings::Registry>, metrics: &Metrics) -> Result<Registry, Problem> {
    let problem = |file: PathBuf, error: &dyn Error| Problem {
        file,
        line: None,
        message: format!("registry `{}`: {error}", registry.name),
    };
    let tls = tls::client_config(&registry.ca, &registry.certificate, &registry.key)
        .map_err(|error| problem(error.file().to_owned(), &error))?;
    if let Some(expiry) = certificates::earliest(&registry.certificate) {
        metrics.certificate_expires(Holder::Registry, &registry.name, expiry);
    }
    Registry::new(Arc::clone(registry), Arc::new(tls), metrics.clone())
        .map_err(|error| problem(registry.ca.clone(), &error))
}

/// What the files of a registry hold; one that cannot be read holds nothing.
fn digest_of(registry: &settings::Registry) -> Digest {
    let mut context = Context::new(&SHA256);
    for file in [&registry.ca, &registry.certificate, &registry.key] {
        let content = fs::read(file).unwrap_or_default();
        context.update(&u64::try_from(content.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(&content);
    }
    finished(context)
}

fn finished(context: Context) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
