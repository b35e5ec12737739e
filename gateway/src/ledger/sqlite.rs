//! The ledger in a SQLite file: the embedded default, for one process.
//!
//! One thread writes. It takes whatever is waiting, does it all in one transaction, and answers when
//! that is on the disk, so that many filings at a time cost one sync. It never shares its file with
//! another process that serves; an operator's command may read it, and write a row, beside it. Source of the file format's promises: sqlite.org, "Write-Ahead Logging" and
//! "PRAGMA synchronous".

mod books;
mod cases;
mod events;
mod evidence;
mod file;
mod guards;
mod notices;
mod queue;
mod worker;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use file::{BUSY_MAX, lock, open_to_read, open_to_write};
use guards::{lift, meets_guards, take_guards};
use prost::Message;
use proto::v1::Outcome;
use queue::{QUEUED, REFUSE_QUEUED, REQUEUE, WITHDRAW_QUEUED, claim_queued, enqueue, is_behind};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row, named_params};
use worker::{Cause, QUEUE_MAX, Worker, answer_each, commit_groups};

use super::{
    Admission, CLAIM_TRIES, Claim, Entry, Fingerprint, Guard, Ledger, LedgerError, Opening,
    PastCases, RETRY_AFTER_MIN, Record, Standing, State, TEN_YEARS_MS, Taken, Unknown, case_id,
    cases::Mention, length, milliseconds, read_outcome, taken, time_taken,
};

/// Where the file is.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// The database file, made if absent; its folder must exist and be on a local disk. Beside it
    /// appear `-wal`, `-shm` and `.lock`.
    pub path: PathBuf,
}

/// The ledger in a SQLite file.
///
/// Dropping it waits for what has been asked of it and lets go of the file.
pub(super) struct SqliteLedger {
    path: PathBuf,
    writer: Worker,
    reader: Worker,
    commits: Arc<AtomicU64>,
}

