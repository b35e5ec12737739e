//! The ledger in Postgres: for several replicas that share the work, with no leader among them.
//!
//! Each verb is one statement that stands by itself; none holds a transaction open while anything
//! else happens. Claims that come at one moment share a statement, and so do answers and leaves: with them its
//! price and its sync (`postgres/writer.rs`). Every time is the server's. Source: postgresql.org, "INSERT", "SELECT" (locking
//! clause) and "Transaction Isolation".

mod answers;
mod books;
mod cases;
mod claims;
mod events;
mod evidence;
mod notices;
mod server;
mod writer;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use answers::{Answered, Answers, Ended};
use async_trait::async_trait;
use claims::Claims;
use events::{REFUSE_QUEUED, WITHDRAW_QUEUED};
use prost::Message;
use proto::v1::Outcome;
use server::{Server, pool};
use tokio_postgres::{
    Row,
    error::SqlState,
    types::{FromSql, ToSql},
};
use writer::Writer;

use super::{
    Admission, CLAIM_TRIES, Claim, Entry, Fingerprint, Guard, Ledger, LedgerError, Opening,
    PastCases, RETRY_AFTER_MIN, Record, Sealed, Standing, State, TEN_YEARS_MS, Taken, Unknown,
    length, milliseconds, read_outcome, taken, time_taken,
};

/// Which server, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgresql://user@host:port/database`, or `host=… user=… dbname=…`; without the password.
    /// Without `tls` the host must be a loopback address or a socket's folder.
    /// Of several hosts the first that can be written to is used.
    pub url: String,
    /// File that holds the password, and at most a line break after it. `None`: none is sent.
    pub password_file: Option<PathBuf>,
    /// How the connection is encrypted. `None`: it is not.
    pub tls: Option<PostgresTls>,
    /// Connections at most.
    pub pool_size_max: usize,
    /// How long to wait for a free connection, and as long again for a new one.
    pub wait: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

/// TLS to the server, which must then speak it: there is no falling back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresTls {
    /// PEM file: the authorities the server's certificate may be issued by; it must also hold the host's name.
    pub ca: PathBuf,
    /// PEM files: a certificate with its chain and its private key, for a server that asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The ledger in Postgres.
pub(super) struct PostgresLedger {
    server: Arc<Server>,
    claims: Writer<Claims>,
    answers: Writer<Answers>,
}

impl PostgresLedger {
    /// Connects, and brings the tables up to date; of several replicas that do so at once, one does
    /// and the others wait for it.
    pub(super) async fn open(settings: &PostgresSettings) -> Result<PostgresLedger, LedgerError> {
        let ledger = Self::open_to_read(settings)?;
        ledger.server.migrate().await?;
        Ok(ledger)
    }

    /// Leaves the tables as they are. Inside a runtime; connects once it is asked something.
    pub(super) fn open_to_read(settings: &PostgresSettings) -> Result<PostgresLedger, LedgerError> {
        let server = Arc::new(Server {
            pool: pool(settings)?,
            silence_max: settings.statement_timeout.saturating_add(Duration::from_secs(1)),
            commits: AtomicU64::new(0),
        });
        Ok(PostgresLedger {
            claims: Writer::start(Claims(Arc::clone(&server))),
            answers: Writer::start(Answers(Arc::clone(&server))),
            server,
        })
    }
}

