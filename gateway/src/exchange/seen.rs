//! What an exchange has seen on its way, for the evidence that is kept of it at its end. It decides nothing.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prost::Message;
use proto::{
    IdempotencyKey,
    v1::{Application, Envelope, Outcome},
};

use super::told::Said;
use crate::{
    ledger::{Entry, cases::Mention, evidence::Settlement},
    matter,
    refusal::Refusal,
    registry::Testimony,
};

/// Noted down by steps that have nothing else to say to each other; under a lock only because they wait in between.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Facts>);

/// What was seen, as far as the exchange got.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) key: Option<String>,
    pub(super) registry: Option<String>,
    pub(super) office: Option<String>,
    pub(super) case: Option<String>,
    pub(super) canonical: Option<Vec<u8>>,
    pub(super) registry_answer: Option<Vec<u8>>,
    pub(super) settled: Option<Settlement>,
    pub(super) mentions: Vec<Mention>,
}

impl Seen {
    /// The message was understood.
    pub(super) fn understood(&self, envelope: &Envelope) {
        self.facts().canonical = Some(envelope.encode_to_vec());
    }

    /// A filing was asked for, however wrong it may be, under a key that has the form of one.
    pub(super) fn asked_under(&self, application: Option<&Application>) {
        let key = application.and_then(|it| IdempotencyKey::parse(&it.idempotency_key).ok());
        let mentions =
            application.map(|it| Mention::of_all(matter::numbers(it))).unwrap_or_default();
        let mut facts = self.facts();
        facts.mentions = if key.is_some() { mentions } else { Vec::new() };
        facts.key = key.map(|key| key.as_str().to_owned());
    }

    /// It is about the filing of this key.
    pub(super) fn about(&self, key: &str, registry: &str, office: &str) {
        self.facts().key = Some(key.to_owned());
        self.at(registry, office);
    }

    /// It goes to this office.
    pub(super) fn at(&self, registry: &str, office: &str) {
        let mut facts = self.facts();
        facts.registry = Some(registry.to_owned());
        facts.office = Some(office.to_owned());
    }

    /// The registry told of a case.
    pub(super) fn registry_answered(&self, testimony: &Testimony) {
        self.facts().registry_answer = Some(testimony.told.clone());
    }

    /// The registry answered a question.
    pub(super) fn registry_said(&self, answer: &impl Message) {
        self.facts().registry_answer = Some(answer.encode_to_vec());
    }

    /// An outcome is to be recorded.
    pub(super) fn to_settle(&self, entry: &Entry, outcome: &Outcome, follow_up: Option<Duration>) {
        let settled = Settlement { entry: entry.clone(), outcome: outcome.clone(), follow_up };
        self.facts().settled = Some(settled);
    }

    /// The bank is told this.
    pub(super) fn told(&self, what: &Result<Said, Refusal>) {
        if let Ok(Said::Outcome(outcome)) = what
            && !outcome.case_id.is_empty()
        {
            self.facts().case = Some(outcome.case_id.clone());
        }
    }

    /// All of it, taken away.
    pub(super) fn take(&self) -> Facts {
        std::mem::take(&mut self.facts())
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