impl SqliteLedger {
    /// Opens the file, which no other process may have open, and brings its tables up to date.
    pub(super) fn open(settings: &SqliteSettings) -> Result<SqliteLedger, LedgerError> {
        let path = settings.path.clone();
        let lock = lock(&path)?;
        let database = open_to_write(&path)?;
        let commits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&commits);
        let writer = Worker::start("ledger-writer", move |jobs| {
            commit_groups(&database, jobs, &counted);
            drop(database);
            drop(lock); // Last: until then another process must not open the file.
        })?;
        let database = open_to_read(&path)?;
        let reader = Worker::start("ledger-reader", move |jobs| answer_each(&database, jobs))?;
        Ok(SqliteLedger { path, writer, reader, commits })
    }

    /// Opens the file to write to it for a moment, whoever else has it open: SQLite lets one writer wait for the other.
    pub(super) fn open_beside(settings: &SqliteSettings) -> Result<SqliteLedger, LedgerError> {
        let mut ledger = Self::open_to_read(settings)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(&ledger.path, flags).map_err(fault)?;
        database.busy_timeout(BUSY_MAX).map_err(fault)?;
        let counted = Arc::clone(&ledger.commits);
        ledger.writer = Worker::start("ledger-writer", move |jobs| {
            commit_groups(&database, jobs, &counted);
        })?;
        Ok(ledger)
    }

    /// Opens the file to be read, whoever else has it open; what would write fails.
    pub(super) fn open_to_read(settings: &SqliteSettings) -> Result<SqliteLedger, LedgerError> {
        let path = settings.path.clone();
        let database = open_to_read(&path)?;
        let reader = Worker::start("ledger-reader", move |jobs| answer_each(&database, jobs))?;
        let writer = Worker { jobs: None, thread: None };
        Ok(SqliteLedger { path, writer, reader, commits: Arc::default() })
    }
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn admit(&self, claim: &Claim) -> Result<Admission, LedgerError> {
        let claim = claim.clone();
        self.writer.run(move |database| admit(database, &claim)).await
    }

    async fn announce(&self, entry: &Entry, quiet: Duration) -> Result<bool, LedgerError> {
        let entry = entry.clone();
        self.writer
            .run(move |database| {
                let parameters = named_params! {
                    ":institution": entry.institution, ":key": entry.key, ":attempt": entry.attempt,
                    ":quiet": milliseconds(quiet),
                };
                Ok(write(database, ANNOUNCE, parameters)? > 0)
            })
            .await
    }

    async fn lift(&self, holder: &Record, guards: &[Guard]) -> Result<(), LedgerError> {
        let (holder, guards) = (holder.clone(), guards.to_vec());
        self.writer.run(move |database| lift(database, &holder, &guards)).await
    }

    async fn settle(
        &self,
        entry: &Entry,
        outcome: &Outcome,
        follow_up: Option<Duration>,
    ) -> Result<(), LedgerError> {
        let (entry, outcome) = (entry.clone(), outcome.clone());
        self.writer.run(move |database| settle(database, &entry, &outcome, follow_up)).await
    }

    async fn mark_unknown(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.defer(entry, Duration::ZERO).await
    }

    async fn release(&self, entry: &Entry) -> Result<(), LedgerError> {
        let entry = entry.clone();
        self.writer
            .run(move |database| {
                let parameters = named_params! {
                    ":institution": entry.institution, ":key": entry.key, ":attempt": entry.attempt,
                };
                write(database, RELEASE, parameters).map(drop)
            })
            .await
    }

    async fn find(&self, institution: &str, key: &str) -> Result<Option<Record>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let parameters = named_params! { ":institution": institution, ":key": key };
                Ok(standing(database, FIND, parameters)?.map(|standing| standing.record))
            })
            .await
    }

    async fn asked(
        &self,
        institution: &str,
        key: &str,
    ) -> Result<Option<Fingerprint>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let parameters = named_params! { ":institution": institution, ":key": key };
                Ok(standing(database, FIND, parameters)?.and_then(Standing::fingerprint))
            })
            .await
    }

    async fn find_case(
        &self,
        institution: &str,
        case_id: &str,
    ) -> Result<Vec<Record>, LedgerError> {
        let (institution, case_id) = (institution.to_owned(), case_id.to_owned());
        self.reader
            .run(move |database| {
                let parameters = named_params! { ":institution": institution, ":case_id": case_id };
                let mut statement = database.prepare_cached(FIND_CASE).map_err(fault)?;
                let mut rows = statement.query(parameters).map_err(fault)?;
                let mut found = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    found.push(read_standing(row)?.record);
                }
                Ok(found)
            })
            .await
    }

    async fn claim_due(
        &self,
        registry: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Entry>, LedgerError> {
        let registry = registry.to_owned();
        self.writer.run(move |database| claim_due(database, &registry, limit, lease)).await
    }

    async fn defer(&self, entry: &Entry, delay: Duration) -> Result<(), LedgerError> {
        let entry = entry.clone();
        self.writer
            .run(move |database| {
                let parameters = named_params! {
                    ":institution": entry.institution, ":key": entry.key, ":attempt": entry.attempt,
                    ":delay": milliseconds(delay),
                };
                write(database, DEFER, parameters).map(drop)
            })
            .await
    }

    async fn give_up(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let entry = entry.clone();
        self.writer
            .run(move |database| {
                let mut statement = database.prepare_cached(GIVE_UP).map_err(fault)?;
                let parameters = named_params! {
                    ":institution": entry.institution, ":key": entry.key, ":attempt": entry.attempt,
                    ":delay": TEN_YEARS_MS,
                };
                let first = statement.query_row(parameters, |row| row.get("first")).optional();
                Ok(first.map_err(fault)?.unwrap_or(false))
            })
            .await
    }

    async fn unknown(&self, registry: &str) -> Result<Unknown, LedgerError> {
        let registry = registry.to_owned();
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(UNKNOWN).map_err(fault)?;
                let parameters = named_params! { ":registry": registry };
                let counted = statement.query_one(parameters, |row| {
                    Ok(Unknown::of(row.get("count")?, row.get("oldest")?))
                });
                counted.map_err(fault)
            })
            .await
    }

    async fn times_taken(&self, past: &PastCases) -> Result<Vec<Duration>, LedgerError> {
        let past = past.clone();
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(TIMES_TAKEN).map_err(fault)?;
                let parameters = named_params! {
                    ":registry": past.registry, ":office": past.office, ":matter": past.matter,
                    ":within": milliseconds(past.within), ":limit": past.limit,
                };
                let taken = statement.query_map(parameters, |row| {
                    let outcome: Vec<u8> = row.get("outcome")?;
                    Ok(time_taken(row.get("admitted_at")?, &outcome))
                });
                let taken = taken.map_err(fault)?.filter_map(Result::transpose);
                taken.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }

    async fn retire(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        self.writer
            .run(move |database| {
                let parameters = named_params! { ":age": milliseconds(age), ":limit": limit };
                let retired = write(database, RETIRE, parameters)?;
                Ok(u32::try_from(retired).unwrap_or(u32::MAX))
            })
            .await
    }

    async fn claim_queued(&self, opening: &Opening) -> Result<Option<Taken>, LedgerError> {
        let opening = opening.clone();
        self.writer
            .run(move |database| {
                whole(database, || claim_queued(database, &opening).map(Done::Keep))
            })
            .await
    }

    async fn requeue(&self, entry: &Entry, delay: Duration) -> Result<(), LedgerError> {
        let entry = entry.clone();
        self.writer
            .run(move |database| {
                let parameters = named_params! {
                    ":institution": entry.institution, ":key": entry.key, ":attempt": entry.attempt,
                    ":delay": milliseconds(delay),
                };
                write(database, REQUEUE, parameters).map(drop)
            })
            .await
    }

    async fn refuse(&self, entry: &Entry, refusal: &Outcome) -> Result<bool, LedgerError> {
        let (entry, refusal) = (entry.clone(), refusal.encode_to_vec());
        self.writer
            .run(move |database| {
                let parameters = named_params! {
                    ":institution": entry.institution, ":key": entry.key, ":attempt": entry.attempt,
                    ":outcome": refusal,
                };
                Ok(write(database, REFUSE_QUEUED, parameters)? > 0)
            })
            .await
    }

    async fn withdraw_queued(
        &self,
        institution: &str,
        key: &str,
        outcome: &Outcome,
    ) -> Result<bool, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        let outcome = outcome.encode_to_vec();
        self.writer
            .run(move |database| {
                let parameters =
                    named_params! { ":institution": institution, ":key": key, ":outcome": outcome };
                Ok(write(database, WITHDRAW_QUEUED, parameters)? > 0)
            })
            .await
    }

    async fn queued(&self) -> Result<Vec<(String, u64)>, LedgerError> {
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(QUEUED).map_err(fault)?;
                let counted = statement.query_map([], |row| {
                    let count: i64 = row.get("count")?;
                    Ok((row.get("office")?, u64::try_from(count).unwrap_or(0)))
                });
                counted.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.writer.run(|database| write(database, BEAT, []).map(drop)).await
    }

    fn system(&self) -> &'static str {
        "sqlite"
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

