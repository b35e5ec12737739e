//! The books (账): what was filed in a span of time, as both sides compare it, and the findings where they differ.
//!
//! It compares nothing: that is `crate::reconciliation`'s affair. Source: docs/reconciliation.md; docs/decisions/0021.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::{LedgerError, Record};

/// The verbs of the books, durable when they return, as those of the ledger are.
#[async_trait]
pub trait Books {
    /// Filings whose keys were claimed in a span of time, in order of institution and key, byte by byte; `limit` at most.
    async fn filed(&self, asked: &Asked) -> Result<Vec<Filed>, LedgerError>;

    /// One filing, whenever it was filed.
    async fn filed_under(&self, institution: &str, key: &str)
    -> Result<Option<Filed>, LedgerError>;

    /// Records what was found when a day's books were compared with a registry's: each is opened, or goes on, and those of
    /// that day and registry that were not found again are closed. One that an operator has closed is opened again only if
    /// it differs otherwise than it did. Counts those that are open by it and were not before.
    async fn record_findings(
        &self,
        registry: &str,
        day: &str,
        findings: &[Finding],
    ) -> Result<u64, LedgerError>;

    /// Findings in the order in which they were made, `limit` at most; the closed ones too, if they are asked for.
    async fn findings(&self, which: Which, limit: u32) -> Result<Vec<KeptFinding>, LedgerError>;

    /// Closes a finding, with what the operator says of it. Whether it was open.
    async fn close_finding(&self, id: i64, note: &str) -> Result<bool, LedgerError>;

    /// Deletes up to `limit` findings that were closed so long ago. Tells how many. What is open is never deleted.
    async fn forget_findings(&self, age: Duration, limit: u32) -> Result<u32, LedgerError>;

    /// How many findings are open, by registry; registries with none are left out.
    async fn open_findings(&self) -> Result<Vec<(String, u64)>, LedgerError>;
}

/// Which filings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// From then on.
    pub from: SystemTime,
    /// Until then, exclusively.
    pub until: SystemTime,
    /// Those of one institution; `None`: of all.
    pub institution: Option<String>,
    /// After this institution and key; both empty for the first.
    pub after: (String, String),
    /// How many at most.
    pub limit: u32,
}

/// A filing as the books have it.
#[derive(Debug, Clone)]
pub struct Filed {
    /// What the ledger knows of it.
    pub record: Record,
    /// When its key was claimed; anew, if nothing had been sent under it. To the millisecond.
    pub at: SystemTime,
    /// What it was about.
    pub booked: Booked,
}

/// What a filing is about, as far as books are compared by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Booked {
    /// The amount that was applied for, in fen; `None` for a matter that has none, or if nobody knows.
    pub amount_fen: Option<i64>,
    /// Digest of who stands in the matter's lists; `None` if nobody knows.
    pub parties: Option<Parties>,
}

/// Digest of who stands in a matter's lists of parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parties(pub [u8; Parties::BYTES]);

impl Parties {
    /// The beginning of a SHA-256: enough to tell two apart.
    pub const BYTES: usize = 16;

    /// A digest of that length; `None` of another.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn stored(bytes: Option<Vec<u8>>) -> Result<Option<Self>, LedgerError> {
        let Some(bytes) = bytes else { return Ok(None) };
        let parties = Self::of(&bytes);
        parties
            .map(Some)
            .ok_or_else(|| LedgerError::corrupt("a digest of parties of no such length"))
    }
}

/// A difference between the ledger and a registry's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose case it is.
    pub institution: String,
    /// The key it was filed under.
    pub key: String,
    /// What differs.
    pub kind: Kind,
    /// The office, by the registry's own code.
    pub office: String,
    /// The registry's number of the case; empty where neither side has one.
    pub case_id: String,
    /// What this ledger says.
    pub ours: String,
    /// What the registry says.
    pub theirs: String,
}

/// What can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The registry has a case that this ledger does not have (登记机构有、网关无).
    OnlyTheirs,
    /// This ledger has a case that the registry does not have (网关有、登记机构无).
    OnlyOurs,
    /// The case's numbers differ (受理编号不一致).
    Case,
    /// It stands otherwise (状态不一致).
    Status,
    /// The amounts differ (金额不一致).
    Amount,
    /// Somebody else stands in a list of parties (当事人不一致).
    Party,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::OnlyTheirs, Self::OnlyOurs, Self::Case, Self::Status, Self::Amount, Self::Party];

    /// The name it is stored and told under.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnlyTheirs => "ONLY_THEIRS",
            Self::OnlyOurs => "ONLY_OURS",
            Self::Case => "CASE",
            Self::Status => "STATUS",
            Self::Amount => "AMOUNT",
            Self::Party => "PARTY",
        }
    }

    /// What it is, in Chinese.
    pub fn chinese(self) -> &'static str {
        match self {
            Self::OnlyTheirs => "对方有我方无",
            Self::OnlyOurs => "我方有对方无",
            Self::Case => "受理编号不一致",
            Self::Status => "状态不一致",
            Self::Amount => "金额不一致",
            Self::Party => "当事人不一致",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, LedgerError> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| LedgerError::corrupt("a finding of no kind that is known"))
    }
}

/// Which findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are open.
    Open,
    /// All.
    All,
}

/// A finding as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFinding {
    /// What operators call it by.
    pub id: i64,
    /// Whose books were compared with ours.
    pub registry: String,
    /// The day whose books were compared, `YYYY-MM-DD`.
    pub day: String,
    /// What was found.
    pub finding: Finding,
    /// How often.
    pub times: i64,
    /// When first.
    pub first_at: SystemTime,
    /// When last.
    pub last_at: SystemTime,
    /// When it was closed; `None` while it is open.
    pub closed_at: Option<SystemTime>,
    /// What the operator who closed it says; `None` where both sides agree by now.
    pub note: Option<String>,
}