/// How long a statement may wait for somebody's lock: one row waits as long as a statement may take; where others are in the
/// same statement, not for long (`postgres/writer.rs` then writes each by itself).
fn patience(rows: usize) -> Option<&'static str> {
    (rows > 1).then_some("200ms")
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the pool: it would print the configuration.
        f.debug_struct("PostgresLedger")
            .field("status", &self.server.pool.status())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn admit(&self, claim: &Claim) -> Result<Admission, LedgerError> {
        for _ in 0..CLAIM_TRIES {
            let claimed = match claim.waiting {
                Some(_) => self.claim_waiting(claim).await?,
                None => self.claims.run(claim.clone()).await?,
            };
            if let Some((state, entry)) = claimed {
                return taken(state, entry);
            }
            let mine: [&(dyn ToSql + Sync); 2] = [&claim.institution, &claim.key];
            let standing = self.server.standing(FIND, &mine).await?;
            let unused = standing.as_ref().is_none_or(|it| it.record.state == State::Released);
            if let Some(standing) = standing
                && let Some(admission) = standing.admission(claim)?
            {
                return Ok(admission);
            }
            if unused && let Some(holder) = self.holder(claim).await? {
                return Ok(Admission::Duplicate(holder));
            }
        }
        Ok(Admission::InFlight { retry_after: RETRY_AFTER_MIN })
    }

    async fn announce(&self, entry: &Entry, quiet: Duration) -> Result<bool, LedgerError> {
        let quiet = milliseconds(quiet);
        let announced = self
            .server
            .write(ANNOUNCE, &[&entry.institution, &entry.key, &entry.attempt, &quiet])
            .await?;
        Ok(!announced.is_empty())
    }

    async fn lift(&self, holder: &Record, guards: &[Guard]) -> Result<(), LedgerError> {
        let (guards, state) = (bytes(guards), holder.state.number());
        self.server
            .write(LIFT, &[&holder.institution, &holder.key, &guards, &state])
            .await
            .map(drop)
    }

    async fn settle(
        &self,
        entry: &Entry,
        outcome: &Outcome,
        follow_up: Option<Duration>,
    ) -> Result<(), LedgerError> {
        let answered = Some(Answered::of(entry, outcome, follow_up));
        let recorded = self.answers.run(Ended { answered, leaf: None }).await?;
        self.was_claimed(entry, recorded).await
    }

    async fn mark_unknown(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.defer(entry, Duration::ZERO).await
    }

    async fn release(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.server
            .write(RELEASE, &[&entry.institution, &entry.key, &entry.attempt])
            .await
            .map(drop)
    }

    async fn find(&self, institution: &str, key: &str) -> Result<Option<Record>, LedgerError> {
        Ok(self.server.standing(FIND, &[&institution, &key]).await?.map(|standing| standing.record))
    }

    async fn asked(
        &self,
        institution: &str,
        key: &str,
    ) -> Result<Option<Fingerprint>, LedgerError> {
        Ok(self.server.standing(FIND, &[&institution, &key]).await?.and_then(Standing::fingerprint))
    }

    async fn find_case(
        &self,
        institution: &str,
        case_id: &str,
    ) -> Result<Vec<Record>, LedgerError> {
        let rows = self.server.query(FIND_CASE, &[&institution, &case_id]).await?;
        rows.iter().map(|row| Ok(standing(row)?.record)).collect()
    }

    async fn claim_due(
        &self,
        registry: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Entry>, LedgerError> {
        let rows = self
            .server
            .write(CLAIM_DUE, &[&registry, &i64::from(limit), &milliseconds(lease)])
            .await?;
        rows.iter().map(entry).collect()
    }

    async fn defer(&self, entry: &Entry, delay: Duration) -> Result<(), LedgerError> {
        let delay = milliseconds(delay);
        self.server
            .write(DEFER, &[&entry.institution, &entry.key, &entry.attempt, &delay])
            .await
            .map(drop)
    }

    async fn give_up(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&entry.institution, &entry.key, &entry.attempt, &TEN_YEARS_MS];
        let rows = self.server.write(GIVE_UP, &parameters).await?;
        Ok(rows.first().map(|row| column(row, "first")).transpose()?.unwrap_or(false))
    }

    async fn unknown(&self, registry: &str) -> Result<Unknown, LedgerError> {
        let rows = self.server.query(UNKNOWN, &[&registry]).await?;
        let counted =
            rows.first().map(|row| Ok(Unknown::of(column(row, "count")?, column(row, "oldest")?)));
        counted.transpose().map(Option::unwrap_or_default)
    }

    async fn times_taken(&self, past: &PastCases) -> Result<Vec<Duration>, LedgerError> {
        let PastCases { registry, office, matter, within, limit } = past;
        let (within, limit) = (milliseconds(*within), i64::from(*limit));
        let parameters: [&(dyn ToSql + Sync); 5] = [registry, office, matter, &within, &limit];
        let rows = self.server.query(TIMES_TAKEN, &parameters).await?;
        let taken = rows.iter().map(|row| {
            let outcome: &[u8] = column(row, "outcome")?;
            Ok(time_taken(column(row, "admitted")?, outcome))
        });
        taken.filter_map(Result::transpose).collect()
    }

    async fn retire(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        let retired = self.server.write(RETIRE, &[&milliseconds(age), &i64::from(limit)]).await?;
        Ok(u32::try_from(retired.len()).unwrap_or(u32::MAX))
    }

    async fn claim_queued(&self, opening: &Opening) -> Result<Option<Taken>, LedgerError> {
        let Opening { office, registry, lease, interval } = opening;
        let (lease, interval) = (milliseconds(*lease), milliseconds(*interval));
        let parameters: [&(dyn ToSql + Sync); 4] = [office, registry, &lease, &interval];
        let rows = self.server.write(CLAIM_QUEUED, &parameters).await?;
        let taken = rows.first().map(|row| {
            let sealed = Sealed { key: column(row, "seal_key")?, bytes: column(row, "sealed")? };
            Ok(Taken { entry: entry(row)?, ask_first: column(row, "ask_first")?, sealed })
        });
        taken.transpose()
    }

    async fn requeue(&self, entry: &Entry, delay: Duration) -> Result<(), LedgerError> {
        let delay = milliseconds(delay);
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&entry.institution, &entry.key, &entry.attempt, &delay];
        self.server.write(REQUEUE, &parameters).await.map(drop)
    }

    async fn refuse(&self, entry: &Entry, refusal: &Outcome) -> Result<bool, LedgerError> {
        let refusal = refusal.encode_to_vec();
        let own: [&(dyn ToSql + Sync); 4] =
            [&entry.institution, &entry.key, &refusal, &entry.attempt];
        Ok(!self.server.write(REFUSE_QUEUED, &own).await?.is_empty())
    }

    async fn withdraw_queued(
        &self,
        institution: &str,
        key: &str,
        outcome: &Outcome,
    ) -> Result<bool, LedgerError> {
        let bytes = outcome.encode_to_vec();
        let withdrawn = self.server.write(WITHDRAW_QUEUED, &[&institution, &key, &bytes]).await?;
        Ok(!withdrawn.is_empty())
    }

    async fn queued(&self) -> Result<Vec<(String, u64)>, LedgerError> {
        let rows = self.server.query(QUEUED, &[]).await?;
        let counted = |row: &Row| {
            let count: i64 = column(row, "count")?;
            Ok((column(row, "office")?, u64::try_from(count).unwrap_or(0)))
        };
        rows.iter().map(counted).collect()
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.server.write(BEAT, &[]).await.map(drop)
    }

    fn system(&self) -> &'static str {
        "postgresql"
    }

    fn commits(&self) -> u64 {
        self.server.commits.load(Ordering::Relaxed)
    }
}

