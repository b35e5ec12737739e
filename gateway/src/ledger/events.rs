//! Events: every change of a case that a bank may know of, in the order in which the ledger came to know it; and the ways
//! in which the ledger hears from registries, by itself, what becomes of cases.
//!
//! An event is written with the change it tells of, in one transaction, or not at all. Of a case its events are numbered
//! from 1 without gaps; of an institution they stand in one row, the feed, in which nothing is ever put before what was
//! readable already. What cannot be is recorded apart, and never applied. Nothing here delivers anything. Sources:
//! docs/domain.md, "Telling the bank"; docs/decisions/0015.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_lc_rs::digest::{self, SHA256};
use proto::v1::Outcome;

use super::{LedgerError, Record};
use crate::case::{self, Told, Why};

/// The ledger's verbs around events. What [`Ledger`](super::Ledger) says of durability and dropped calls holds here too.
#[async_trait]
pub trait Events: fmt::Debug + Send + Sync {
    /// Records what a registry told of a case: judged against what is known at that moment, with nobody else in between.
    /// A filing that was not settled is settled by it, whatever was known of its sending: an answer is a fact.
    async fn record(&self, account: &Account) -> Result<Recorded, LedgerError>;

    /// Records what a registry's stream of events told, and `cursor` as the place from which it is to go on: all of it, or
    /// nothing. `None`, and nothing is recorded, if another has taken the watch over. The accounts are of different
    /// filings.
    async fn record_watched(
        &self,
        watch: &Watch,
        accounts: &[Account],
        cursor: &str,
    ) -> Result<Option<Vec<Recorded>>, LedgerError>;

    /// Takes the watch over a registry's stream for `lease`, if nobody has it.
    async fn claim_watch(
        &self,
        registry: &str,
        lease: Duration,
    ) -> Result<Option<Watch>, LedgerError>;

    /// Keeps a watch for `lease` from now; with none, gives it back. Whether it was still had.
    async fn keep_watch(&self, watch: &Watch, lease: Duration) -> Result<bool, LedgerError>;

    /// Takes up to `limit` cases of one registry of which it is time to see how they stand, for `lease`. Those longest due
    /// are taken first; none is given to two takers.
    async fn claim_follow_ups(
        &self,
        registry: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<FollowUp>, LedgerError>;

    /// Ends a follow-up that found nothing new: the next is after `delay`, or never. Changes nothing if the filing is not
    /// settled, or another was taken since.
    async fn put_off_follow_up(
        &self,
        follow_up: &FollowUp,
        delay: Option<Duration>,
    ) -> Result<(), LedgerError>;

    /// Tells the bank by an event that its case's deadline is near, and follows up again after `delay`. Whether it was
    /// told: not if the case has changed since the follow-up was taken.
    async fn warn(&self, follow_up: &FollowUp, delay: Duration) -> Result<bool, LedgerError>;

    /// The events of an institution after a place in its feed, in order, `limit` at most.
    async fn events_after(
        &self,
        institution: &str,
        after: &After,
        limit: u32,
    ) -> Result<Page, LedgerError>;

    /// Notes that the institution has taken an event and all before it. Whether there is, or was, such an event; noting it
    /// again, or one before it, changes nothing.
    async fn acknowledge(&self, institution: &str, event: &EventId) -> Result<bool, LedgerError>;

    /// How far each institution's feed has come.
    async fn feeds(&self) -> Result<Vec<Feed>, LedgerError>;

    /// Deletes up to `limit` events that are older than `age`, and what was told so long ago and could not be. Tells how
    /// many. The place of the last event of a feed is never forgotten.
    async fn forget_events(&self, age: Duration, limit: u32) -> Result<u32, LedgerError>;
}

/// What a registry tells of a case.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whose filing it is.
    pub institution: String,
    /// The filing's idempotency key.
    pub key: String,
    /// How the case stands, compared with what was asked for.
    pub outcome: Outcome,
    /// After what time it is to be seen how it stands, if this is news; `None`: not at all.
    pub follow_up: Option<Duration>,
}

/// What was made of an account.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// It was known already; this is.
    Same(Outcome),
    /// It holds from now on, and there is an event of it.
    News {
        /// What was known before; `None` if nothing was.
        before: Option<Outcome>,
    },
    /// It cannot be; this stands.
    Impossible(Why, Outcome),
    /// No such filing is known, or not any more.
    Unheard,
}

/// The right to record what a registry's stream tells. Made by the ledger alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Whose stream it is.
    pub registry: String,
    /// From where it goes on; empty for its beginning.
    pub cursor: String,
    /// How many times it was taken; a later taker makes earlier rights stale.
    pub attempt: i64,
}

/// A case of which it is time to see how it stands.
#[derive(Debug, Clone)]
pub struct FollowUp {
    /// The filing.
    pub record: Record,
    /// How often that was looked for since the case last changed, this time included.
    pub attempt: i64,
    /// Whether the bank was told that this state's deadline is near.
    pub warned: bool,
}