fn admit(database: &Connection, claim: &Claim) -> Result<Admission, LedgerError> {
    let waits = match &claim.waiting {
        Some(waiting) => waiting.closed || is_behind(database, &waiting.properties)?,
        None => false,
    };
    // A savepoint costs as much as the claim itself; most claims find no guard in another's hands, and need none.
    let meets = meets_guards(database, claim)?;
    if !waits && !meets {
        let admission = claim_key(database, claim, false)?;
        if let Admission::New(_) = admission
            && !matches!(take_guards(database, claim), Ok(None))
        {
            // Half a claim may not stay: the group is undone, and everybody in it told.
            database.execute_batch("ROLLBACK").map_err(fault)?;
        }
        return Ok(admission);
    }
    whole(database, || {
        let said = claim_key(database, claim, waits)?;
        if !matches!(said, Admission::New(_) | Admission::Queued { again: false, .. }) {
            return Ok(Done::Keep(said));
        }
        if let Some(holder) = take_guards(database, claim)? {
            return Ok(Done::Undo(Admission::Duplicate(holder)));
        }
        if let (Admission::Queued { .. }, Some(waiting)) = (&said, &claim.waiting) {
            enqueue(database, claim, waiting)?;
        }
        Ok(Done::Keep(said))
    })
}

/// What is to become of a row of statements, and what to say.
enum Done<T> {
    Keep(T),
    Undo(T),
}

/// Does several statements wholly or not at all, inside the group's transaction.
fn whole<T>(
    database: &Connection,
    work: impl FnOnce() -> Result<Done<T>, LedgerError>,
) -> Result<T, LedgerError> {
    write(database, "SAVEPOINT whole", [])?;
    let (undo, result) = match work() {
        Ok(Done::Keep(result)) => (false, Ok(result)),
        Ok(Done::Undo(result)) => (true, Ok(result)),
        Err(error) => (true, Err(error)),
    };
    // A full disk ends the transaction, and the savepoint with it.
    if undo && !database.is_autocommit() {
        write(database, "ROLLBACK TO whole", [])?;
    }
    if !database.is_autocommit() {
        write(database, "RELEASE whole", [])?;
    }
    result
}

