//! The ledger: the only memory. It makes a second registration of one filing impossible and an
//! unanswered one findable.
//!
//! A key is claimed here, durably, before a byte leaves for a registry, and its outcome is settled
//! here before the bank hears of it. It knows no bank's words, sends nothing, reads no clock but the
//! store's own, and holds no personal data in the clear: of an application it keeps digests, of an
//! outcome what the bank was told. Source: docs/domain.md, "Idempotency".

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use prost::Message;
use proto::v1::Outcome;

use crate::matter::is_entered;

pub mod books;
pub mod cases;
mod cause;
pub mod events;
pub mod evidence;
pub mod life;
pub mod notices;
pub mod postgres;
pub mod run;
pub mod sqlite;

use books::Booked;
pub use books::Books;
pub use cases::Cases;
pub use cause::Cause;
pub use events::Events;
use evidence::EvidenceLog;
use life::Verdict;
pub use notices::Notices;
pub use postgres::{PostgresSettings, PostgresTls};
use run::Run;
pub use sqlite::SqliteSettings;

/// Which store holds the ledger.
#[derive(Debug, Clone)]
pub enum LedgerSettings {
    /// A file of this process alone.
    Sqlite(SqliteSettings),
    /// A server that several replicas share.
    Postgres(PostgresSettings),
}

/// Opens the ledger, making or updating its tables.
///
/// Fails with [`LedgerError::Unavailable`] if the store cannot be reached, cannot be written to, or
/// is another process's (SQLite).
pub async fn open(settings: &LedgerSettings) -> Result<Arc<dyn Ledger>, LedgerError> {
    Ok(match settings {
        LedgerSettings::Sqlite(settings) => Arc::new(sqlite::SqliteLedger::open(settings)?),
        LedgerSettings::Postgres(settings) => {
            Arc::new(postgres::PostgresLedger::open(settings).await?)
        }
    })
}

/// Opens the ledger to be read beside those who have it open: its tables are left as they are, and what would write fails or,
/// where only the server could refuse it, is not to be called.
///
/// # Errors
/// It cannot be reached.
pub async fn open_to_read(settings: &LedgerSettings) -> Result<Arc<dyn Ledger>, LedgerError> {
    Ok(match settings {
        LedgerSettings::Sqlite(settings) => Arc::new(sqlite::SqliteLedger::open_to_read(settings)?),
        LedgerSettings::Postgres(settings) => {
            Arc::new(postgres::PostgresLedger::open_to_read(settings)?)
        }
    })
}

/// Opens the ledger for a short word beside those who have it open: its tables are left as they are. Never to claim keys with.
///
/// # Errors
/// It cannot be reached.
pub async fn open_beside(settings: &LedgerSettings) -> Result<Arc<dyn Ledger>, LedgerError> {
    Ok(match settings {
        LedgerSettings::Sqlite(settings) => Arc::new(sqlite::SqliteLedger::open_beside(settings)?),
        LedgerSettings::Postgres(settings) => {
            Arc::new(postgres::PostgresLedger::open_to_read(settings)?)
        }
    })
}

/// The ledger's verbs, with those of [`Events`], [`Notices`], [`EvidenceLog`], [`Books`] and [`Cases`]. All of them are durable when they return, and none is
/// retried inside.
///
/// If a call is dropped, or fails with [`LedgerError::Unavailable`], what it asked for may or may not
/// have happened: the entry then reads as claimed, and the next to come asks the registry first.
#[async_trait]
pub trait Ledger: Events + Notices + EvidenceLog + Books + Cases {
    /// Claims a key, or says what has become of it, in one step. Of two claims of one key at the same
    /// moment, at this replica or at two, one is `New` and the other `InFlight`.
    ///
    /// | the key | the application | answer |
    /// |---|---|---|
    /// | was never used | any | `New`, attempt 1 |
    /// | was used, and is retired | any | `Retired` |
    /// | was used, whatever else became of it | another | `Conflict` |
    /// | is claimed or unknown, and its lease runs | the same | `InFlight` |
    /// | is claimed or unknown, and its lease ran out | the same | `AskFirst`, attempt + 1 |
    /// | is settled | the same | `Settled` |
    /// | is claimed, its send was to be announced and never was, and its lease ran out | the same | `New`, attempt + 1 |
    /// | is released | the same | `New`, attempt + 1 |
    /// | is queued, or the queue's and its lease ran out | the same | `Queued` |
    ///
    /// What would be `New` is a `Duplicate` instead, and claims nothing, if a filing of another key
    /// holds one of the claim's guards; unless that is the one it corrects, whose guards pass over.
    /// Of two keys with one guard at the same moment, one is `New` and the other a `Duplicate`.
    ///
    /// What would be `New` is queued instead, and `Queued`, if the claim can wait and its office is closed, or a filing
    /// for one of its properties is in the queue: in one step, so that none overtakes another.
    ///
    /// Who asks first need not wait until the resolver's turn has come ([`Ledger::defer`]).
    async fn admit(&self, claim: &Claim) -> Result<Admission, LedgerError>;

