//! The life of a key: what the ledger's verbs make of one, as a pure function of what was before.
//!
//! This is the table of [`Ledger::admit`](super::Ledger::admit) and the rules of the other verbs, without a store, a clock
//! or a lock. The stores say the same in SQL: tests/ledger.rs in conformance-tests holds them against it verb by verb, and
//! tests/model.rs goes through everything that can happen around it. Source: docs/domain.md, "Idempotency".

use super::State;
use crate::case::Told;

/// One key as a ledger knows it. Times are whole numbers of any unit, on the ledger's clock. `Application` is what was
/// asked for, `Answer` what a registry said; both are only compared and kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Life<Application, Answer> {
    /// What the key was first used for.
    pub application: Application,
    /// How far it got.
    pub state: State,
    /// How many times it was taken, from 1.
    pub attempt: i64,
    /// Until when nobody else may take it.
    pub lease_until: i64,
    /// From when the resolver may take it.
    pub due_at: i64,
    /// The attempt that is to be announced before anything is sent; it counts while it is the present one.
    pub unsent_attempt: Option<i64>,
    /// When it was last announced that it is about to be sent.
    pub sent_at: Option<i64>,
    /// What the registry said; `None` until it did.
    pub answer: Option<Answer>,
    /// Whether it is the queue's: it alone has it sent, and asks about it.
    pub queued: bool,
}

/// What a claim comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is the claimant's: nothing was sent under it.
    New,
    /// It is the claimant's: something may have been sent under it.
    AskFirst,
    /// Somebody is working on it.
    InFlight,
    /// It was answered.
    Settled,
    /// It was used for something else.
    Conflict,
    /// It was used so long ago that nothing else is known of it.
    Retired,
    /// It waits for its office, or the queue is finding out about it.
    Queued,
}

/// What a claim of a key that was used before comes to.
pub fn verdict(same_application: bool, state: State, queued: bool, lease_runs: bool) -> Verdict {
    match state {
        State::Retired => Verdict::Retired,
        _ if !same_application => Verdict::Conflict,
        State::Settled => Verdict::Settled,
        State::Claimed | State::Unknown if lease_runs => Verdict::InFlight,
        State::Claimed | State::Unknown if queued => Verdict::Queued,
        State::Claimed | State::Unknown => Verdict::AskFirst,
        State::Released => Verdict::New,
        State::Queued => Verdict::Queued,
    }
}

impl<Application: PartialEq, Answer> Life<Application, Answer> {
    /// [`Ledger::admit`](super::Ledger::admit). `key` is `None` until its first use; `waits`: what would be new is queued.
    pub fn admit(
        key: &mut Option<Self>,
        application: Application,
        announced: bool,
        waits: bool,
        now: i64,
        lease: i64,
    ) -> Verdict {
        let same_application = key.as_ref().is_none_or(|life| life.application == application);
        // A key that was never used is as good as one that was released.
        let life = key.get_or_insert(Self {
            application,
            state: State::Released,
            attempt: 0,
            lease_until: now,
            due_at: now,
            unsent_attempt: None,
            sent_at: None,
            answer: None,
            queued: false,
        });
        let lease_runs = life.lease_until > now;
        let verdict = verdict(same_application, life.state_at(now), life.queued, lease_runs);
        match verdict {
            Verdict::New if waits => {
                life.take(State::Queued, now, 0);
                life.queued = true;
                return Verdict::Queued;
            }
            Verdict::New => {
                life.take(State::Claimed, now, lease);
                life.unsent_attempt = announced.then_some(life.attempt);
            }
            Verdict::AskFirst => life.take(State::Unknown, now, lease),
            Verdict::InFlight
            | Verdict::Settled
            | Verdict::Conflict
            | Verdict::Retired
            | Verdict::Queued => {}
        }
        verdict
    }

    /// [`Ledger::claim_queued`](super::Ledger::claim_queued), of this key alone: what it was taken as.
    pub fn take_queued(&mut self, now: i64, lease: i64) -> Option<Verdict> {
        if !self.queued || !self.is_open() && self.state != State::Queued || self.due_at > now {
            return None;
        }
        if self.state == State::Queued || self.is_unsent() {
            self.take(State::Claimed, now, lease);
            self.unsent_attempt = Some(self.attempt);
            return Some(Verdict::New);
        }
        self.take(State::Unknown, now, lease);
        Some(Verdict::AskFirst)
    }