fn claim_key(database: &Connection, claim: &Claim, waits: bool) -> Result<Admission, LedgerError> {
    for _ in 0..CLAIM_TRIES {
        let mut statement = database.prepare_cached(ADMIT).map_err(fault)?;
        let parameters = named_params! {
            ":institution": claim.institution, ":key": claim.key,
            ":digest": claim.fingerprint.digest, ":leaves": claim.fingerprint.leaves,
            ":amount": claim.booked.amount_fen, ":parties": claim.booked.parties.map(|it| it.0),
            ":matter": claim.matter, ":registry": claim.registry, ":office": claim.office,
            ":lease": milliseconds(claim.lease), ":announced": claim.announced,
            ":waits": waits,
        };
        let row = statement
            .query_row(parameters, |row| Ok((row.get("state")?, entry(row)?)))
            .optional()
            .map_err(fault)?;
        if let Some((state, entry)) = row {
            return taken(State::from_number(state)?, entry);
        }
        let parameters = named_params! { ":institution": claim.institution, ":key": claim.key };
        if let Some(standing) = standing(database, FIND, parameters)?
            && let Some(admission) = standing.admission(claim)?
        {
            return Ok(admission);
        }
    }
    Ok(Admission::InFlight { retry_after: RETRY_AFTER_MIN })
}

fn settle(
    database: &Connection,
    entry: &Entry,
    outcome: &Outcome,
    follow_up: Option<Duration>,
) -> Result<(), LedgerError> {
    let changed = write(
        database,
        SETTLE,
        named_params! {
            ":institution": entry.institution, ":key": entry.key,
            ":case_id": case_id(outcome), ":outcome": outcome.encode_to_vec(),
            ":follow_up": follow_up.map(milliseconds),
        },
    )?;
    let mentions = Mention::of_all(&outcome.certificate_numbers);
    cases::mention(database, &entry.institution, &entry.key, &mentions)?;
    let parameters = named_params! { ":institution": entry.institution, ":key": entry.key };
    if changed == 0 && standing(database, FIND, parameters)?.is_none() {
        return Err(LedgerError::corrupt("an answered filing was never claimed"));
    }
    Ok(())
}

fn claim_due(
    database: &Connection,
    registry: &str,
    limit: u32,
    lease: Duration,
) -> Result<Vec<Entry>, LedgerError> {
    let mut statement = database.prepare_cached(CLAIM_DUE).map_err(fault)?;
    let parameters = named_params! {
        ":registry": registry, ":limit": limit, ":lease": milliseconds(lease),
    };
    let entries = statement.query_map(parameters, entry).map_err(fault)?;
    entries.collect::<Result<_, _>>().map_err(fault)
}

fn write(
    database: &Connection,
    statement: &str,
    parameters: impl Params,
) -> Result<usize, LedgerError> {
    let mut statement = database.prepare_cached(statement).map_err(fault)?;
    statement.execute(parameters).map_err(fault)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        institution: row.get("institution")?,
        key: row.get("key")?,
        registry: row.get("registry")?,
        office: row.get("office")?,
        attempt: row.get("attempt")?,
    })
}

fn standing(
    database: &Connection,
    statement: &str,
    parameters: impl Params,
) -> Result<Option<Standing>, LedgerError> {
    let mut statement = database.prepare_cached(statement).map_err(fault)?;
    let mut rows = statement.query(parameters).map_err(fault)?;
    rows.next().map_err(fault)?.map(read_standing).transpose()
}

fn read_standing(row: &Row<'_>) -> Result<Standing, LedgerError> {
    let outcome = row.get_ref("outcome").and_then(|value| Ok(value.as_blob_or_null()?));
    let record = Record {
        institution: row.get("institution").map_err(fault)?,
        key: row.get("key").map_err(fault)?,
        matter: row.get("matter").map_err(fault)?,
        registry: row.get("registry").map_err(fault)?,
        office: row.get("office").map_err(fault)?,
        state: State::from_number(row.get("state").map_err(fault)?)?,
        outcome: read_outcome(outcome.map_err(fault)?, row.get("case_id").map_err(fault)?)?,
        age: length(row.get("age").map_err(fault)?),
    };
    Ok(Standing {
        digest: row.get("digest").map_err(fault)?,
        leaves: row.get("leaves").map_err(fault)?,
        lease_left_ms: row.get("lease_left").map_err(fault)?,
        queued: row.get("queued").map_err(fault)?,
        record,
    })
}

// `now` is read once per statement, from the machine's clock by way of SQLite, in milliseconds.
// States are numbered as `State::number` says.