    /// Records that a filing whose claim was `announced` is about to be sent, before it is. Whether
    /// it may be: not if the entry is stale or settled, or its lease ran out, since the bank may have
    /// been told by then that nothing was sent; nor if it may have been sent before and that is less
    /// than `quiet` ago, or not known to be longer ago.
    ///
    /// Until this has happened it is proved that nothing was sent, whatever becomes of the claimant.
    async fn announce(&self, entry: &Entry, quiet: Duration) -> Result<bool, LedgerError>;

    /// Lifts `guards` that the filing `holder` holds, so that others may claim them: its case ended
    /// without a registration or was discharged, or it was never sent. Does nothing if it is not as
    /// far any more as `holder` says.
    async fn lift(&self, holder: &Record, guards: &[Guard]) -> Result<(), LedgerError>;

    /// Records what the registry answered, also for an entry that another has taken over since: an
    /// answer is a fact; and, in the same transaction, the event of it. Changes nothing where an answer is already recorded.
    /// `follow_up`: after what time it is to be seen how the case stands ([`Events::claim_follow_ups`]), if at all.
    ///
    /// Fails with [`LedgerError::Corrupt`] if the ledger has never heard of the filing.
    async fn settle(
        &self,
        entry: &Entry,
        outcome: &Outcome,
        follow_up: Option<Duration>,
    ) -> Result<(), LedgerError>;

    /// Records that the filing was, or may have been, sent and no answer came, and gives the lease
    /// back: the resolver is to ask from now on. Changes nothing if the entry is stale or settled.
    async fn mark_unknown(&self, entry: &Entry) -> Result<(), LedgerError>;

    /// Records that provably nothing was ever sent, by this attempt or one before: the same
    /// application may come again under its key and is then `New`. Changes nothing if the entry is
    /// stale or settled.
    ///
    /// For who holds a `New` entry only. That a registry does not know a key now does not prove that
    /// nothing is on its way to it.
    async fn release(&self, entry: &Entry) -> Result<(), LedgerError>;

    /// A filing by its key.
    async fn find(&self, institution: &str, key: &str) -> Result<Option<Record>, LedgerError>;

    /// What was asked for under a key, as digests; `None` if nobody knows the key, or not any more.
    async fn asked(&self, institution: &str, key: &str)
    -> Result<Option<Fingerprint>, LedgerError>;

    /// Filings by a registry's case number. Case numbers are a registry's own: of each registry that has the number it is
    /// the one that changed last, in the order of the registries' names.
    async fn find_case(&self, institution: &str, case_id: &str)
    -> Result<Vec<Record>, LedgerError>;