    /// [`Ledger::requeue`](super::Ledger::requeue).
    pub fn requeue(&mut self, attempt: i64, now: i64, delay: i64) {
        if self.queued && self.is_held_by(attempt) {
            self.state = State::Queued;
            self.lease_until = now;
            self.due_at = now.saturating_add(delay);
            self.unsent_attempt = None;
            self.sent_at = None;
        }
    }

    /// [`Ledger::withdraw_queued`](super::Ledger::withdraw_queued): whether it was.
    pub fn withdraw_queued(&mut self, answer: Answer, now: i64) -> bool {
        let waits = self.state_at(now) == State::Queued;
        if waits {
            self.settle(answer);
        }
        waits
    }

    /// [`Ledger::claim_due`](super::Ledger::claim_due), of this key alone: whether it was taken.
    pub fn take_due(&mut self, now: i64, lease: i64) -> bool {
        let due = self.is_open() && !self.queued && self.due_at <= now && !self.is_unsent();
        if due {
            self.take(State::Unknown, now, lease);
        }
        due
    }

    /// [`Ledger::find`](super::Ledger::find): its state, for who looks from outside.
    pub fn state_at(&self, now: i64) -> State {
        match self.is_unsent() && self.lease_until <= now {
            true if self.queued => State::Queued,
            true => State::Released,
            false => self.state,
        }
    }

    /// [`Ledger::announce`](super::Ledger::announce).
    pub fn announce(&mut self, attempt: i64, now: i64, quiet: i64) -> bool {
        let rested = self.sent_at.is_some_and(|sent| sent.saturating_add(quiet) <= now);
        let may = self.is_held_by(attempt)
            && self.lease_until > now
            && (self.is_unsent() || self.state == State::Unknown && rested);
        if may {
            self.unsent_attempt = None;
            self.sent_at = Some(now);
        }
        may
    }

    /// [`Ledger::settle`](super::Ledger::settle): a fact counts from whoever brings it, and the first one stands.
    pub fn settle(&mut self, answer: Answer) {
        if self.state != State::Settled {
            self.state = State::Settled;
            self.answer = Some(answer);
        }
    }

    /// [`Ledger::defer`](super::Ledger::defer); without a delay, [`Ledger::mark_unknown`](super::Ledger::mark_unknown).
    pub fn defer(&mut self, attempt: i64, now: i64, delay: i64) {
        if self.is_held_by(attempt) {
            self.state = State::Unknown;
            self.lease_until = now;
            self.due_at = now.saturating_add(delay);
        }
    }

    /// [`Ledger::release`](super::Ledger::release).
    pub fn release(&mut self, attempt: i64, now: i64) {
        if self.is_held_by(attempt) {
            self.state = State::Released;
            self.queued = false;
            self.lease_until = now;
            self.due_at = now;
            self.sent_at = None;
        }
    }

    /// [`Events::record`](super::Events::record): what was made of it; `judge` says what of an account of a case that is known.
    pub fn record(
        &mut self,
        answer: Answer,
        judge: impl FnOnce(&Answer, &Answer) -> Told,
    ) -> Option<Told> {
        if self.state == State::Retired {
            return None;
        }
        let told = self.answer.as_ref().map_or(Told::News, |known| judge(known, &answer));
        if told == Told::News {
            self.state = State::Settled;
            self.answer = Some(answer);
        }
        Some(told)
    }

    fn take(&mut self, state: State, now: i64, lease: i64) {
        self.state = state;
        self.attempt = self.attempt.saturating_add(1);
        self.unsent_attempt = None;
        self.lease_until = now.saturating_add(lease);
        self.due_at = now.saturating_add(lease);
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Claimed | State::Unknown)
    }

    fn is_unsent(&self) -> bool {
        self.state == State::Claimed && self.unsent_attempt == Some(self.attempt)
    }

    /// A later taker makes earlier rights stale.
    fn is_held_by(&self, attempt: i64) -> bool {
        self.is_open() && self.attempt == attempt
    }
}