/// Takes the key if it may be taken, and then returns the right to it. Nothing was sent under a
/// released key, nor under one whose announcement is outstanding, so it goes where the claim says;
/// one taken over otherwise goes on where it was begun.
const ADMIT: &str = "
    INSERT INTO filing (institution, key, digest, leaves, amount_fen, parties, matter, registry,
        office, state, attempt, lease_until, due_at, admitted_at, changed_at, unsent_attempt, queued)
    SELECT :institution, :key, :digest, :leaves, :amount, :parties, :matter, :registry, :office,
        iif(:waits, 6, 1), 1, now + iif(:waits, 0, :lease), now + iif(:waits, 0, :lease), now, now,
        iif(:announced AND NOT :waits, 1, NULL), :waits
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE true
    ON CONFLICT (institution, key) DO UPDATE SET
        (registry, office, state, unsent_attempt, admitted_at, queued, lease_until, due_at) = (
            SELECT iif(unsent, excluded.registry, filing.registry),
                iif(unsent, excluded.office, filing.office),
                iif(unsent, excluded.state, 2),
                iif(unsent AND excluded.unsent_attempt = 1, filing.attempt + 1, NULL),
                iif(unsent, excluded.admitted_at, filing.admitted_at),
                unsent AND excluded.queued,
                iif(unsent, excluded.lease_until, excluded.changed_at + :lease),
                iif(unsent, excluded.due_at, excluded.changed_at + :lease)
            FROM (SELECT filing.state = 4
                OR filing.state = 1 AND filing.unsent_attempt IS filing.attempt AS unsent)),
        attempt = filing.attempt + 1,
        changed_at = excluded.changed_at
    WHERE filing.digest = excluded.digest AND (filing.state = 4
        OR filing.state IN (1, 2) AND NOT filing.queued
            AND filing.lease_until <= excluded.changed_at)
    RETURNING institution, key, registry, office, attempt, state";

const ANNOUNCE: &str = "
    UPDATE filing SET unsent_attempt = NULL, sent_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND attempt = :attempt AND lease_until > now
        AND (state = 1 AND unsent_attempt = attempt OR state = 2 AND sent_at + :quiet <= now)";

/// A filing whose count of events grows tells of it by a trigger (`sqlite/events.rs`).
const SETTLE: &str = "
    UPDATE filing SET state = 3, case_id = :case_id, outcome = :outcome, events = events + 1,
        follow_up_at = now + :follow_up, follow_ups = 0, warned = 0, changed_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND state NOT IN (3, 5)";

const RELEASE: &str = "
    UPDATE filing SET state = 4, lease_until = now, due_at = now, changed_at = now, sent_at = NULL,
        given_up_at = NULL, queued = 0
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND attempt = :attempt AND state IN (1, 2)";

const DEFER: &str = "
    UPDATE filing SET state = 2, lease_until = now, due_at = now + :delay, changed_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND attempt = :attempt AND state IN (1, 2)";

const GIVE_UP: &str = "
    UPDATE filing SET state = 2, lease_until = now, due_at = now + :delay,
        given_up_at = coalesce(given_up_at, now), changed_at = now, queued = 0
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND attempt = :attempt AND state IN (1, 2)
    RETURNING given_up_at = changed_at AS first";

const FIND: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome,
        case_id,
        iif(state = 1 AND unsent_attempt = attempt AND lease_until <= now, iif(queued, 6, 4), state)
            AS state, queued,
        lease_until - now AS lease_left, now - admitted_at AS age
    FROM filing, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key";

/// Beside a `max` SQLite takes the other columns from the row that has it.
const FIND_CASE: &str = "
    SELECT *, max(changed_at), 0 AS lease_left,
        CAST(unixepoch('subsec') * 1000 AS INTEGER) - admitted_at AS age
    FROM filing WHERE institution = :institution AND case_id = :case_id
    GROUP BY registry ORDER BY registry";

const CLAIM_DUE: &str = "
    UPDATE filing SET state = 2, attempt = attempt + 1, lease_until = now + :lease,
        due_at = now + :lease, changed_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE rowid IN (SELECT rowid FROM filing
        WHERE registry = :registry AND state IN (1, 2)
            AND due_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
            AND NOT queued AND (state = 2 OR unsent_attempt IS NOT attempt)
        ORDER BY due_at LIMIT :limit)
    RETURNING institution, key, registry, office, attempt";

/// The states are named twice for the index on what is open to be used.
const UNKNOWN: &str = "
    SELECT count(*) AS count, coalesce(
        CAST(unixepoch('subsec') * 1000 AS INTEGER) - min(admitted_at), 0) AS oldest
    FROM filing WHERE registry = :registry AND state IN (1, 2) AND state = 2";

const TIMES_TAKEN: &str = "
    SELECT admitted_at, outcome FROM filing
    WHERE registry = :registry AND office = :office AND matter = :matter AND state = 3
        AND changed_at > CAST(unixepoch('subsec') * 1000 AS INTEGER) - :within
    ORDER BY changed_at DESC LIMIT :limit";