    /// Takes up to `limit` filings of one registry for `lease`: those whose outcome is unknown and
    /// whose turn has come, and those that were claimed and whose lease ran out. Those longest due
    /// are taken first; none is given to two takers. The registry is to be asked by key first.
    async fn claim_due(
        &self,
        registry: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Entry>, LedgerError>;

    /// [`Ledger::mark_unknown`], but the resolver is to wait for `delay` before it asks again.
    async fn defer(&self, entry: &Entry, delay: Duration) -> Result<(), LedgerError>;

    /// [`Ledger::mark_unknown`], but the resolver is not to ask again. Who claims the key still may, and then settles it
    /// or gives it up anew. Tells whether this is the first time, since the key was claimed.
    async fn give_up(&self, entry: &Entry) -> Result<bool, LedgerError>;

    /// How many filings of one registry have an unknown outcome, those that were given up included.
    async fn unknown(&self, registry: &str) -> Result<Unknown, LedgerError>;

    /// Retires up to `limit` filings that are settled or released and have not changed for `age`,
    /// longest ago first: what is known of them is deleted, but for the key, which stays used for
    /// good, and the case's number. Tells how many. Of several that retire at once each takes others.
    async fn retire(&self, age: Duration, limit: u32) -> Result<u32, LedgerError>;

    /// Takes the filing that came first of those in the queue of one office whose turn it is, for `lease`: it waits, or
    /// whoever took it before was not heard of again; no earlier one for one of its properties is in the queue; and the
    /// office has had its `interval` since the one before, whichever replica sent it. None is given to two takers.
    ///
    /// What was never sent is sent where the office is now, whatever registry was in charge of it when it came; but for a
    /// correction: it stays with the registry that has the case. Nothing of it is sent before [`Self::announce`] allows it:
    /// whoever dies before then, and however long its papers take, it waits as it did.
    async fn claim_queued(&self, opening: &Opening) -> Result<Option<Taken>, LedgerError>;

    /// Gives a filing of the queue back to it, of which provably nothing was sent; it keeps its place, and is not taken
    /// again before `delay` is over. For who was not told to ask first. Changes nothing if the entry is stale or settled.
    async fn requeue(&self, entry: &Entry, delay: Duration) -> Result<(), LedgerError>;

    /// Settles a filing of the queue with a refusal of the gateway's own. Whether it did: not if the entry is stale or settled,
    /// or its lease ran out, since another may have sent the filing by then.
    async fn refuse(&self, entry: &Entry, refusal: &Outcome) -> Result<bool, LedgerError>;

    /// Takes a filing that waits out of the queue for good: it is settled with `outcome`. Whether it was waiting; one that
    /// may have been sent is not withdrawn so.
    async fn withdraw_queued(
        &self,
        institution: &str,
        key: &str,
        outcome: &Outcome,
    ) -> Result<bool, LedgerError>;

    /// How many filings are in the queue, by office; offices with none are left out.
    async fn queued(&self) -> Result<Vec<(String, u64)>, LedgerError>;

    /// How long each of the last cases took from the claim of its key to its registration, as its registry dates that; the
    /// latest to change first. Times of two clocks: what seems to have taken less than no time took none.
    async fn times_taken(&self, past: &PastCases) -> Result<Vec<Duration>, LedgerError>;

    /// Whether the ledger can write now: it writes.
    async fn ping(&self) -> Result<(), LedgerError>;

    /// What holds it, by its name in OpenTelemetry's conventions for databases.
    fn system(&self) -> &'static str {
        "other_sql"
    }

    /// How many transactions this process has committed, each of them one sync or a share in one. Verbs that wait at one
    /// moment share a transaction, so that with many there are far fewer of these than of verbs.
    fn commits(&self) -> u64;
}

/// What to claim: one filing of one institution under its key.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose key it is; with `key` the identity of the filing.
    pub institution: String,
    /// The idempotency key, as the contract built it.
    pub key: String,
    /// What was asked for, as digests.
    pub fingerprint: Fingerprint,
    /// What both sides' books are compared by.
    pub booked: Booked,
    /// Name of the matter, as in `Application.matter`.
    pub matter: String,
    /// The registry it goes to, by its name in settings.
    pub registry: String,
    /// The office in charge, by the registry's own code.
    pub office: String,
    /// How long this process may work on it before another may take it over; to the millisecond.
    pub lease: Duration,
    /// Whether nothing is sent before [`Ledger::announce`] allows it. It costs a write more, and for
    /// it a claimant that died before sending leaves a key that is as good as new.
    pub announced: bool,
    /// What guards against a second filing of the same loan; sorted, each once, or empty.
    pub guards: Vec<Guard>,
    /// The registry's number of the case that it corrects.
    pub corrects: Option<String>,
    /// What is kept of it should it have to wait for its office; `None`: it never waits.
    pub waiting: Option<Waiting>,
}

