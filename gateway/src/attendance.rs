//! Who works for each registry: one that finds out unknown outcomes, one that follows cases up, one that hears its events,
//! one that asks about its offices and one that compares books. They begin when a registry comes into the directory, and end when it is reached
//! otherwise or the gateway stops. What they do is in their own files.

use std::{collections::HashMap, sync::Arc};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    capability,
    exchange::Gateway,
    follow_up, listener, reconciler,
    registry::Registry,
    resolver,
    settings::{self, Answers, Settings},
};

/// All who work for registries.
#[derive(Debug)]
pub struct Attendance {
    gateway: Arc<Gateway>,
    settings: settings::Resolver,
    reconciliation: Option<settings::Reconciliation>,
    stop: CancellationToken,
    by_registry: HashMap<String, (Registry, CancellationToken)>,
    workers: JoinSet<()>,
}

impl Attendance {
    /// Those who work for the registries that the gateway has now, until `stop` is cancelled.
    pub fn begin(gateway: Arc<Gateway>, settings: &Settings, stop: CancellationToken) -> Self {
        let mut begun = Self {
            gateway,
            settings: settings.resolver.clone(),
            reconciliation: settings.reconciliation,
            stop,
            by_registry: HashMap::new(),
            workers: JoinSet::new(),
        };
        begun.follow();
        begun
    }

    /// Lets work begin for registries that are new in the directory, or reached otherwise now; whoever reached those as they
    /// were ends what is under way, and leaves.
    pub fn follow(&mut self) {
        while self.workers.try_join_next().is_some() {}
        let directory = self.gateway.directory();
        for registry in directory.registries() {
            let there = self.by_registry.get(registry.name());
            if there.is_some_and(|(there, _)| there.is_same(registry)) {
                continue;
            }
            let stop = self.stop.child_token();
            let attended = (registry.clone(), stop.clone());
            if let Some((_, left)) = self.by_registry.insert(registry.name().to_owned(), attended) {
                left.cancel();
            }
            self.attend(registry, &stop);
        }
    }

    /// Cancelled when everybody is to end.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits until everybody has ended what was under way.
    pub async fn ended(mut self) {
        while self.workers.join_next().await.is_some() {}
    }

    fn attend(&mut self, registry: &Registry, stop: &CancellationToken) {
        let with =
            || (Arc::clone(&self.gateway), registry.clone(), self.settings.clone(), stop.clone());
        let (gateway, reached, settings, until) = with();
        self.workers.spawn(resolver::resolve(gateway, reached, settings, until));
        let (gateway, reached, settings, until) = with();
        self.workers.spawn(follow_up::follow_up(gateway, reached, settings, until));
        match registry.answers() {
            Answers::Events => {
                let (gateway, reached, settings, until) = with();
                self.workers.spawn(listener::listen(gateway, reached, settings, until));
            }
            Answers::AtOnce | Answers::Polled => {}
        }
        if let Some(reconciliation) = self.reconciliation {
            let (gateway, reached, _, until) = with();
            self.workers.spawn(reconciler::reconcile(gateway, reached, reconciliation, until));
        }
        let (gateway, reached, _, until) = with();
        self.workers.spawn(capability::ask(gateway, reached, until));
    }
}