const RETIRE: &str = "
    UPDATE filing SET state = 5, leaves = x'', parties = NULL, outcome = NULL, follow_up_at = NULL
    WHERE rowid IN (SELECT rowid FROM filing
        WHERE state IN (3, 4) AND follow_up_at IS NULL
            AND changed_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - :age
        ORDER BY changed_at LIMIT :limit)";

const BEAT: &str =
    "UPDATE heartbeat SET written_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE id = 1";

/// What can go wrong besides SQLite.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "the ledger file {} is in use by another process; a SQLite ledger serves one process \
         (several replicas need Postgres)",
        .0.display()
    )]
    InUse(PathBuf),
    #[error("the lock file {} cannot be made or locked", .0.display())]
    Unlockable(PathBuf, #[source] io::Error),
    #[error("{QUEUE_MAX} calls are waiting for the ledger's disk already")]
    QueueFull,
    #[error("the ledger's thread has ended")]
    Stopped,
    #[error("SQLite undid the transaction because of another call's failure")]
    RolledBack,
}

fn cause(error: rusqlite::Error) -> Cause {
    Arc::new(error)
}

fn fault(error: rusqlite::Error) -> LedgerError {
    let damaged = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    );
    let unreadable = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
    );
    if damaged || unreadable {
        LedgerError::corrupt(error)
    } else {
        LedgerError::unavailable(error)
    }
}

#[cfg(test)]
mod tests {
    //! What is SQLite's alone; what every ledger promises is asked in conformance-tests.

    use std::fs::File;

    use tempfile::TempDir;
    use tokio::{sync::oneshot, task::JoinSet};

    use super::{file::embedded, worker::Job, *};
    use crate::ledger::{Fingerprint, books::Booked, cases::Cases, run::Run};

    #[tokio::test]
    async fn a_group_is_one_transaction_and_one_failure_does_not_spoil_it() {
        let (_folder, ledger) = ledger();
        let path = ledger.path.clone();
        let breaks_a_rule = "INSERT INTO heartbeat (id, written_at) VALUES (2, 0)";
        let (first, second) = (claim("first", 1), claim("second", 1));

        let go_on = hold_up(&ledger).await;
        let (first, broken, second, visible, ()) = tokio::join!(
            ledger.admit(&first),
            ledger.writer.run(move |database| write(database, breaks_a_rule, [])),
            ledger.admit(&second),
            ledger.writer.run(move |_| {
                let count = "SELECT count(*) FROM filing";
                open_to_read(&path)?.query_one(count, [], |row| row.get::<_, u32>(0)).map_err(fault)
            }),
            async { drop(go_on) }, // Polled last: by now all of them are waiting.
        );

        assert!(matches!(first, Ok(Admission::New(_))), "{first:?}");
        assert!(matches!(broken, Err(LedgerError::Unavailable(_))), "{broken:?}");
        assert!(matches!(second, Ok(Admission::New(_))), "{second:?}");
        assert_eq!(visible.unwrap(), 0, "to others nothing is there until all of it is");
        assert!(ledger.find("bank", "first").await.unwrap().is_some());
        assert!(ledger.find("bank", "second").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_a_ledger_with_room_again_works() {
        let (_folder, ledger) = ledger();
        let allow = async |pages: u32| {
            let set = move |database: &Connection| {
                database.pragma_update(None, "max_page_count", pages).map_err(fault)
            };
            ledger.writer.run(set).await.unwrap();
        };
        allow(1).await; // No more than there are.
        let full = ledger.admit(&claim("k", 100_000)).await;
        assert!(matches!(full, Err(LedgerError::Unavailable(_))), "{full:?}");
        assert!(ledger.find("bank", "k").await.unwrap().is_none());

        allow(1_000_000).await;
        let admission = ledger.admit(&claim("k", 100_000)).await;
        assert!(matches!(admission, Ok(Admission::New(_))), "{admission:?}");
    }

    #[tokio::test]
    async fn more_calls_than_the_queue_holds_are_refused_at_once() {
        let (_folder, ledger) = ledger();
        let ledger = Arc::new(ledger);
        let go_on = hold_up(&ledger).await;
        let mut calls = JoinSet::new();
        for _ in 0..=QUEUE_MAX {
            let ledger = Arc::clone(&ledger);
            calls.spawn(async move { ledger.ping().await });
        }
        let refused = calls.join_next().await.unwrap().unwrap();
        let Err(LedgerError::Unavailable(cause)) = refused else { panic!("{refused:?}") };
        assert!(cause.to_string().contains("waiting"), "{cause}");

        drop(go_on);
        assert!(calls.join_all().await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_corrupt_not_unavailable() {
        let (_folder, ledger) = ledger();
        ledger.admit(&claim("k", 1)).await.unwrap();
        let damage = "UPDATE filing SET outcome = x'ff', state = 3";
        ledger.writer.run(move |database| write(database, damage, [])).await.unwrap();
        let found = ledger.find("bank", "k").await;
        assert!(matches!(found, Err(LedgerError::Corrupt(_))), "{found:?}");
    }

    #[tokio::test]
    async fn a_file_of_an_older_release_is_brought_up_to_date_with_all_it_holds() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger.db");
        let mut database = Connection::open(&path).unwrap();
        let older = embedded::migrations::runner().set_target(refinery::Target::Version(1));
        older.run(&mut database).unwrap();
        let held = "INSERT INTO filing VALUES ('bank', 'k', zeroblob(32), x'01', 'm', 'province',
            '1401', 3, 1, 5, 5, 'YWH-1', x'', 5, 5)";
        database.execute(held, []).unwrap();
        drop(database);

        let ledger = SqliteLedger::open(&SqliteSettings { path }).unwrap();
        let found = ledger.find_case("bank", "YWH-1").await.unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.key.as_str(), it.state)).collect();
        assert_eq!(found, [("k", State::Settled)]);
        assert!(matches!(
            ledger.admit(&claim("k", 1)).await,
            Ok(Admission::Conflict { earlier }) if earlier.leaves == [1]
        ));
        assert_eq!(ledger.retire(Duration::from_secs(1), 9).await.unwrap(), 1);
    }