/// What is kept of a filing that waits for its office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whether the office is closed, so that it waits in any case. Otherwise it waits only behind others.
    pub closed: bool,
    /// What it is about, as digests: none is sent before an earlier one that has one in common. Sorted, each once.
    pub properties: Vec<Guard>,
    /// What is needed to send it.
    pub sealed: Sealed,
}

/// An application at rest: nobody can read it without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The key, by its name.
    pub key: String,
    /// Nonce, ciphertext, tag.
    pub bytes: Vec<u8>,
}

/// For which office the queue is opened.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The office, by the registry's own code.
    pub office: String,
    /// The registry it is reached through now.
    pub registry: String,
    /// How long this process may work on a filing before another may take it over.
    pub lease: Duration,
    /// How long after one filing the next may be sent.
    pub interval: Duration,
}

/// Which cases are asked about how long they took.
#[derive(Debug, Clone)]
pub struct PastCases {
    /// The registry they were filed at, by its name in settings.
    pub registry: String,
    /// The office in charge, by the registry's own code.
    pub office: String,
    /// Name of the matter, as in `Application.matter`.
    pub matter: String,
    /// How long ago they changed last, at most.
    pub within: Duration,
    /// How many are looked at, those that are not registered included.
    pub limit: u32,
}

/// How long a case took that was claimed at that moment, in milliseconds since 1970; `None` if it is not registered.
fn time_taken(admitted_at: i64, outcome: &[u8]) -> Option<Duration> {
    let outcome = Outcome::decode(outcome).ok()?;
    let registered_at = outcome.registered_at.filter(|_| is_entered(outcome.status()))?;
    let milliseconds = registered_at.seconds.checked_mul(1_000)?;
    Some(length(
        milliseconds
            .checked_add(i64::from(registered_at.nanos / 1_000_000))?
            .checked_sub(admitted_at)?,
    ))
}

/// A filing out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The right to act on it.
    pub entry: Entry,
    /// Whether it may have been sent before: the registry is to be asked by key first.
    pub ask_first: bool,
    /// What is needed to send it.
    pub sealed: Sealed,
}

/// A loan at a property, as a digest: two filings that have one in common are one loan filed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard {
    digest: [u8; Guard::BYTES],
    /// Of the contract's number: where the guard lies, and no part of what it is.
    run: Run,
}

impl Guard {
    /// Enough that among all loans of an institution no two are alike by chance.
    const BYTES: usize = 16;

    /// The beginning of a digest.
    pub fn of(digest: &[u8]) -> Self {
        let mut guard = Self { digest: [0; Self::BYTES], run: Run::default() };
        guard.digest.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
        guard
    }

    /// The same, beside the guards of the contracts that were numbered before. One digest has one run.
    pub fn beside(self, run: Run) -> Self {
        Self { run, ..self }
    }
}

/// What a canonical application is, as digests. Two are the same application if `digest` is equal.
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
    /// The registry it was first claimed for.
    pub registry: String,
    /// The office in charge when it was first claimed.
    pub office: String,
    /// How many times it was taken, from 1; a later taker makes earlier entries stale.
    pub attempt: i64,
}

/// Filings of one registry whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unknown {
    /// How many.
    pub count: u64,
    /// How long ago the key of the oldest was claimed; nothing if there is none.
    pub oldest: Duration,
}

impl Unknown {
    fn of(count: i64, oldest_ms: i64) -> Self {
        Self { count: u64::try_from(count).unwrap_or(0), oldest: length(oldest_ms) }
    }
}

