//! The log of exchanges as a ledger keeps it: leaves that wait for their place, leaves in their places, the tree's tiles,
//! its head, and signed checkpoints.
//!
//! It hashes nothing and knows no key: what a tree is, is `crate::evidence`'s affair. Leaves and tiles are only ever added
//! to; of a leaf nothing is erased but its salt. Several replicas may add to one log: it grows from the size it has, or
//! not at all.

use std::time::Duration;

use async_trait::async_trait;
use proto::v1::Outcome;

use super::{Entry, LedgerError, cases::Mention};
use crate::evidence::{
    leaf::Salt,
    tree::{Hash, TileId},
};

/// The verbs of the log, durable when they return, as those of the ledger are.
#[async_trait]
pub trait EvidenceLog {
    /// Keeps a leaf, and with it settles a filing if the exchange has had one answered: both in one transaction's sync,
    /// but neither for want of the other. It has no place in the tree yet.
    async fn witness(&self, leaf: &NewLeaf, settled: Option<&Settlement>) -> Witnessed;

    /// How large the log is, and its root.
    async fn head(&self) -> Result<Head, LedgerError>;

    /// Up to `limit` leaves that have no place yet, in the order they are to have.
    async fn waiting(&self, limit: u32) -> Result<Vec<WaitingLeaf>, LedgerError>;

    /// Gives leaves their places and keeps the tiles that changed by it. Whether it did: not if the log is of another size
    /// by now.
    async fn grow(&self, growth: &Growth) -> Result<bool, LedgerError>;

    /// Tiles, as far as they are there.
    async fn tiles(&self, ids: &[TileId]) -> Result<Vec<(TileId, Vec<u8>)>, LedgerError>;

    /// The size of the log, and how many tiles there are at that moment.
    async fn tile_count(&self) -> Result<(u64, u64), LedgerError>;

    /// Up to `limit` leaves in their places, from that place on.
    async fn leaves(&self, from: u64, limit: u32) -> Result<Vec<KeptLeaf>, LedgerError>;

    /// All leaves about one key, those without a place too: they come last.
    async fn leaves_of(&self, institution: &str, key: &str) -> Result<Vec<KeptLeaf>, LedgerError>;

    /// Keeps a signed checkpoint, unless there is one of its size.
    async fn keep_checkpoint(&self, size: u64, note: &str) -> Result<(), LedgerError>;

    /// The newest checkpoint.
    async fn checkpoint(&self) -> Result<Option<String>, LedgerError>;

    /// Up to `limit` checkpoints of at least that size, smallest first: the size they are kept under, and the note.
    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<(u64, String)>, LedgerError>;

    /// Erases the salts of up to `limit` leaves older than `age`, oldest first. Tells how many.
    async fn erase_salts(&self, age: Duration, limit: u32) -> Result<u32, LedgerError>;
}

/// A leaf that is to be kept.
#[derive(Debug, Clone)]
pub struct NewLeaf {
    /// Whose message it was.
    pub institution: String,
    /// The idempotency key that it is about, to be found by.
    pub key: Option<String>,
    /// Its text.
    pub text: String,
    /// What its digests are salted with.
    pub salt: Salt,
    /// Numbers that the filing of that key is found by from now on.
    pub mentions: Vec<Mention>,
}

/// An answer that is to be recorded together with the leaf of its exchange: [`super::Ledger::settle`].
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The right to it.
    pub entry: Entry,
    /// What the registry answered.
    pub outcome: Outcome,
    /// After what time it is to be seen how the case stands, if at all.
    pub follow_up: Option<Duration>,
}

/// What became of a leaf and of what was to be settled with it.
#[derive(Debug)]
pub struct Witnessed {
    /// The leaf. If it failed, it may be there all the same.
    pub leaf: Result<(), LedgerError>,
    /// The filing; good, if there was none to settle.
    pub settled: Result<(), LedgerError>,
}

/// How large a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many leaves have their places.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// A leaf without a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingLeaf {
    /// What it is called until it has one; the ledger's own.
    pub id: i64,
    /// Its text.
    pub text: String,
}

/// By what a log grows.
#[derive(Debug, Clone)]
pub struct Growth {
    /// The size it has to have.
    pub from: u64,
    /// The leaves that get the next places, by [`WaitingLeaf::id`].
    pub leaves: Vec<i64>,
    /// Tiles that are new or longer.
    pub tiles: Vec<(TileId, Vec<u8>)>,
    /// What it is then.
    pub head: Head,
}

/// A leaf as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLeaf {
    /// Its place; `None` while it waits for one.
    pub index: Option<u64>,
    /// Whose message it was, as it is found by.
    pub institution: String,
    /// The key, as it is found by.
    pub key: Option<String>,
    /// Its text.
    pub text: String,
    /// Its salt, as long as it is kept.
    pub salt: Option<Salt>,
}

/// A size or place as the stores take it. None is so large that it does not fit.
pub(super) fn stored(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A size or place as the stores give it.
pub(super) fn place(stored: i64) -> Result<u64, LedgerError> {
    u64::try_from(stored).map_err(LedgerError::corrupt)
}

/// A root as the stores give it.
pub(super) fn root(stored: &[u8]) -> Result<Hash, LedgerError> {
    stored.try_into().map(Hash).map_err(LedgerError::corrupt)
}

/// A salt as the stores give it.
pub(super) fn salt(stored: Option<&[u8]>) -> Result<Option<Salt>, LedgerError> {
    stored.map(|salt| salt.try_into().map(Salt).map_err(LedgerError::corrupt)).transpose()
}
