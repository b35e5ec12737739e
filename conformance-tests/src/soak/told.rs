//! Banks that subscribe to notices during a soak, in the words of the standard contract: what they are told goes into the
//! history, and how they answer is decided by `trouble.rs`.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;

use super::{Shared, traffic::Speaker};
use crate::{
    deployment::Deployment,
    history::{Event, Line, Notice},
    receiver::{Manner, Receiver, Taken},
    scenario::telling::Subscribers,
};

/// The banks that subscribe: each under its own name.
#[derive(Debug, Default)]
pub(super) struct Audience(Vec<Subscribers>);

impl Audience {
    /// Every second bank subscribes, the first among them. With it, what settings say of them.
    pub(super) fn plan(
        speakers: &[Arc<Speaker>],
        contracts: &Path,
    ) -> anyhow::Result<(Self, Vec<toml::Value>)> {
        let (mut audience, mut settings) = (Self::default(), Vec::new());
        for speaker in speakers.iter().step_by(2) {
            let table = toml::Table::from_iter([("contract".to_owned(), "standard".into())]);
            let tables = toml::Table::from_iter([(speaker.bank().to_owned(), table.into())]);
            let (subscribers, told) = Subscribers::plan(&tables, contracts, speaker.bank())?;
            audience.0.push(subscribers);
            settings.extend(told);
        }
        Ok((audience, settings))
    }

    /// Opens them, before the gateways start.
    pub(super) async fn open(&mut self, deployment: &Deployment) -> anyhow::Result<()> {
        for subscribers in &mut self.0 {
            subscribers.open(deployment).await?;
        }
        Ok(())
    }

    /// Writes whatever they are told into the history.
    pub(super) fn note(&self, shared: &Arc<Shared>) -> anyhow::Result<()> {
        for (bank, receiver) in self.receivers() {
            let bank = bank.to_owned();
            shared.history.write(&Line::Subscribes { bank: bank.clone() })?;
            let shared = Arc::clone(shared);
            receiver.notes(Box::new(move |told, taken| {
                let line = Line::Told { bank: bank.clone(), notice: notice(told, taken) };
                // A full disk is told by whoever flushes.
                let _written = shared.history.write(&line);
            }));
        }
        Ok(())
    }

    /// All answer so from now on.
    pub(super) fn answer(&self, manner: Manner) {
        self.receivers().for_each(|(_, receiver)| receiver.answers(manner));
    }

    /// Their names.
    pub(super) fn banks(&self) -> impl Iterator<Item = &str> {
        self.receivers().map(|(bank, _)| bank)
    }

    /// Whether they can read what came, and each notice is signed.
    ///
    /// # Errors
    /// What one of them complains of.
    pub(super) async fn is_content(&self) -> anyhow::Result<()> {
        for (bank, receiver) in self.receivers() {
            receiver.is_told(|_| true).await.with_context(|| bank.to_owned())?;
            ensure!(receiver.was_called(), "{bank} was told nothing");
        }
        Ok(())
    }

    fn receivers(&self) -> impl Iterator<Item = (&str, &Receiver)> {
        self.0.iter().flat_map(Subscribers::receivers)
    }
}

fn notice(told: &Taken, taken: bool) -> Notice {
    let (event, outcome) = (&told.envelope.event, &told.envelope.outcome);
    let (event, outcome) = (event.clone().unwrap_or_default(), outcome.clone().unwrap_or_default());
    let content = [event.encode_to_vec(), outcome.encode_to_vec()].concat();
    Notice {
        event: Event {
            id: told.id().to_owned(),
            number: told.number(),
            case: outcome.case_id,
            status: told.status().to_owned(),
        },
        content: hex::encode(digest(&SHA256, &content)),
        taken,
    }
}