impl PostgresLedger {
    /// What was answered and is not recorded was recorded before, or the filing was never claimed.
    async fn was_claimed(&self, entry: &Entry, recorded: bool) -> Result<(), LedgerError> {
        if !recorded && self.find(&entry.institution, &entry.key).await?.is_none() {
            return Err(LedgerError::corrupt("an answered filing was never claimed"));
        }
        Ok(())
    }

    /// Claims a key for a filing that may have to wait for its office to open.
    async fn claim_waiting(&self, claim: &Claim) -> Result<Option<(State, Entry)>, LedgerError> {
        let guards = bytes(&claim.guards);
        let waiting = claim.waiting.as_ref();
        let closed = waiting.is_some_and(|waiting| waiting.closed);
        let properties = waiting.map(|waiting| bytes(&waiting.properties)).unwrap_or_default();
        let seal_key = waiting.map(|waiting| waiting.sealed.key.as_str());
        let sealed = waiting.map(|waiting| waiting.sealed.bytes.as_slice());
        let parties = claim.booked.parties.map(|it| it.0.to_vec());
        let claimed = self
            .server
            .write(
                ADMIT_WAITING,
                &[
                    &claim.institution,
                    &claim.key,
                    &claim.fingerprint.digest.as_slice(),
                    &claim.fingerprint.leaves,
                    &claim.matter,
                    &claim.registry,
                    &claim.office,
                    &milliseconds(claim.lease),
                    &claim.announced,
                    &guards,
                    &claim.corrects,
                    &closed,
                    &properties,
                    &seal_key,
                    &sealed,
                    &claim.booked.amount_fen,
                    &parties,
                ],
            )
            .await;
        let rows = match claimed {
            Err(error) if is_guarded(&error) => Vec::new(),
            claimed => claimed?,
        };
        let taken = |row: &Row| Ok((State::from_number(column(row, "state")?)?, entry(row)?));
        rows.first().map(taken).transpose()
    }

