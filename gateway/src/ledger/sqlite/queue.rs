//! Filings that wait for their office.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{entry, fault, write};
use crate::ledger::{Claim, Guard, LedgerError, Opening, Sealed, Taken, Waiting, milliseconds};

/// Whether a filing for one of the properties is in the queue.
pub(super) fn is_behind(database: &Connection, properties: &[Guard]) -> Result<bool, LedgerError> {
    let mut statement = database.prepare_cached(IS_BEHIND).map_err(fault)?;
    for property in properties {
        if statement.exists(named_params! { ":digest": property.digest }).map_err(fault)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn enqueue(
    database: &Connection,
    claim: &Claim,
    waiting: &Waiting,
) -> Result<(), LedgerError> {
    let parameters = named_params! {
        ":institution": claim.institution, ":key": claim.key, ":office": claim.office,
        ":seal_key": waiting.sealed.key, ":sealed": waiting.sealed.bytes,
        ":stays": claim.corrects.is_some(),
    };
    write(database, ENQUEUE, parameters)?;
    let position = database.last_insert_rowid();
    for property in &waiting.properties {
        let located = named_params! { ":digest": property.digest, ":position": position };
        write(database, LOCATE, located)?;
    }
    Ok(())
}

pub(super) fn claim_queued(
    database: &Connection,
    opening: &Opening,
) -> Result<Option<Taken>, LedgerError> {
    let mut statement = database.prepare_cached(CLAIM_QUEUED).map_err(fault)?;
    let parameters = named_params! {
        ":office": opening.office, ":registry": opening.registry,
        ":lease": milliseconds(opening.lease),
    };
    let entry = statement.query_row(parameters, entry).optional().map_err(fault)?;
    let Some(entry) = entry else { return Ok(None) };
    let paced = named_params! {
        ":office": opening.office, ":interval": milliseconds(opening.interval),
    };
    write(database, PACE, paced)?;
    let mut statement = database.prepare_cached(SEALED).map_err(fault)?;
    let kept = named_params! { ":institution": entry.institution, ":key": entry.key };
    let taken = statement.query_row(kept, |row| {
        let sealed = Sealed { key: row.get("seal_key")?, bytes: row.get("sealed")? };
        Ok((row.get("ask_first")?, sealed))
    });
    let (ask_first, sealed) = taken.map_err(fault)?;
    Ok(Some(Taken { entry, ask_first, sealed }))
}

const IS_BEHIND: &str = "SELECT 1 FROM queue_property WHERE digest = :digest LIMIT 1";

const ENQUEUE: &str = "
    INSERT INTO queue (institution, key, office, seal_key, sealed, stays)
    VALUES (:institution, :key, :office, :seal_key, :sealed, :stays)";

const LOCATE: &str = "INSERT INTO queue_property (digest, position) VALUES (:digest, :position)";

/// What can be taken out of the queue now, in the order it came, once the office has had its interval. A key that is taken
/// anew leaves its state behind: 1 where nothing was sent, 2 where something may have been.
const CLAIM_QUEUED: &str = "
    UPDATE filing SET (state, attempt, registry, unsent_attempt, admitted_at) = (
            SELECT iif(unsent, 1, 2), filing.attempt + 1,
                iif(unsent AND NOT stays, :registry, filing.registry),
                iif(unsent, filing.attempt + 1, NULL),
                iif(unsent, now, filing.admitted_at)
            FROM (SELECT queue.stays, filing.state = 6
                    OR filing.state = 1 AND filing.unsent_attempt IS filing.attempt AS unsent
                FROM queue
                WHERE queue.institution = filing.institution AND queue.key = filing.key)),
        lease_until = now + :lease, due_at = now + :lease, changed_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE filing.rowid = (SELECT filing.rowid
        FROM queue JOIN filing ON filing.institution = queue.institution
            AND filing.key = queue.key
        WHERE queue.office = :office AND filing.queued AND filing.state IN (1, 2, 6)
            AND filing.due_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
            AND NOT EXISTS (SELECT 1 FROM queue_property AS mine JOIN queue_property AS earlier
                ON earlier.digest = mine.digest AND earlier.position < mine.position
                WHERE mine.position = queue.position)
            AND NOT EXISTS (SELECT 1 FROM queue_pace WHERE office = :office
                AND next_at > CAST(unixepoch('subsec') * 1000 AS INTEGER))
        ORDER BY queue.position LIMIT 1)
    RETURNING institution, key, registry, office, attempt";

const PACE: &str = "
    INSERT INTO queue_pace (office, next_at)
    SELECT :office, now + :interval
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now) WHERE true
    ON CONFLICT (office) DO UPDATE SET
        next_at = max(next_at + :interval, excluded.next_at - :interval)";

const SEALED: &str = "
    SELECT seal_key, sealed, state = 2 AS ask_first
    FROM queue JOIN filing ON filing.institution = queue.institution AND filing.key = queue.key
    WHERE queue.institution = :institution AND queue.key = :key";

pub(super) const REQUEUE: &str = "
    UPDATE filing SET state = 6, lease_until = now, due_at = now + :delay, changed_at = now,
        unsent_attempt = NULL, sent_at = NULL, given_up_at = NULL
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND attempt = :attempt AND queued
        AND state IN (1, 2)";

pub(super) const WITHDRAW_QUEUED: &str = "
    UPDATE filing SET state = 3, outcome = :outcome, events = events + 1, changed_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND queued AND (state = 6
        OR state = 1 AND unsent_attempt = attempt AND lease_until <= now)";

pub(super) const REFUSE_QUEUED: &str = "
    UPDATE filing SET state = 3, outcome = :outcome, events = events + 1, changed_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key AND attempt = :attempt AND queued
        AND state IN (1, 2) AND lease_until > now";

pub(super) const QUEUED: &str = "SELECT office, count(*) AS count FROM queue GROUP BY office";
