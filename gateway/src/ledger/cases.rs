//! Cases as operators look for them: by a number somebody reads out, or by what they have in common; and of one case all
//! that the ledger knows besides its outcome.
//!
//! Reads alone. Numbers of contracts and certificates are kept as digests: one who knows a number finds its case, and nobody
//! reads numbers out of the ledger.

use std::time::SystemTime;

use async_trait::async_trait;
use aws_lc_rs::digest::{self, SHA256};

use super::{LedgerError, Record, Sealed, State, events::Event, run::Run};

/// The verbs of the cases.
#[async_trait]
pub trait Cases {
    /// Filings of these institutions that are called so: by their key, by the registry's number of the case, by a contract's
    /// or a certificate's number. The latest first, `limit` at most.
    async fn called(
        &self,
        institutions: &[String],
        name: &str,
        limit: u32,
    ) -> Result<Vec<Listed>, LedgerError>;

    /// Filings that have so much in common, those whose keys were claimed last first.
    async fn cases(&self, sought: &Sought) -> Result<Vec<Listed>, LedgerError>;

    /// Filings of which nobody knows what became of them, the oldest first, `limit` at most.
    async fn unsettled(&self, limit: u32) -> Result<Vec<Listed>, LedgerError>;

    /// What has happened to a filing; `None` if there is none.
    async fn life(&self, institution: &str, key: &str) -> Result<Option<Life>, LedgerError>;

    /// The events of a case, in order; those that were deleted for their age are not among them.
    async fn events_of(&self, institution: &str, key: &str) -> Result<Vec<Event>, LedgerError>;

    /// How far each subscriber was told of the events of a case, by subscriber and place in the feed.
    async fn tellings(&self, institution: &str, key: &str) -> Result<Vec<Telling>, LedgerError>;

    /// What is kept of a filing that is in the queue; `None` if it is not.
    async fn sealed(&self, institution: &str, key: &str) -> Result<Option<Sealed>, LedgerError>;

    /// What was filed since then, by institution and office, in no order.
    async fn counted(&self, since: SystemTime) -> Result<Vec<Counted>, LedgerError>;
}

/// A number that a filing is found by, as a digest: of a contract that it is about, of a certificate that it names or that
/// came of it. Which of them it is makes no difference to who looks for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mention(pub(super) [u8; Mention::BYTES]);

impl Mention {
    /// Its run, and the beginning of a SHA-256: enough that no two numbers are alike by chance.
    const BYTES: usize = 16;

    /// How many numbers of one filing it is found by; each is a row.
    const MAX: usize = 256;

    /// That of a number; blanks do not count, since people put them where they like. `None` if nothing is left.
    pub fn of(number: &str) -> Option<Self> {
        let Self(digest) = Self::older(number)?;
        let mut mention = Self::default();
        let bytes = Run::of(number).0.into_iter().chain(digest);
        mention.0.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Some(mention)
    }

    /// As it was kept by programs that minded no runs: the beginning of a SHA-256 alone.
    fn older(number: &str) -> Option<Self> {
        let plain: String = number.split_whitespace().collect();
        let mut mention = Self::default();
        let digest = digest::digest(&SHA256, plain.as_bytes());
        mention.0.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        (!plain.is_empty()).then_some(mention)
    }

    /// All that a number may be kept as.
    pub(super) fn either(number: &str) -> [Option<Self>; 2] {
        [Self::of(number), Self::older(number)]
    }

    /// Those of several numbers, the first [`Self::MAX`] of them; sorted, each once.
    pub fn of_all<'n>(numbers: impl IntoIterator<Item = &'n String>) -> Vec<Self> {
        let numbers = numbers.into_iter().take(Self::MAX);
        let mut mentions: Vec<_> = numbers.filter_map(|number| Self::of(number)).collect();
        mentions.sort_unstable();
        mentions.dedup();
        mentions
    }
}

/// Which filings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Whose keys were claimed from then on.
    pub from: SystemTime,
    /// And before then.
    pub until: SystemTime,
    /// Of one institution.
    pub institution: Option<String>,
    /// Of one office, by the registry's own code.
    pub office: Option<String>,
    /// Of one matter.
    pub matter: Option<String>,
    /// That have got so far.
    pub state: Option<State>,
    /// That come after this one.
    pub after: Option<Place>,
    /// How many at most.
    pub limit: u32,
}

/// A place in a list of filings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When the key was claimed, as the store tells it.
    pub at: SystemTime,
    /// Whose it is.
    pub institution: String,
    /// The key.
    pub key: String,
}

