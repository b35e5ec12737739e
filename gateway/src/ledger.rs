//! The ledger: the only memory. It makes a second registration of one filing impossible and an unanswered one
//! findable.
//!
//! A key is claimed here, durably, before a byte leaves for a registry, and its outcome is settled here before the bank
//! hears of it. It knows no bank's words, sends nothing, and holds no personal data in the clear: of an application it
//! keeps digests, of an outcome what the bank was told. Source: docs/domain.md, "Idempotency".

use std::{fmt, time::Duration};

use async_trait::async_trait;
use proto::v1::Outcome;

/// What to claim: one filing of one institution under its key.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose key it is; with `key` the identity of the filing.
    pub institution: String,
    /// The idempotency key, as the contract built it.
    pub key: String,
    /// What was asked for, as digests.
    pub fingerprint: Fingerprint,
    /// Name of the matter, as in `Application.matter`.
    pub matter: String,
    /// The registry it goes to, by its name in settings.
    pub registry: String,
    /// The office in charge, by the registry's own code.
    pub office: String,
    /// How long this process may work on it before another may take it over.
    pub lease: Duration,
}

/// What a canonical application is, as digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 over the canonical application, less what may change on a retry.
    pub digest: [u8; 32],
    /// A digest per leaf, so that a conflict can name the fields that differ; opaque to the ledger.
    pub leaves: Vec<u8>,
}

/// The right to act on a claimed filing until the lease runs out. Made by the ledger alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose key it is.
    pub institution: String,
    /// The idempotency key.
    pub key: String,
    /// The registry it goes to.
    pub registry: String,
    /// The office in charge.
    pub office: String,
    /// How many times it was taken, from 1; a later taker makes earlier entries stale.
    pub attempt: i64,
}

/// What the ledger says to a claim.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Nobody has used the key, or its first use provably sent nothing: send.
    New(Entry),
    /// The lease ran out or the outcome is unknown: ask the registry by key first, send only if it does not know it.
    AskFirst(Entry),
    /// Answered before: tell it again.
    Settled(Record),
    /// Somebody is working on it.
    InFlight {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The key was used for something else.
    Conflict {
        /// The fingerprint of the first use.
        earlier: Fingerprint,
    },
}

/// A filing as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose key it is.
    pub institution: String,
    /// The idempotency key.
    pub key: String,
    /// Name of the matter.
    pub matter: String,
    /// The registry it went to.
    pub registry: String,
    /// The office in charge.
    pub office: String,
    /// How far it got.
    pub state: State,
    /// The last outcome known; `None` until one is.
    pub outcome: Option<Outcome>,
}

/// How far a filing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Claimed; somebody is, or was, about to send it.
    Claimed,
    /// Sent, or maybe sent, and no answer came; the resolver asks.
    Unknown,
    /// The registry answered.
    Settled,
    /// Provably nothing was sent; the key may be used again for the same application.
    Released,
}

/// The ledger's verbs. All of them are durable when they return, and none is retried inside.
///
/// If a call is dropped, what it asked for may or may not have happened: the entry then reads as claimed, and the
/// next to come asks the registry first.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Claims a key, or says what has become of it. Two claims of one key at the same moment: one is `New`.
    async fn admit(&self, claim: &Claim) -> Result<Admission, LedgerError>;

    /// Records what the registry answered. An answer for an entry that another has settled meanwhile changes nothing.
    async fn settle(&self, entry: &Entry, outcome: &Outcome) -> Result<(), LedgerError>;

    /// Records that the filing was, or may have been, sent and no answer came: the resolver is to ask from now on.
    async fn mark_unknown(&self, entry: &Entry) -> Result<(), LedgerError>;

    /// Records that provably nothing was sent: the same application may come again under its key.
    async fn release(&self, entry: &Entry) -> Result<(), LedgerError>;

    /// Records what a settled case has become since.
    async fn update(
        &self,
        institution: &str,
        key: &str,
        outcome: &Outcome,
    ) -> Result<(), LedgerError>;

    /// A filing by its key.
    async fn find(&self, institution: &str, key: &str) -> Result<Option<Record>, LedgerError>;

    /// A filing by the registry's case number.
    async fn find_case(
        &self,
        institution: &str,
        case_id: &str,
    ) -> Result<Option<Record>, LedgerError>;

    /// Takes up to `limit` filings of one registry whose outcome is unknown or whose lease ran out, for `lease`.
    async fn claim_due(
        &self,
        registry: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Entry>, LedgerError>;

    /// Puts off asking again.
    async fn defer(&self, entry: &Entry, delay: Duration) -> Result<(), LedgerError>;

    /// Whether the ledger can write now.
    async fn ping(&self) -> Result<(), LedgerError>;
}

/// Why the ledger could not do it. Nothing was sent anywhere because of it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be reached or written to just now.
    #[error("the ledger is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds cannot be read.
    #[error("the ledger holds something unreadable")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
}