/// What the ledger says to a claim.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Nobody has used the key, or its first use provably sent nothing: send.
    New(Entry),
    /// The lease ran out or the outcome is unknown: ask the registry by key first, send only if it
    /// does not know it.
    AskFirst(Entry),
    /// Answered before: tell it again.
    Settled(Record),
    /// Somebody is working on it.
    InFlight {
        /// When to ask again: the rest of the lease, at least a second.
        retry_after: Duration,
    },
    /// The key was used for something else.
    Conflict {
        /// The fingerprint of the first use.
        earlier: Fingerprint,
    },
    /// It was used so long ago that no more is known than its case's number, if it had one.
    Retired(Record),
    /// The same loan was filed under another key: the filing that holds the guard.
    Duplicate(Record),
    /// It waits for its office; or the queue is finding out what became of it.
    Queued {
        /// How far it got: queued, or claimed or unknown if it may have been sent by now.
        state: State,
        /// The office in charge, by the registry's own code.
        office: String,
        /// Whether the key was used before.
        again: bool,
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
    /// The last outcome known; `None` until one is. Of a retired one only the case's number.
    pub outcome: Option<Outcome>,
    /// How long ago the key was claimed; anew, if nothing had been sent under it.
    pub age: Duration,
}

/// How far a filing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Claimed; somebody is, or was, about to send it.
    Claimed,
    /// Sent, or maybe sent, and no answer came, or its claimant was never heard of again; the
    /// resolver asks.
    Unknown,
    /// The registry answered.
    Settled,
    /// Settled or released long ago; what was told of it is deleted.
    Retired,
    /// Provably nothing was sent, nor is anybody about to; the key may be used again for the same
    /// application.
    Released,
    /// It waits for its office to open; nothing was sent.
    Queued,
}

/// Why the ledger could not do it. Nothing was sent anywhere because of it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be reached or written to just now.
    #[error("the ledger is not available")]
    Unavailable(#[source] Cause),
    /// What it holds cannot be read.
    #[error("the ledger holds something unreadable")]
    Corrupt(#[source] Cause),
}

impl LedgerError {
    /// For traces.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt(_) => "corrupt",
        }
    }

    fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> LedgerError {
        LedgerError::Unavailable(Cause::new(cause))
    }

    pub(crate) fn corrupt(cause: impl Into<Box<dyn Error + Send + Sync>>) -> LedgerError {
        LedgerError::Corrupt(Cause::new(cause))
    }
}

/// A key that a claim could not take, as it stood a moment later.
struct Standing {
    digest: Vec<u8>,
    leaves: Vec<u8>,
    /// What is left of the lease, in milliseconds; negative once it ran out.
    lease_left_ms: i64,
    /// Whether it is the queue's.
    queued: bool,
    record: Record,
}

impl Standing {
    /// What was asked for, while it is known.
    fn fingerprint(self) -> Option<Fingerprint> {
        let digest = <[u8; 32]>::try_from(self.digest).ok()?;
        Some(Fingerprint { digest, leaves: self.leaves }).filter(|it| !it.leaves.is_empty())
    }

    /// What to tell the claimant; `None` if the key could be taken by now, so that it is to be tried
    /// again.
    fn admission(self, claim: &Claim) -> Result<Option<Admission>, LedgerError> {
        let lease_runs = self.lease_left_ms > 0;
        let same_application = self.digest == claim.fingerprint.digest;
        Ok(match life::verdict(same_application, self.record.state, self.queued, lease_runs) {
            Verdict::Conflict => {
                let digest = <[u8; 32]>::try_from(self.digest).map_err(|odd| {
                    LedgerError::corrupt(format!("a digest of {} bytes", odd.len()))
                })?;
                let earlier = Fingerprint { digest, leaves: self.leaves };
                Some(Admission::Conflict { earlier })
            }
            Verdict::Settled => Some(Admission::Settled(self.record)),
            Verdict::Retired => Some(Admission::Retired(self.record)),
            Verdict::InFlight => {
                let left = u64::try_from(self.lease_left_ms).unwrap_or_default();
                let retry_after = Duration::from_millis(left).max(RETRY_AFTER_MIN);
                Some(Admission::InFlight { retry_after })
            }
            Verdict::Queued => {
                let (state, office) = (self.record.state, self.record.office);
                Some(Admission::Queued { state, office, again: true })
            }
            Verdict::New | Verdict::AskFirst => None,
        })
    }
}

/// A bank that is told to wait waits for whole seconds.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// How often a claim is tried before it reads as in flight. A second time is needed if a lease runs
/// out, or an entry is released, between the try and the look at why it failed; more is bad luck.
const CLAIM_TRIES: u32 = 3;