/// Something that happened to a case, as its bank is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Whose case it is.
    pub institution: String,
    /// Place in the institution's feed, from 1, growing.
    pub position: i64,
    /// The filing's idempotency key.
    pub key: String,
    /// Number among the case's events, from 1 without gaps.
    pub sequence: i64,
    /// What kind of event it is.
    pub kind: Kind,
    /// When the ledger came to know it, by its own clock; to the millisecond.
    pub happened_at: SystemTime,
    /// The case after it.
    pub outcome: Outcome,
}

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The case changed.
    Changed,
    /// It did not, and a deadline is near.
    DeadlineNear,
}

impl Kind {
    /// The number it is stored under; part of the tables' format.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::Changed => 1,
            Self::DeadlineNear => 2,
        }
    }

    pub(super) fn from_number(number: i16) -> Result<Self, LedgerError> {
        [Self::Changed, Self::DeadlineNear]
            .into_iter()
            .find(|kind| kind.number() == number)
            .ok_or_else(|| LedgerError::corrupt(format!("an event of kind {number}")))
    }
}

impl Event {
    /// Its identifier, the same for good.
    pub fn id(&self) -> EventId {
        EventId::of(self.position, &self.institution, &self.key, self.sequence)
    }
}

/// Names an event of an institution: its place in the feed, and a digest of whose, of which filing and which number it is.
/// So it is found by its place, and a feed that was set back (a ledger restored from a backup) is recognised: no other
/// event passes for the one that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    position: i64,
    mark: [u8; EventId::MARK_BYTES],
}

impl EventId {
    const MARK_BYTES: usize = 8;

    /// What stands before every feed.
    pub const NONE: Self = Self { position: 0, mark: [0; Self::MARK_BYTES] };

    /// Place of the event in its feed; 0 before all.
    pub fn position(&self) -> i64 {
        self.position
    }

    fn of(position: i64, institution: &str, key: &str, sequence: i64) -> Self {
        let mut context = digest::Context::new(&SHA256);
        for text in [institution, key] {
            context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(text.as_bytes());
        }
        context.update(&sequence.to_be_bytes());
        let mut mark = [0; Self::MARK_BYTES];
        mark.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self { position, mark }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padded, so that as texts they stand in the order of the feed.
        write!(f, "EV-{:010}-{}", self.position, hex::encode(self.mark))
    }
}

/// It is no event's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no identifier of an event")]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (position, mark) =
            text.strip_prefix("EV-").and_then(|rest| rest.split_once('-')).ok_or(NoEventId)?;
        let position = position.parse().map_err(|_no_number| NoEventId)?;
        let decoded = hex::decode(mark).map_err(|_no_digest| NoEventId)?;
        let mark = decoded.try_into().map_err(|_too_long| NoEventId)?;
        let id = Self { position, mark };
        // One event has one identifier, and texts are compared.
        if id.to_string() == text { Ok(id) } else { Err(NoEventId) }
    }
}

/// A place in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// After this event.
    Event(EventId),
    /// After all that the institution has acknowledged.
    Acknowledged,
}

/// A piece of a feed.
#[derive(Debug, Clone, PartialEq)]
pub enum Page {
    /// The events after the place; none, if nothing came since.
    Events {
        /// In order.
        events: Vec<Event>,
        /// The place after them.
        next: EventId,
    },
    /// The feed has, and had, no such place.
    NoSuchPlace,
}

/// How far an institution's feed has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Whose it is.
    pub institution: String,
    /// Position of its last event.
    pub last: i64,
    /// Position up to which events were acknowledged.
    pub acknowledged: i64,
}

/// A page from the rows at and after a place, in order, `limit + 1` of them at most; `last` is where the feed ends.
pub(super) fn page(after: EventId, mut events: Vec<Event>, last: i64, limit: u32) -> Page {
    if events.first().is_some_and(|event| event.position == after.position) {
        if events.remove(0).id() != after {
            return Page::NoSuchPlace;
        }
    } else if after.position > last || after.position < 0 {
        // Not deleted because it is old: there never was one, or not in this ledger.
        return Page::NoSuchPlace;
    }
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = events.last().map_or(after, Event::id);
    Page::Events { events, next }
}

/// What is to be made of an account of a filing, by what is known of it: `None` for one that is not settled yet.
pub(super) fn judged(known: Option<&Outcome>, told: &Outcome) -> Told {
    known.map_or(Told::News, |known| case::judge(known, told))
}

/// What names an account that could not be: telling it again makes no second record.
pub(super) fn digest_of(outcome: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digest = digest::digest(&SHA256, outcome);
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// A moment as the stores give it, in milliseconds since 1970.
pub(super) fn moment(milliseconds: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_as_it_was_written_and_in_no_other_way() {
        let id = EventId::of(42, "bank", "k", 1);
        let text = id.to_string();
        assert!(text.starts_with("EV-0000000042-") && text.len() == 30, "{text}");
        assert_eq!(text.parse(), Ok(id));
        for other in [
            text.replace("0000000042", "42"),
            text.to_uppercase(),
            format!("{text}0"),
            "42".into(),
            String::new(),
        ] {
            assert_eq!(other.parse::<EventId>(), Err(NoEventId), "{other}");
        }
        let others = [
            EventId::of(42, "ban", "kk", 1),
            EventId::of(42, "bank", "k", 2),
            EventId::of(43, "bank", "k", 1),
        ];
        assert!(!others.contains(&id));
    }
}