    /// And forth again: each finds every guard of the other.
    #[tokio::test]
    async fn the_way_back_to_a_release_whose_guards_mind_no_run_is_as_told() {
        let (folder, ledger) = ledger();
        let guards = vec![Guard::of(&[7; 16]).beside(Run::of("DY-2026-0001"))];
        let earlier = Claim { guards: guards.clone(), ..claim("earlier", 1) };
        ledger.admit(&earlier).await.unwrap();
        drop(ledger);

        let path = folder.path().join("ledger.db");
        let told = include_str!("../../../docs/running.md");
        let (_, told) = told.split_once("```sql\nBEGIN;").unwrap();
        let (told, _) = told.split_once("```").unwrap();
        let database = Connection::open(&path).unwrap();
        database.execute_batch(&format!("BEGIN;{told}")).unwrap();
        let taken = "INSERT INTO guard (institution, digest, key)
            VALUES ('bank', x'07070707070707070707070707070707', 'later')
            ON CONFLICT (institution, digest) DO UPDATE SET key = excluded.key WHERE false";
        assert_eq!(database.execute(taken, []).unwrap(), 0, "it is the earlier filing's");
        drop(database);

        let ledger = SqliteLedger::open(&SqliteSettings { path }).unwrap();
        let admission = ledger.admit(&Claim { guards, ..claim("later", 1) }).await;
        assert!(matches!(admission, Ok(Admission::Duplicate(_))), "{admission:?}");
    }

    /// Its digest minds no run.
    #[tokio::test]
    async fn a_number_that_an_older_release_noted_is_found() {
        let (_folder, ledger) = ledger();
        ledger.admit(&claim("k", 1)).await.unwrap();
        let noted = "INSERT INTO mention (digest, institution, key)
            VALUES (x'33c5c31ed2c24407e0c687b6a5d05759', 'bank', 'k')"; // Of "HT-1".
        ledger.writer.run(move |database| write(database, noted, [])).await.unwrap();
        let called = ledger.called(&["bank".to_owned()], "HT-1 ", 9).await.unwrap();
        assert_eq!(called.len(), 1);
    }