impl State {
    /// The number it is stored under; part of the tables' format.
    fn number(self) -> i16 {
        match self {
            State::Claimed => 1,
            State::Unknown => 2,
            State::Settled => 3,
            State::Released => 4,
            State::Retired => 5,
            State::Queued => 6,
        }
    }

    fn from_number(number: i16) -> Result<State, LedgerError> {
        const ALL: [State; 6] = [
            State::Claimed,
            State::Unknown,
            State::Settled,
            State::Released,
            State::Retired,
            State::Queued,
        ];
        ALL.into_iter()
            .find(|state| state.number() == number)
            .ok_or_else(|| LedgerError::corrupt(format!("a state numbered {number}")))
    }
}

/// The right that was just taken, by the state it left behind: only the first to claim a key, or to
/// claim it after a release, leaves it claimed.
fn taken(state: State, entry: Entry) -> Result<Admission, LedgerError> {
    match state {
        State::Claimed => Ok(Admission::New(entry)),
        State::Unknown => Ok(Admission::AskFirst(entry)),
        State::Queued => Ok(Admission::Queued { state, office: entry.office, again: false }),
        State::Settled | State::Released | State::Retired => {
            Err(LedgerError::corrupt("a filing that was taken and is closed"))
        }
    }
}

fn read_outcome(
    bytes: Option<&[u8]>,
    case_id: Option<String>,
) -> Result<Option<Outcome>, LedgerError> {
    match bytes {
        Some(bytes) => Outcome::decode(bytes).map(Some).map_err(LedgerError::corrupt),
        None => Ok(case_id.map(|case_id| Outcome { case_id, ..Outcome::default() })),
    }
}

/// The case number as it is stored: a registry that refuses at the door may give none.
fn case_id(outcome: &Outcome) -> Option<&str> {
    Some(outcome.case_id.as_str()).filter(|id| !id.is_empty())
}

/// As good as never.
const TEN_YEARS_MS: i64 = 3_653 * 24 * 60 * 60 * 1_000;

/// A length of time as the stores take it. What is longer than ten years is taken for a mistake that
/// must not overflow a date.
fn milliseconds(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(TEN_YEARS_MS).min(TEN_YEARS_MS)
}

/// A moment as the stores take it, in milliseconds since 1970.
fn since_1970(moment: SystemTime) -> i64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A length of time as the stores give it. A clock that was put back makes it negative: that is none.
fn length(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_is_never_told_to_ask_at_once() {
        assert_eq!(retry_after(29_500), Some(Duration::from_millis(29_500)));
        assert_eq!(retry_after(1), Some(Duration::from_secs(1)));
        assert_eq!(retry_after(0), None, "the lease ran out meanwhile: it is to be tried again");
        assert_eq!(retry_after(-1), None);
    }

    #[test]
    fn a_length_of_time_never_overflows_a_date() {
        assert_eq!(milliseconds(Duration::from_micros(1_999)), 1);
        assert_eq!(milliseconds(Duration::MAX), milliseconds(Duration::from_secs(u64::MAX)));
    }

    fn retry_after(lease_left_ms: i64) -> Option<Duration> {
        let fingerprint = Fingerprint { digest: [1; 32], leaves: Vec::new() };
        let claim = Claim {
            institution: "bank".into(),
            key: "k".into(),
            fingerprint,
            booked: Booked::default(),
            matter: String::new(),
            registry: String::new(),
            office: String::new(),
            lease: Duration::ZERO,
            announced: false,
            guards: Vec::new(),
            corrects: None,
            waiting: None,
        };
        let record = Record {
            institution: "bank".into(),
            key: "k".into(),
            matter: String::new(),
            registry: String::new(),
            office: String::new(),
            state: State::Claimed,
            outcome: None,
            age: Duration::ZERO,
        };
        let (digest, leaves) = (vec![1; 32], Vec::new());
        let standing = Standing { digest, leaves, lease_left_ms, queued: false, record };
        match standing.admission(&claim).unwrap() {
            Some(Admission::InFlight { retry_after }) => Some(retry_after),
            None => None,
            Some(admission) => panic!("{admission:?}"),
        }
    }
}
