//! The books in a SQLite file.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rusqlite::{Connection, Row, named_params};

use super::{Done, SqliteLedger, fault, read_standing, whole, write};
use crate::ledger::{
    LedgerError,
    books::{Asked, Booked, Books, Filed, Finding, KeptFinding, Kind, Parties, Which},
    events::moment,
    milliseconds, since_1970,
};

#[async_trait]
impl Books for SqliteLedger {
    async fn filed(&self, asked: &Asked) -> Result<Vec<Filed>, LedgerError> {
        let asked = asked.clone();
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(FILED).map_err(fault)?;
                let span = named_params! {
                    ":from": since_1970(asked.from), ":until": since_1970(asked.until),
                    ":institution": asked.institution, ":after_institution": asked.after.0,
                    ":after_key": asked.after.1, ":limit": asked.limit,
                };
                filings(statement.query(span).map_err(fault)?)
            })
            .await
    }

    async fn filed_under(
        &self,
        institution: &str,
        key: &str,
    ) -> Result<Option<Filed>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(FILED_UNDER).map_err(fault)?;
                let named = named_params! { ":institution": institution, ":key": key };
                Ok(filings(statement.query(named).map_err(fault)?)?.pop())
            })
            .await
    }

    async fn record_findings(
        &self,
        registry: &str,
        day: &str,
        findings: &[Finding],
    ) -> Result<u64, LedgerError> {
        let (registry, day, findings) = (registry.to_owned(), day.to_owned(), findings.to_vec());
        self.writer
            .run(move |database| {
                whole(database, || {
                    let before = open_ids(database, &registry, &day)?;
                    let of_day = named_params! { ":registry": registry, ":day": day };
                    write(database, CLOSE_OF_DAY, of_day)?;
                    for finding in &findings {
                        record(database, &registry, &day, finding)?;
                    }
                    let now = open_ids(database, &registry, &day)?;
                    let new = now.iter().filter(|id| !before.contains(id)).count();
                    Ok(Done::Keep(u64::try_from(new).unwrap_or(u64::MAX)))
                })
            })
            .await
    }

    async fn findings(&self, which: Which, limit: u32) -> Result<Vec<KeptFinding>, LedgerError> {
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(FINDINGS).map_err(fault)?;
                let asked = named_params! { ":all": which == Which::All, ":limit": limit };
                let mut rows = statement.query(asked).map_err(fault)?;
                let mut findings = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    findings.push(kept(row)?);
                }
                Ok(findings)
            })
            .await
    }

    async fn close_finding(&self, id: i64, note: &str) -> Result<bool, LedgerError> {
        let note = note.to_owned();
        self.writer
            .run(move |database| {
                let closed = named_params! { ":id": id, ":note": note };
                Ok(write(database, CLOSE, closed)? > 0)
            })
            .await
    }

    async fn forget_findings(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        self.writer
            .run(move |database| {
                let old = named_params! { ":age": milliseconds(age), ":limit": limit };
                let forgotten = write(database, FORGET, old)?;
                Ok(u32::try_from(forgotten).unwrap_or(u32::MAX))
            })
            .await
    }

    async fn open_findings(&self) -> Result<Vec<(String, u64)>, LedgerError> {
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(OPEN).map_err(fault)?;
                let counted = statement.query_map([], |row| {
                    let count: i64 = row.get("count")?;
                    Ok((row.get("registry")?, u64::try_from(count).unwrap_or(0)))
                });
                counted.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }
}

fn filings(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Filed>, LedgerError> {
    let mut filings = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        filings.push(Filed {
            record: read_standing(row)?.record,
            at: moment(row.get("admitted_at").map_err(fault)?),
            booked: Booked {
                amount_fen: row.get("amount_fen").map_err(fault)?,
                parties: Parties::stored(row.get("parties").map_err(fault)?)?,
            },
        });
    }
    Ok(filings)
}

fn record(
    database: &Connection,
    registry: &str,
    day: &str,
    finding: &Finding,
) -> Result<(), LedgerError> {
    let found = named_params! {
        ":registry": registry, ":day": day, ":institution": finding.institution,
        ":key": finding.key, ":kind": finding.kind.name(), ":office": finding.office,
        ":case_id": finding.case_id, ":ours": finding.ours, ":theirs": finding.theirs,
    };
    write(database, RECORD, found).map(drop)
}