    /// It lies elsewhere, and is as good.
    #[tokio::test]
    async fn a_guard_that_an_older_release_took_holds_until_it_is_lifted() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger.db");
        let mut database = Connection::open(&path).unwrap();
        let older = embedded::migrations::runner().set_target(refinery::Target::Version(15));
        older.run(&mut database).unwrap();
        let held = "INSERT INTO filing (institution, key, digest, leaves, matter, registry, office,
                state, attempt, lease_until, due_at, outcome, admitted_at, changed_at)
            VALUES ('bank', 'earlier', zeroblob(32), x'01', 'm', 'province', '1401', 3, 1, 5, 5, x'',
                5, 5);
            INSERT INTO guard (institution, digest, key) VALUES
                ('bank', x'07070707070707070707070707070707', 'earlier'),
                ('bank', x'08080808080808080808080808080808', 'earlier')";
        database.execute_batch(held).unwrap();
        drop(database);

        let ledger = SqliteLedger::open(&SqliteSettings { path }).unwrap();
        let of = |loans: &[u8]| -> Vec<_> {
            let guard = |loan: &u8| Guard::of(&[*loan; 16]).beside(Run::of("DY-2026-0001"));
            loans.iter().map(guard).collect()
        };
        let later = Claim { guards: of(&[6, 7]), ..claim("later", 1) };
        for _ in 0..2 {
            let admission = ledger.admit(&later).await;
            let Ok(Admission::Duplicate(holder)) = admission else { panic!("{admission:?}") };
            assert_eq!(holder.key, "earlier");
        }
        let holder = ledger.find("bank", "earlier").await.unwrap().unwrap();
        ledger.lift(&holder, &later.guards).await.unwrap();
        let admission = ledger.admit(&later).await;
        assert!(matches!(admission, Ok(Admission::New(_))), "{admission:?}");
        let other = Claim { guards: of(&[8]), ..claim("other", 1) };
        let admission = ledger.admit(&other).await;
        assert!(matches!(admission, Ok(Admission::Duplicate(_))), "{admission:?}");
    }

    /// The file as a process that was killed, or a machine that lost its power, leaves it: what was written last is cut off.
    #[tokio::test]
    async fn a_commit_that_was_cut_off_is_undone_and_those_before_it_stand() {
        let (folder, ledger) = ledger();
        ledger.admit(&claim("before", 1)).await.unwrap();
        ledger.admit(&claim("last", 1)).await.unwrap();
        let left = TempDir::new().unwrap();
        for file in ["ledger.db", "ledger.db-wal"] {
            std::fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
        }
        let log = File::options().write(true).open(left.path().join("ledger.db-wal")).unwrap();
        log.set_len(log.metadata().unwrap().len() - 100).unwrap();

        let settings = SqliteSettings { path: left.path().join("ledger.db") };
        let ledger = SqliteLedger::open(&settings).unwrap();
        let before = ledger.admit(&claim("before", 1)).await;
        assert!(matches!(before, Ok(Admission::InFlight { .. })), "{before:?}");
        let last = ledger.admit(&claim("last", 1)).await;
        assert!(matches!(last, Ok(Admission::New(_))), "{last:?}");
        let sound = |row: &Row<'_>| row.get::<_, String>(0);
        let sound = ledger.writer.run(move |database| {
            database.query_one("PRAGMA integrity_check", [], sound).map_err(fault)
        });
        assert_eq!(sound.await.unwrap(), "ok");
    }

    #[tokio::test]
    async fn every_commit_reaches_the_disk() {
        let (_folder, ledger) = ledger();
        let settings = ledger.writer.run(|database| {
            let setting = |name| {
                let value = |row: &Row<'_>| row.get::<_, rusqlite::types::Value>(0);
                database.pragma_query_value(None, name, value).map_err(fault)
            };
            Ok((setting("journal_mode")?, setting("synchronous")?))
        });
        // The second is FULL, by number.
        assert_eq!(settings.await.unwrap(), (String::from("wal").into(), 2.into()));
    }

    /// Keeps the writer busy, so that what comes now has to wait, until the answer is dropped.
    async fn hold_up(ledger: &SqliteLedger) -> std::sync::mpsc::Sender<()> {
        let (go_on, hold) = std::sync::mpsc::channel();
        let (begun, busy) = oneshot::channel();
        let job: Job = Box::new(move |_| {
            begun.send(()).unwrap();
            let _dropped = hold.recv();
            Box::new(|_| ())
        });
        assert!(ledger.writer.jobs.as_ref().unwrap().try_send(job).is_ok());
        busy.await.unwrap();
        go_on
    }

    fn ledger() -> (TempDir, SqliteLedger) {
        let folder = TempDir::new().unwrap();
        let settings = SqliteSettings { path: folder.path().join("ledger.db") };
        let ledger = SqliteLedger::open(&settings).unwrap();
        (folder, ledger)
    }

    fn claim(key: &str, leaves: usize) -> Claim {
        Claim {
            institution: "bank".into(),
            key: key.into(),
            fingerprint: Fingerprint { digest: [1; 32], leaves: vec![1; leaves] },
            booked: Booked::default(),
            matter: "mortgage_registration".into(),
            registry: "province".into(),
            office: "1401".into(),
            lease: Duration::from_secs(60),
            announced: false,
            guards: Vec::new(),
            corrects: None,
            waiting: None,
        }
    }
}