    /// A filing of another key that holds one of the claim's guards, but for the one that it corrects.
    async fn holder(&self, claim: &Claim) -> Result<Option<Record>, LedgerError> {
        if claim.guards.is_empty() {
            return Ok(None);
        }
        let guards = bytes(&claim.guards);
        let mine: [&(dyn ToSql + Sync); 5] =
            [&claim.institution, &guards, &claim.key, &claim.corrects, &claim.registry];
        let holder = self.server.standing(HOLDER, &mine).await?;
        Ok(holder.map(|holder| holder.record))
    }
}

fn bytes(guards: &[Guard]) -> Vec<&[u8]> {
    guards.iter().map(|guard| guard.digest.as_slice()).collect()
}

/// Whether a claim failed because another filing holds one of its guards: see [`ADMIT`].
fn is_guarded(error: &LedgerError) -> bool {
    let (LedgerError::Unavailable(cause) | LedgerError::Corrupt(cause)) = error;
    let database = cause.downcast_ref::<tokio_postgres::Error>().and_then(|it| it.as_db_error());
    database
        .is_some_and(|it| *it.code() == SqlState::NOT_NULL_VIOLATION && it.table() == Some("guard"))
}

fn entry(row: &Row) -> Result<Entry, LedgerError> {
    Ok(Entry {
        institution: column(row, "institution")?,
        key: column(row, "key")?,
        registry: column(row, "registry")?,
        office: column(row, "office")?,
        attempt: column(row, "attempt")?,
    })
}