/// A filing in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What the ledger knows of it.
    pub record: Record,
    /// When its key was claimed; anew, if nothing had been sent under it.
    pub at: SystemTime,
    /// How many times it was taken to be worked on.
    pub attempts: i64,
    /// Whether nobody asks the registry about it any more.
    pub given_up: bool,
}

impl Listed {
    /// Where it stands in a list.
    pub fn place(&self) -> Place {
        let Record { institution, key, .. } = &self.record;
        Place { at: self.at, institution: institution.clone(), key: key.clone() }
    }
}

/// What has happened to a filing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// When its key was claimed; anew, if nothing had been sent under it.
    pub claimed: SystemTime,
    /// When anything of it changed last.
    pub changed: SystemTime,
    /// How many times it was taken to be worked on: by the bank's messages, the resolver, or the queue.
    pub attempts: i64,
    /// When it was last announced that it is sent; `None` where sends are not announced.
    pub announced: Option<SystemTime>,
    /// When the resolver is to ask about it again; `None` if it is not.
    pub due: Option<SystemTime>,
    /// When the resolver stopped asking about it.
    pub given_up: Option<SystemTime>,
    /// When it is to be seen how the case stands; `None` if it is not.
    pub follow_up: Option<SystemTime>,
    /// How often that was looked for since the case changed last.
    pub follow_ups: i64,
    /// The amount that was applied for, in fen; `None` for a matter that has none, or if nobody knows.
    pub amount_fen: Option<i64>,
}

/// How far a subscriber was told of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// Who.
    pub subscriber: String,
    /// Place of the event in the institution's feed.
    pub position: i64,
    /// How far.
    pub told: Told,
}

/// How far somebody was told of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was told, or it happened before there was such a subscriber.
    Yes,
    /// Its turn has not come.
    NotYet,
    /// It was told in vain so many times, and is tried again.
    Again {
        /// How many times.
        tries: i64,
        /// When it is tried.
        due: SystemTime,
    },
    /// It was told in vain so many times, and is told only once an operator says so.
    Parked {
        /// How many times.
        tries: i64,
    },
}

/// What one institution filed for one office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Whose filings.
    pub institution: String,
    /// The registry that was in charge.
    pub registry: String,
    /// The office, by the registry's own code.
    pub office: String,
    /// How many filings.
    pub filings: u64,
    /// How many were answered.
    pub answered: u64,
    /// Of how many nobody knows what became of them.
    pub unknown: u64,
    /// How many were not sent, provably.
    pub unsent: u64,
    /// How many have had one answer and no other since: how long those took is known.
    pub timed: u64,
    /// How long they took together, in milliseconds.
    pub total_ms: u64,
    /// How long the longest of them took.
    pub longest_ms: u64,
}

impl Counted {
    /// From the columns of a store's row, by their names; no count is below zero.
    pub(super) fn read<E>(
        text: impl Fn(&str) -> Result<String, E>,
        number: impl Fn(&str) -> Result<i64, E>,
    ) -> Result<Self, E> {
        let count = |name: &str| number(name).map(|it| u64::try_from(it).unwrap_or(0));
        Ok(Self {
            institution: text("institution")?,
            registry: text("registry")?,
            office: text("office")?,
            filings: count("filings")?,
            answered: count("answered")?,
            unknown: count("unknown")?,
            unsent: count("unsent")?,
            timed: count("timed")?,
            total_ms: count("total")?,
            longest_ms: count("longest")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_however_its_blanks_are_put() {
        let number = "晋(2026)太原市不动产证明第0012345号";
        assert_eq!(
            Mention::of(number),
            Mention::of(" 晋(2026) 太原市 不动产证明第0012345号\u{3000}")
        );
        assert_ne!(Mention::of(number), Mention::of("晋(2026)太原市不动产证明第0012346号"));
        assert_eq!(Mention::of(" \t"), None);
        let neighbour = Mention::of("晋(2026)太原市不动产证明第0012346号").unwrap();
        let far = Mention::of("晋(2026)太原市不动产证明第0012446号").unwrap();
        let run = |mention: Mention| mention.0[..6].to_vec();
        assert_eq!(run(Mention::of(number).unwrap()), run(neighbour));
        assert_ne!(run(neighbour), run(far));
        let numbers = ["b".to_owned(), "a".to_owned(), "b ".to_owned(), String::new()];
        assert_eq!(Mention::of_all(&numbers).len(), 2);
    }
}
