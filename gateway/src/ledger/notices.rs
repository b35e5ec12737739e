//! The ledger's side of telling: how far each subscriber was told, what it would not take, and whose turn it is.
//!
//! Up to a subscriber's place in a feed everything was told, or stands among what was passed over: so a healthy subscriber
//! costs a row that moves, whatever number of events there are. Work is taken by turns under leases; who lost a turn
//! changes nothing any more. It sends nothing and knows no addresses. Source: docs/decisions/0019.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::{
    LedgerError,
    events::{Event, EventId},
};

/// The ledger's verbs around notices. What [`Ledger`](super::Ledger) says of durability and dropped calls holds here too.
#[async_trait]
pub trait Notices: fmt::Debug + Send + Sync {
    /// Makes a subscriber known, with the institutions of whose cases it is told, and of no others any more. One's own cases
    /// are told from the first that was not acknowledged on, others' from now on.
    async fn subscribe(&self, subscriber: &str, sights: &[Sight]) -> Result<(), LedgerError>;

    /// Takes the turns of up to `limit` of the subscribers for `lease`: those that are to be told something and whose time has
    /// come. None is given to two takers.
    async fn claim_turns(
        &self,
        subscribers: &[String],
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Turn>, LedgerError>;

    /// What was passed over and is to be tried again now: of each case the first only. Longest due first, `limit` at most.
    async fn due_again(&self, subscriber: &str, limit: u32) -> Result<Vec<Untold>, LedgerError>;

    /// What came after the subscriber's places: of each feed up to `limit` events, in order.
    async fn untold(&self, subscriber: &str, limit: u32) -> Result<Vec<Untold>, LedgerError>;

    /// Ends a turn with all that came of it, or none. Whether it was still had.
    async fn end_turn(&self, turn: &Turn, end: &TurnEnd) -> Result<bool, LedgerError>;

    /// How every subscriber stands.
    async fn standings(&self) -> Result<Vec<Standing>, LedgerError>;

    /// What is parked, oldest first, `limit` at most; of one subscriber or all.
    async fn parked(
        &self,
        subscriber: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Parked>, LedgerError>;

    /// Has what is parked told again, at once: all of it, or one event with what is parked before it of its case. How many.
    async fn resend(&self, subscriber: &str, event: Option<&EventId>) -> Result<u64, LedgerError>;

    /// Has a subscriber told again that wanted no more, or is left alone for a while. Whether there is one.
    async fn resume(&self, subscriber: &str) -> Result<bool, LedgerError>;

    /// Deletes what was passed over so long ago, or whose event is deleted. Tells how many.
    async fn forget_notices(&self, age: Duration, limit: u32) -> Result<u32, LedgerError>;
}

/// Of whose cases a subscriber is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Who filed them.
    pub institution: String,
    /// Whether that is the subscriber itself.
    pub own: bool,
}

/// The right to tell one subscriber. Made by the ledger alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whom.
    pub subscriber: String,
    /// How many times its turn was taken; a later taker makes earlier rights stale.
    pub attempt: i64,
    /// How many turns in a row found it away.
    pub failures: u32,
    /// For how long it has been away by now.
    pub failing_for: Duration,
    /// Events that were passed over and are tried again.
    pub waiting: u64,
}

/// An event that is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Untold {
    /// It.
    pub event: Event,
    /// Name of its case's matter; empty if nobody knows any more.
    pub matter: String,
    /// How often it was told in vain.
    pub tries: u32,
    /// How long ago it became known; of one that was passed over, how long ago that was.
    pub age: Duration,
    /// Whether an earlier event of its case is still to be told.
    pub behind: bool,
}

/// What came of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TurnEnd {
    /// How far feeds were told, by institution.
    pub places: Vec<(String, i64)>,
    /// What had been passed over and is told, by institution and position.
    pub told: Vec<(String, i64)>,
    /// What is passed over.
    pub passed_over: Vec<PassedOver>,
    /// How many turns in a row have found it away by now.
    pub failures: u32,
    /// How long it is left alone.
    pub rest: Duration,
    /// Whether it wants to be told no more.
    pub ended: bool,
}

/// An event that is passed over, so that those of other cases are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Whose case it is.
    pub institution: String,
    /// Place in that feed.
    pub position: i64,
    /// The filing.
    pub key: String,
    /// How often it was told in vain.
    pub tries: u32,
    /// When it is tried again.
    pub delay: Duration,
    /// Whether it is not, until an operator says so.
    pub parked: bool,
}

/// How a subscriber stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub subscriber: String,
    /// Whether it said that it wants to be told no more.
    pub ended: bool,
    /// How many turns in a row found it away.
    pub failures: u32,
    /// For how long; `None` if the last one did not.
    pub failing_for: Option<Duration>,
    /// Events that were passed over and are tried again.
    pub waiting: u64,
    /// Events that are not, until an operator says so.
    pub parked: u64,
    /// Events in its feeds that its turn has not come to.
    pub unread: u64,
    /// How long ago the oldest of those that it was not told, and that are not parked, became known.
    pub oldest: Option<Duration>,
}

/// An event that is told only once an operator says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Parked {
    /// To whom.
    pub subscriber: String,
    /// It.
    pub event: Event,
    /// How often it was told in vain.
    pub tries: u32,
}
