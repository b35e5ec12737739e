//! Guards against filing one loan twice.

use rusqlite::{Connection, named_params};

use super::{Done, fault, standing, whole, write};
use crate::ledger::{Claim, Guard, LedgerError, Record};

/// Whether another filing has one of the claim's guards; or if it is not known yet, since one lay where guards of an older
/// program lie, and has been put where it belongs.
pub(super) fn meets_guards(database: &Connection, claim: &Claim) -> Result<bool, LedgerError> {
    let mut met = false;
    for guard in &claim.guards {
        let place = named_params! {
            ":institution": claim.institution, ":run": guard.run.0, ":digest": guard.digest,
        };
        let mut statement = database.prepare_cached(MET).map_err(fault)?;
        let others = [place, named_params! { ":key": claim.key }].concat();
        if statement.exists(others.as_slice()).map_err(fault)? {
            write(database, PUT_IN_PLACE, place)?;
            met = true;
        }
    }
    Ok(met)
}

/// Takes the guards of a claim, or says which filing holds one of them.
pub(super) fn take_guards(
    database: &Connection,
    claim: &Claim,
) -> Result<Option<Record>, LedgerError> {
    for guard in &claim.guards {
        let taken = named_params! {
            ":institution": claim.institution, ":run": guard.run.0, ":digest": guard.digest,
            ":key": claim.key, ":corrects": claim.corrects, ":registry": claim.registry,
        };
        if write(database, TAKE_GUARD, taken)? == 0 {
            let held = named_params! {
                ":institution": claim.institution, ":run": guard.run.0, ":digest": guard.digest,
            };
            let holder = standing(database, HOLDER, held)?;
            let holder =
                holder.ok_or_else(|| LedgerError::corrupt("a guard without its filing"))?;
            return Ok(Some(holder.record));
        }
    }
    Ok(None)
}

pub(super) fn lift(
    database: &Connection,
    holder: &Record,
    guards: &[Guard],
) -> Result<(), LedgerError> {
    let closed = named_params! {
        ":institution": holder.institution, ":key": holder.key, ":state": holder.state.number(),
    };
    whole(database, || {
        if write(database, CLOSE, closed)? > 0 {
            for guard in guards {
                let held = named_params! {
                    ":institution": holder.institution, ":run": guard.run.0,
                    ":digest": guard.digest, ":key": holder.key,
                };
                if write(database, GIVE_BACK_GUARD, held)? == 0 {
                    write(database, DROP_GUARD, held)?;
                }
            }
        }
        Ok(Done::Keep(()))
    })
}

/// Changes nothing if another filing holds it, unless that is the one that the claim corrects.
const TAKE_GUARD: &str = "
    INSERT INTO guard (institution, run, digest, key) VALUES (:institution, :run, :digest, :key)
    ON CONFLICT (institution, run, digest) DO UPDATE SET key = excluded.key,
        before = iif(guard.key = excluded.key, guard.before, guard.key)
    WHERE guard.key = excluded.key OR EXISTS (SELECT 1 FROM filing
        WHERE institution = guard.institution AND key = guard.key AND case_id = :corrects
            AND registry = :registry)";

const MET: &str = "
    SELECT 1 FROM guard WHERE institution = :institution AND run IN (:run, x'') AND digest = :digest
        AND (key <> :key OR run = x'')";

const PUT_IN_PLACE: &str = "
    UPDATE guard SET run = :run WHERE institution = :institution AND run = x'' AND digest = :digest";

const HOLDER: &str = "
    SELECT filing.institution, filing.key, filing.digest, leaves, matter, registry, office, outcome,
        case_id,
        iif(state = 1 AND unsent_attempt = attempt AND lease_until <= now, iif(queued, 6, 4), state)
            AS state, queued,
        0 AS lease_left, now - admitted_at AS age
    FROM guard, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now) JOIN filing
        ON filing.institution = guard.institution AND filing.key = guard.key
    WHERE guard.institution = :institution AND guard.run = :run AND guard.digest = :digest";

/// One whose announcement is outstanding is released for good: it may not be sent any more.
const CLOSE: &str = "
    UPDATE filing SET state = :state
    WHERE institution = :institution AND key = :key AND (state = :state AND state > 2
        OR :state = 4 AND state = 1 AND NOT queued AND unsent_attempt = attempt
            AND lease_until <= CAST(unixepoch('subsec') * 1000 AS INTEGER))";

/// To the filing that it corrects.
const GIVE_BACK_GUARD: &str = "
    UPDATE guard SET key = before, before = NULL
    WHERE institution = :institution AND run = :run AND digest = :digest AND key = :key
        AND before IS NOT NULL";

const DROP_GUARD: &str = "
    DELETE FROM guard
    WHERE institution = :institution AND run = :run AND digest = :digest AND key = :key";