fn open_ids(database: &Connection, registry: &str, day: &str) -> Result<Vec<i64>, LedgerError> {
    let mut statement = database.prepare_cached(OPEN_IDS).map_err(fault)?;
    let of_day = named_params! { ":registry": registry, ":day": day };
    let ids = statement.query_map(of_day, |row| row.get("id")).map_err(fault)?;
    ids.collect::<Result<_, _>>().map_err(fault)
}

fn kept(row: &Row<'_>) -> Result<KeptFinding, LedgerError> {
    let text = |name: &str| row.get::<_, String>(name).map_err(fault);
    let at = |name: &str| -> Result<Option<SystemTime>, LedgerError> {
        Ok(row.get::<_, Option<i64>>(name).map_err(fault)?.map(moment))
    };
    Ok(KeptFinding {
        id: row.get("id").map_err(fault)?,
        registry: text("registry")?,
        day: text("day")?,
        finding: Finding {
            institution: text("institution")?,
            key: text("key")?,
            kind: Kind::named(&text("kind")?)?,
            office: text("office")?,
            case_id: text("case_id")?,
            ours: text("ours")?,
            theirs: text("theirs")?,
        },
        times: row.get("times").map_err(fault)?,
        first_at: at("first_at")?.unwrap_or(SystemTime::UNIX_EPOCH),
        last_at: at("last_at")?.unwrap_or(SystemTime::UNIX_EPOCH),
        closed_at: at("closed_at")?,
        note: row.get("note").map_err(fault)?,
    })
}

/// A day is found by its own index, however many filings an institution has.
const FILED: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
        iif(state = 1 AND unsent_attempt = attempt AND lease_until <= now, iif(queued, 6, 4), state)
            AS state, queued,
        lease_until - now AS lease_left, now - admitted_at AS age, admitted_at, amount_fen, parties
    FROM filing INDEXED BY filing_admitted,
        (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE admitted_at >= :from AND admitted_at < :until
        AND (:institution IS NULL OR institution = :institution)
        AND (institution, key) > (:after_institution, :after_key)
    ORDER BY institution, key LIMIT :limit";

const FILED_UNDER: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
        iif(state = 1 AND unsent_attempt = attempt AND lease_until <= now, iif(queued, 6, 4), state)
            AS state, queued,
        lease_until - now AS lease_left, now - admitted_at AS age, admitted_at, amount_fen, parties
    FROM filing, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key";

const OPEN_IDS: &str =
    "SELECT id FROM finding WHERE registry = :registry AND day = :day AND closed_at IS NULL";

/// What is found again is opened again in the same transaction.
const CLOSE_OF_DAY: &str = "
    UPDATE finding SET closed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE registry = :registry AND day = :day AND closed_at IS NULL";

/// One that has a note was closed by an operator, who knows of this difference and of no other.
const RECORD: &str = "
    INSERT INTO finding (registry, institution, key, kind, office, day, case_id, ours, theirs,
        times, first_at, last_at)
    SELECT :registry, :institution, :key, :kind, :office, :day, :case_id, :ours, :theirs,
        1, now, now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now) WHERE true
    ON CONFLICT (registry, institution, key, kind) DO UPDATE SET
        (closed_at, note) = (
            SELECT iif(accepted, closed_at, NULL), iif(accepted, note, NULL)
            FROM (SELECT note IS NOT NULL AND ours = excluded.ours AND theirs = excluded.theirs
                AS accepted)),
        office = excluded.office, day = excluded.day, case_id = excluded.case_id,
        ours = excluded.ours, theirs = excluded.theirs, times = times + 1,
        last_at = excluded.last_at";

const FINDINGS: &str = "
    SELECT id, registry, institution, key, kind, office, day, case_id, ours, theirs, times,
        first_at, last_at, closed_at, note
    FROM finding WHERE :all OR closed_at IS NULL ORDER BY id LIMIT :limit";

const CLOSE: &str = "
    UPDATE finding SET closed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), note = :note
    WHERE id = :id AND closed_at IS NULL";

const FORGET: &str = "
    DELETE FROM finding WHERE id IN (
        SELECT id FROM finding
        WHERE closed_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - :age LIMIT :limit)";

const OPEN: &str = "
    SELECT registry, count(*) AS count FROM finding WHERE closed_at IS NULL GROUP BY registry";