fn standing(row: &Row) -> Result<Standing, LedgerError> {
    Ok(Standing {
        digest: column(row, "digest")?,
        leaves: column(row, "leaves")?,
        lease_left_ms: column(row, "lease_left")?,
        queued: column(row, "queued")?,
        record: Record {
            institution: column(row, "institution")?,
            key: column(row, "key")?,
            matter: column(row, "matter")?,
            registry: column(row, "registry")?,
            office: column(row, "office")?,
            state: State::from_number(column(row, "state")?)?,
            outcome: read_outcome(column(row, "outcome")?, column(row, "case_id")?)?,
            age: length(column(row, "age")?),
        },
    })
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, LedgerError> {
    row.try_get(name).map_err(LedgerError::corrupt)
}

// `now()` is when the statement reached the server. One that then waits for a row knows the time a
// little too early: a lease seems to run on, and is never taken too soon. States are numbered as
// `State::number` says. Columns are named one by one: under `*`, a prepared statement would fail
// once a newer replica has added a column.

// `unsent_attempt` counts only while it is the present attempt: an older replica, which does not
// know the column, takes a key with an attempt of its own and leaves none.

/// As `claims::ADMIT`, for one claim that may have to wait for an office to open: it waits while the office is closed, and behind
/// what waits for one of its properties.
const ADMIT_WAITING: &str = "
    WITH claimed AS (
    INSERT INTO filing (institution, key, digest, leaves, amount_fen, parties, matter, registry,
        office, state, attempt, lease_until, due_at, admitted_at, changed_at, unsent_attempt, queued)
    SELECT $1, $2, $3::bytea, $4::bytea, $16::bigint, $17::bytea, $5, $6, $7,
        (CASE WHEN waits THEN 6 ELSE 1 END)::smallint, 1,
        CASE WHEN waits THEN now() ELSE now() + $8::bigint * interval '1 millisecond' END,
        CASE WHEN waits THEN now() ELSE now() + $8::bigint * interval '1 millisecond' END,
        now(), now(), CASE WHEN $9::boolean AND NOT waits THEN 1 END, waits
    FROM (SELECT $12::boolean OR EXISTS (SELECT FROM queue_property
        WHERE digest = ANY ($13::bytea[])) AS waits) AS waiting
    ON CONFLICT (institution, key) DO UPDATE SET
        (registry, office, state, unsent_attempt, admitted_at, queued, lease_until, due_at) = (
            SELECT CASE WHEN unsent THEN excluded.registry ELSE filing.registry END,
                CASE WHEN unsent THEN excluded.office ELSE filing.office END,
                CASE WHEN unsent THEN excluded.state ELSE 2 END,
                CASE WHEN unsent AND excluded.unsent_attempt = 1 THEN filing.attempt + 1 END,
                CASE WHEN unsent THEN excluded.admitted_at ELSE filing.admitted_at END,
                unsent AND excluded.queued,
                CASE WHEN unsent THEN excluded.lease_until ELSE leased END,
                CASE WHEN unsent THEN excluded.due_at ELSE leased END
            FROM (SELECT coalesce(filing.state = 4
                    OR filing.state = 1 AND filing.unsent_attempt = filing.attempt, false) AS unsent,
                now() + $8::bigint * interval '1 millisecond' AS leased) AS taken),
        attempt = filing.attempt + 1,
        changed_at = excluded.changed_at
    WHERE filing.digest = excluded.digest AND (filing.state = 4
        OR filing.state IN (1, 2) AND NOT filing.queued
            AND filing.lease_until <= excluded.changed_at)
    RETURNING institution, key, registry, office, attempt, state),
    guarded AS (
    INSERT INTO guard (institution, digest, key)
    SELECT claimed.institution, digest, claimed.key
    FROM claimed, unnest($10::bytea[]) AS digest WHERE claimed.state IN (1, 6)
    ON CONFLICT (institution, digest) DO UPDATE SET key = CASE
        WHEN guard.key = excluded.key THEN guard.key
        WHEN EXISTS (SELECT FROM filing AS corrected
            WHERE corrected.institution = guard.institution AND corrected.key = guard.key
                AND corrected.case_id = $11 AND corrected.registry = $6) THEN excluded.key END,
        before = CASE WHEN guard.key = excluded.key THEN guard.before ELSE guard.key END),
    placed AS (
    INSERT INTO queue (institution, key, office, seal_key, sealed, stays)
    SELECT institution, key, office, $14::text, $15::bytea, $11::text IS NOT NULL
    FROM claimed WHERE state = 6
    RETURNING position),
    located AS (
    INSERT INTO queue_property (digest, position)
    SELECT digest, position FROM placed, unnest($13::bytea[]) AS digest)
    SELECT institution, key, registry, office, attempt, state FROM claimed";

/// What can be taken out of the queue now, in the order it came; of several takers each passes over what another is just
/// taking, and none sends before the office has had its interval.
const CLAIM_QUEUED: &str = "
    WITH known AS (
        INSERT INTO queue_pace (office, next_at) VALUES ($1, now()) ON CONFLICT DO NOTHING),
    pace AS MATERIALIZED (
        SELECT office FROM queue_pace WHERE office = $1 AND next_at <= now()
        FOR UPDATE SKIP LOCKED),
    next AS MATERIALIZED (
        SELECT filing.institution, filing.key, queue.seal_key, queue.sealed, queue.stays,
            coalesce(filing.state = 6
                OR filing.state = 1 AND filing.unsent_attempt = filing.attempt, false) AS unsent
        FROM pace JOIN queue ON queue.office = pace.office
            JOIN filing ON filing.institution = queue.institution AND filing.key = queue.key
        WHERE filing.queued AND filing.state IN (1, 2, 6) AND filing.due_at <= now()
            AND NOT EXISTS (SELECT FROM queue_property AS mine JOIN queue_property AS earlier
                ON earlier.digest = mine.digest AND earlier.position < mine.position
                WHERE mine.position = queue.position)
        ORDER BY queue.position LIMIT 1
        FOR UPDATE OF filing SKIP LOCKED),
    paced AS (
        UPDATE queue_pace SET
            next_at = greatest(next_at + $4::bigint * interval '1 millisecond', now())
        FROM next WHERE queue_pace.office = $1)
    UPDATE filing SET state = CASE WHEN unsent THEN 1 ELSE 2 END, attempt = filing.attempt + 1,
        registry = CASE WHEN unsent AND NOT stays THEN $2 ELSE filing.registry END,
        unsent_attempt = CASE WHEN unsent THEN filing.attempt + 1 END,
        admitted_at = CASE WHEN unsent THEN now() ELSE filing.admitted_at END,
        lease_until = now() + $3::bigint * interval '1 millisecond',
        due_at = now() + $3::bigint * interval '1 millisecond', changed_at = now()
    FROM next WHERE filing.institution = next.institution AND filing.key = next.key
    RETURNING filing.institution, filing.key, filing.registry, filing.office, filing.attempt,
        NOT unsent AS ask_first, next.seal_key, next.sealed";

const REQUEUE: &str = "
    UPDATE filing SET state = 6, lease_until = now(),
        due_at = now() + $4::bigint * interval '1 millisecond', changed_at = now(),
        unsent_attempt = NULL, sent_at = NULL, given_up_at = NULL
    WHERE institution = $1 AND key = $2 AND attempt = $3 AND queued AND state IN (1, 2)";

const QUEUED: &str = "SELECT office, count(*) AS count FROM queue GROUP BY office";

/// A filing of another key that holds one of the guards, but for the one that is corrected.
const HOLDER: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
        CASE WHEN state = 1 AND unsent_attempt = attempt AND lease_until <= now()
            THEN (CASE WHEN queued THEN 6 ELSE 4 END)::smallint ELSE state END AS state, queued,
        0::bigint AS lease_left,
        (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age
    FROM filing WHERE institution = $1 AND key <> $3
        AND (case_id = $4 AND registry = $5) IS NOT TRUE AND key IN (
        SELECT key FROM guard WHERE institution = $1 AND digest = ANY ($2::bytea[]))
    LIMIT 1";

/// Whoever holds the filing's row may not have it sent meanwhile: one whose announcement is
/// outstanding is released for good. What it corrects has its guards again.
const LIFT: &str = "
    WITH holder AS (
        UPDATE filing SET state = $4
        WHERE institution = $1 AND key = $2 AND (state = $4 AND state > 2
            OR $4 = 4 AND state = 1 AND NOT queued AND unsent_attempt = attempt
                AND lease_until <= now())
        RETURNING key),
    given_back AS (
        UPDATE guard SET key = before, before = NULL FROM holder
        WHERE guard.institution = $1 AND guard.digest = ANY ($3::bytea[])
            AND guard.key = holder.key AND before IS NOT NULL)
    DELETE FROM guard USING holder
    WHERE guard.institution = $1 AND guard.digest = ANY ($3::bytea[]) AND guard.key = holder.key
        AND before IS NULL";

const ANNOUNCE: &str = "
    UPDATE filing SET unsent_attempt = NULL, sent_at = now()
    WHERE institution = $1 AND key = $2 AND attempt = $3 AND lease_until > now()
        AND (state = 1 AND unsent_attempt = attempt
            OR state = 2 AND sent_at + $4::bigint * interval '1 millisecond' <= now())
    RETURNING key";

const RELEASE: &str = "
    UPDATE filing SET state = 4, lease_until = now(), due_at = now(), changed_at = now(),
        sent_at = NULL, given_up_at = NULL, queued = false
    WHERE institution = $1 AND key = $2 AND attempt = $3 AND state IN (1, 2)";

const DEFER: &str = "
    UPDATE filing SET state = 2, lease_until = now(),
        due_at = now() + $4::bigint * interval '1 millisecond', changed_at = now()
    WHERE institution = $1 AND key = $2 AND attempt = $3 AND state IN (1, 2)";

const GIVE_UP: &str = "
    UPDATE filing SET state = 2, lease_until = now(),
        due_at = now() + $4::bigint * interval '1 millisecond',
        given_up_at = coalesce(given_up_at, now()), changed_at = now(), queued = false
    WHERE institution = $1 AND key = $2 AND attempt = $3 AND state IN (1, 2)
    RETURNING given_up_at = changed_at AS first";

const FIND: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
        CASE WHEN state = 1 AND unsent_attempt = attempt AND lease_until <= now()
            THEN (CASE WHEN queued THEN 6 ELSE 4 END)::smallint ELSE state END AS state, queued,
        (extract(epoch FROM lease_until - now()) * 1000)::bigint AS lease_left,
        (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age
    FROM filing WHERE institution = $1 AND key = $2";

const FIND_CASE: &str = "
    SELECT DISTINCT ON (registry) institution, key, digest, leaves, matter, registry, office, state, queued, outcome,
        case_id,
        0::bigint AS lease_left,
        (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age
    FROM filing WHERE institution = $1 AND case_id = $2
    ORDER BY registry, changed_at DESC";

/// Rows that another is just taking are skipped, not waited for.
const CLAIM_DUE: &str = "
    WITH due AS MATERIALIZED (
        SELECT institution, key FROM filing
        WHERE registry = $1 AND state IN (1, 2) AND due_at <= now()
            AND NOT queued AND (state = 2 OR unsent_attempt IS DISTINCT FROM attempt)
        ORDER BY due_at LIMIT $2
        FOR UPDATE SKIP LOCKED)
    UPDATE filing SET state = 2, attempt = filing.attempt + 1,
        lease_until = now() + $3::bigint * interval '1 millisecond',
        due_at = now() + $3::bigint * interval '1 millisecond', changed_at = now()
    FROM due WHERE filing.institution = due.institution AND filing.key = due.key
    RETURNING filing.institution, filing.key, filing.registry, filing.office, filing.attempt";

const UNKNOWN: &str = "
    SELECT count(*) AS count,
        coalesce((extract(epoch FROM now() - min(admitted_at)) * 1000)::bigint, 0) AS oldest
    FROM filing WHERE registry = $1 AND state IN (1, 2) AND state = 2";

const TIMES_TAKEN: &str = "
    SELECT (extract(epoch FROM admitted_at) * 1000)::bigint AS admitted, outcome
    FROM filing
    WHERE registry = $1 AND office = $2 AND matter = $3 AND state = 3
        AND changed_at > now() - $4::bigint * interval '1 millisecond'
    ORDER BY changed_at DESC LIMIT $5";

const RETIRE: &str = "
    WITH old AS MATERIALIZED (
        SELECT institution, key FROM filing
        WHERE state IN (3, 4) AND follow_up_at IS NULL AND changed_at < now() - $1::bigint * interval '1 millisecond'
        ORDER BY changed_at LIMIT $2
        FOR UPDATE SKIP LOCKED)
    UPDATE filing SET state = 5, leaves = '', parties = NULL, outcome = NULL, follow_up_at = NULL
    FROM old WHERE filing.institution = old.institution AND filing.key = old.key
    RETURNING filing.key";

const BEAT: &str = "UPDATE heartbeat SET written_at = now() WHERE id = 1";

/// What can go wrong besides Postgres.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "the ledger's server {0} is on a network and would be talked to unencrypted: name the \
         authorities of its certificate in `tls_ca`"
    )]
    Unencrypted(String),
    #[error("the ledger's password file {} cannot be read", .0.display())]
    PasswordUnreadable(PathBuf, #[source] io::Error),
    #[error("the ledger's server did not answer within {0:?}")]
    Silent(Duration),
    #[error("a case changed each time it was judged")]
    Contended,
}

fn fault(cause: tokio_postgres::Error) -> LedgerError {
    match cause.code() {
        Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => LedgerError::corrupt(cause),
        _ => LedgerError::unavailable(cause),
    }
}
