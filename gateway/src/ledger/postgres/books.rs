//! The books in Postgres.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio_postgres::{Row, types::ToSql};

use super::{PostgresLedger, column, standing};
use crate::ledger::{
    LedgerError,
    books::{Asked, Booked, Books, Filed, Finding, KeptFinding, Kind, Parties, Which},
    milliseconds,
};

#[async_trait]
impl Books for PostgresLedger {
    async fn filed(&self, asked: &Asked) -> Result<Vec<Filed>, LedgerError> {
        let Asked { from, until, institution, after, limit } = asked;
        let limit = i64::from(*limit);
        let span: [&(dyn ToSql + Sync); 6] = [from, until, institution, &after.0, &after.1, &limit];
        self.server.query(FILED, &span).await?.iter().map(filing).collect()
    }

    async fn filed_under(
        &self,
        institution: &str,
        key: &str,
    ) -> Result<Option<Filed>, LedgerError> {
        let rows = self.server.query(FILED_UNDER, &[&institution, &key]).await?;
        rows.first().map(filing).transpose()
    }

    async fn record_findings(
        &self,
        registry: &str,
        day: &str,
        findings: &[Finding],
    ) -> Result<u64, LedgerError> {
        let each = |of: fn(&Finding) -> &str| findings.iter().map(of).collect::<Vec<_>>();
        let found: [&(dyn ToSql + Sync); 9] = [
            &registry,
            &day,
            &each(|it| &it.institution),
            &each(|it| &it.key),
            &each(|it| it.kind.name()),
            &each(|it| &it.office),
            &each(|it| &it.case_id),
            &each(|it| &it.ours),
            &each(|it| &it.theirs),
        ];
        let rows = self.server.write(RECORD, &found).await?;
        let new: i64 = rows.first().map(|row| column(row, "new")).transpose()?.unwrap_or(0);
        Ok(u64::try_from(new).unwrap_or(0))
    }

    async fn findings(&self, which: Which, limit: u32) -> Result<Vec<KeptFinding>, LedgerError> {
        let (all, limit) = (which == Which::All, i64::from(limit));
        self.server.query(FINDINGS, &[&all, &limit]).await?.iter().map(kept).collect()
    }

    async fn close_finding(&self, id: i64, note: &str) -> Result<bool, LedgerError> {
        Ok(!self.server.write(CLOSE, &[&id, &note]).await?.is_empty())
    }

    async fn forget_findings(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        let forgotten = self.server.write(FORGET, &[&milliseconds(age), &i64::from(limit)]).await?;
        Ok(u32::try_from(forgotten.len()).unwrap_or(u32::MAX))
    }

    async fn open_findings(&self) -> Result<Vec<(String, u64)>, LedgerError> {
        let rows = self.server.query(OPEN, &[]).await?;
        let counted = |row: &Row| {
            let count: i64 = column(row, "count")?;
            Ok((column(row, "registry")?, u64::try_from(count).unwrap_or(0)))
        };
        rows.iter().map(counted).collect()
    }
}

fn filing(row: &Row) -> Result<Filed, LedgerError> {
    Ok(Filed {
        record: standing(row)?.record,
        at: column(row, "admitted_at")?,
        booked: Booked {
            amount_fen: column(row, "amount_fen")?,
            parties: Parties::stored(column(row, "parties")?)?,
        },
    })
}

fn kept(row: &Row) -> Result<KeptFinding, LedgerError> {
    let text = |name: &str| column::<String>(row, name);
    Ok(KeptFinding {
        id: column(row, "id")?,
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
        times: column(row, "times")?,
        first_at: column::<SystemTime>(row, "first_at")?,
        last_at: column::<SystemTime>(row, "last_at")?,
        closed_at: column(row, "closed_at")?,
        note: column(row, "note")?,
    })
}

/// Order is that of bytes, whatever the database's language.
const FILED: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
        CASE WHEN state = 1 AND unsent_attempt = attempt AND lease_until <= now()
            THEN (CASE WHEN queued THEN 6 ELSE 4 END)::smallint ELSE state END AS state, queued,
        (extract(epoch FROM lease_until - now()) * 1000)::bigint AS lease_left,
        (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age,
        admitted_at, amount_fen, parties
    FROM filing
    WHERE admitted_at >= $1 AND admitted_at < $2
        AND ($3::text IS NULL OR institution = $3)
        AND (institution COLLATE \"C\", key COLLATE \"C\") > ($4::text, $5::text)
    ORDER BY institution COLLATE \"C\", key COLLATE \"C\" LIMIT $6";

const FILED_UNDER: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
        CASE WHEN state = 1 AND unsent_attempt = attempt AND lease_until <= now()
            THEN (CASE WHEN queued THEN 6 ELSE 4 END)::smallint ELSE state END AS state, queued,
        (extract(epoch FROM lease_until - now()) * 1000)::bigint AS lease_left,
        (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age,
        admitted_at, amount_fen, parties
    FROM filing WHERE institution = $1 AND key = $2";

/// One that has a note was closed by an operator, who knows of this difference and of no other.
const RECORD: &str = "
    WITH found AS MATERIALIZED (
        SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[])
            AS found (institution, key, kind, office, case_id, ours, theirs)),
    before AS MATERIALIZED (
        SELECT id FROM finding WHERE registry = $1 AND day = $2 AND closed_at IS NULL),
    agreed AS (
        UPDATE finding SET closed_at = now()
        WHERE registry = $1 AND day = $2 AND closed_at IS NULL
            AND NOT EXISTS (SELECT FROM found WHERE found.institution = finding.institution
                AND found.key = finding.key AND found.kind = finding.kind)),
    recorded AS (
        INSERT INTO finding AS kept (registry, institution, key, kind, office, day, case_id, ours,
            theirs, times, first_at, last_at)
        SELECT $1, institution, key, kind, office, $2, case_id, ours, theirs, 1, now(), now()
        FROM found
        ON CONFLICT (registry, institution, key, kind) DO UPDATE SET
            closed_at = CASE WHEN kept.note IS NOT NULL AND kept.ours = excluded.ours
                AND kept.theirs = excluded.theirs THEN kept.closed_at END,
            note = CASE WHEN kept.ours = excluded.ours AND kept.theirs = excluded.theirs
                THEN kept.note END,
            office = excluded.office, day = excluded.day, case_id = excluded.case_id,
            ours = excluded.ours, theirs = excluded.theirs, times = kept.times + 1,
            last_at = excluded.last_at
        RETURNING id, closed_at)
    SELECT count(*) AS new FROM recorded
    WHERE closed_at IS NULL AND id NOT IN (SELECT id FROM before)";

const FINDINGS: &str = "
    SELECT id, registry, institution, key, kind, office, day, case_id, ours, theirs, times,
        first_at, last_at, closed_at, note
    FROM finding WHERE $1::boolean OR closed_at IS NULL ORDER BY id LIMIT $2";

const CLOSE: &str = "
    UPDATE finding SET closed_at = now(), note = $2
    WHERE id = $1 AND closed_at IS NULL RETURNING id";

const FORGET: &str = "
    DELETE FROM finding WHERE id IN (
        SELECT id FROM finding WHERE closed_at < now() - $1::bigint * interval '1 millisecond'
        LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id";

const OPEN: &str = "
    SELECT registry, count(*) AS count FROM finding WHERE closed_at IS NULL GROUP BY registry";
