//! Claims of keys: those that come at one moment share a statement.

use std::{collections::HashMap, iter, sync::Arc};

use super::{column, entry, is_guarded, patience, server::Server, writer::Together};
use crate::ledger::{Claim, Entry, LedgerError, State, milliseconds};

/// Claims of keys. The answer to one is the right that was taken and the state it left behind; none, if it could not be taken.
pub(super) struct Claims(pub(super) Arc<Server>);

impl Together for Claims {
    type Row = Claim;
    type Answer = Option<(State, Entry)>;

    fn names(claim: &Claim) -> Vec<(&str, &[u8])> {
        let names = iter::once(claim.key.as_bytes());
        let names = names.chain(claim.guards.iter().map(|guard| guard.digest.as_slice()));
        names.map(|name| (claim.institution.as_str(), name)).collect()
    }

    async fn write(&self, claims: &[Claim]) -> Result<Vec<Self::Answer>, LedgerError> {
        fn each<'c, T>(claims: &'c [Claim], of: impl Fn(&'c Claim) -> T) -> Vec<T> {
            claims.iter().map(of).collect()
        }
        let loans: Vec<_> = claims
            .iter()
            .flat_map(|claim| claim.guards.iter().map(move |guard| (claim, guard)))
            .collect();
        let claimed = self
            .0
            .write(
                ADMIT,
                &[
                    &each(claims, |claim| claim.institution.as_str()),
                    &each(claims, |claim| claim.key.as_str()),
                    &each(claims, |claim| claim.fingerprint.digest.as_slice()),
                    &each(claims, |claim| claim.fingerprint.leaves.as_slice()),
                    &each(claims, |claim| claim.matter.as_str()),
                    &each(claims, |claim| claim.registry.as_str()),
                    &each(claims, |claim| claim.office.as_str()),
                    &each(claims, |claim| milliseconds(claim.lease)),
                    &each(claims, |claim| claim.announced),
                    &loans.iter().map(|(claim, _)| claim.institution.as_str()).collect::<Vec<_>>(),
                    &loans.iter().map(|(claim, _)| claim.key.as_str()).collect::<Vec<_>>(),
                    &loans.iter().map(|(_, guard)| guard.digest.as_slice()).collect::<Vec<_>>(),
                    &loans.iter().map(|(claim, _)| claim.corrects.as_deref()).collect::<Vec<_>>(),
                    &patience(claims.len()),
                    &each(claims, |claim| claim.booked.amount_fen),
                    &each(claims, |claim| claim.booked.parties.map(|it| it.0.to_vec())),
                ],
            )
            .await;
        let rows = match claimed {
            Err(error) if claims.len() == 1 && is_guarded(&error) => Vec::new(),
            claimed => claimed?,
        };
        let mut taken = HashMap::new();
        for row in &rows {
            let entry = entry(row)?;
            let name = (entry.institution.clone(), entry.key.clone());
            taken.insert(name, (State::from_number(column(row, "state")?)?, entry));
        }
        let answer = |claim: &Claim| taken.remove(&(claim.institution.clone(), claim.key.clone()));
        Ok(claims.iter().map(answer).collect())
    }
}

/// Takes each key that may be taken, and returns the right to it. Nothing was sent under a released
/// key, nor under one whose announcement is outstanding, so it goes where the claim says; one taken
/// over otherwise goes on where it was begun.
///
/// A new claim takes its guards with it, and is left out if another filing is seen to hold one. One
/// that another takes at the same moment would lose its key, which may not be null: so the whole
/// statement fails, and nothing is claimed. Rows are locked in the same order by everybody.
const ADMIT: &str = "
    WITH claim AS MATERIALIZED (
    SELECT claim.*
    FROM set_config('lock_timeout', coalesce($14, current_setting('lock_timeout')), true),
        unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[],
            $8::bigint[], $9::boolean[], $15::bigint[], $16::bytea[]) AS claim (institution, key,
            digest, leaves, matter, registry, office, lease, announced, amount_fen, parties)
    ORDER BY institution, key),
    loan AS MATERIALIZED (
    SELECT * FROM unnest($10::text[], $11::text[], $12::bytea[], $13::text[])
        AS loan (institution, key, digest, corrects)),
    held AS MATERIALIZED (
    SELECT loan.institution, loan.key
    FROM loan JOIN guard USING (institution, digest)
        JOIN claim ON claim.institution = loan.institution AND claim.key = loan.key
    WHERE guard.key <> loan.key
        AND NOT EXISTS (SELECT FROM filing AS corrected
            WHERE corrected.institution = guard.institution AND corrected.key = guard.key
                AND corrected.case_id = loan.corrects AND corrected.registry = claim.registry)
        AND NOT EXISTS (SELECT FROM filing
            WHERE filing.institution = loan.institution AND filing.key = loan.key AND state <> 4
                AND (state <> 1 OR unsent_attempt IS DISTINCT FROM attempt))),
    claimed AS (
    INSERT INTO filing (institution, key, digest, leaves, amount_fen, parties, matter, registry,
        office, state, attempt, lease_until, due_at, admitted_at, changed_at, unsent_attempt)
    SELECT institution, key, digest, leaves, amount_fen, parties, matter, registry, office, 1, 1,
        now() + lease * interval '1 millisecond', now() + lease * interval '1 millisecond', now(),
        now(), CASE WHEN announced THEN 1 END
    FROM claim WHERE NOT EXISTS (SELECT FROM held
        WHERE held.institution = claim.institution AND held.key = claim.key)
    ON CONFLICT (institution, key) DO UPDATE SET
        (registry, office, state, unsent_attempt, admitted_at) = (
            SELECT CASE WHEN unsent THEN excluded.registry ELSE filing.registry END,
                CASE WHEN unsent THEN excluded.office ELSE filing.office END,
                CASE WHEN unsent THEN 1 ELSE 2 END,
                CASE WHEN unsent AND excluded.unsent_attempt IS NOT NULL THEN filing.attempt + 1 END,
                CASE WHEN unsent THEN excluded.admitted_at ELSE filing.admitted_at END
            FROM (SELECT filing.state = 4
                OR filing.state = 1 AND filing.unsent_attempt = filing.attempt AS unsent) AS taken),
        attempt = filing.attempt + 1,
        lease_until = excluded.lease_until,
        due_at = excluded.due_at,
        queued = false,
        changed_at = excluded.changed_at
    WHERE filing.digest = excluded.digest AND (filing.state = 4
        OR filing.state IN (1, 2) AND NOT filing.queued
            AND filing.lease_until <= excluded.changed_at)
    RETURNING institution, key, registry, office, attempt, state),
    guarded AS (
    INSERT INTO guard (institution, digest, key)
    SELECT loan.institution, loan.digest, loan.key
    FROM claimed JOIN loan USING (institution, key) WHERE claimed.state = 1
    ORDER BY loan.institution, loan.digest
    ON CONFLICT (institution, digest) DO UPDATE SET key = CASE
        WHEN guard.key = excluded.key THEN guard.key
        WHEN EXISTS (SELECT FROM loan JOIN claim USING (institution, key) JOIN filing AS corrected
                ON corrected.institution = guard.institution AND corrected.key = guard.key
            WHERE loan.institution = excluded.institution AND loan.digest = excluded.digest
                AND corrected.case_id = loan.corrects
                AND corrected.registry = claim.registry) THEN excluded.key END,
        before = CASE WHEN guard.key = excluded.key THEN guard.before ELSE guard.key END)
    SELECT institution, key, registry, office, attempt, state FROM claimed";
