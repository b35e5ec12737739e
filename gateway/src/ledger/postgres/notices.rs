//! Notices in Postgres. A turn is taken by its subscriber's row, which another that is just taking it skips; each verb is one
//! statement.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{PostgresLedger, column, events::event};
use crate::ledger::{
    LedgerError,
    events::EventId,
    length, milliseconds,
    notices::{Notices, Parked, Sight, Standing, Turn, TurnEnd, Untold},
};

#[async_trait]
impl Notices for PostgresLedger {
    async fn subscribe(&self, subscriber: &str, sights: &[Sight]) -> Result<(), LedgerError> {
        let institutions: Vec<_> = sights.iter().map(|it| it.institution.as_str()).collect();
        let owns: Vec<_> = sights.iter().map(|it| it.own).collect();
        self.server.write(SUBSCRIBE, &[&subscriber, &institutions, &owns]).await.map(drop)
    }

    async fn claim_turns(
        &self,
        subscribers: &[String],
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Turn>, LedgerError> {
        let (limit, lease) = (i64::from(limit), milliseconds(lease));
        let rows = self.server.write(CLAIM_TURNS, &[&subscribers, &limit, &lease]).await?;
        let turn = |row: &Row| {
            Ok(Turn {
                subscriber: column(row, "name")?,
                attempt: column(row, "attempt")?,
                failures: count(row, "failures")?,
                failing_for: length(column(row, "failing_for")?),
                waiting: u64::try_from(column::<i64>(row, "waiting")?).unwrap_or(0),
            })
        };
        rows.iter().map(turn).collect()
    }

    async fn due_again(&self, subscriber: &str, limit: u32) -> Result<Vec<Untold>, LedgerError> {
        let rows = self.server.query(DUE_AGAIN, &[&subscriber, &i64::from(limit)]).await?;
        rows.iter().map(untold).collect()
    }

    async fn untold(&self, subscriber: &str, limit: u32) -> Result<Vec<Untold>, LedgerError> {
        let rows = self.server.query(UNTOLD, &[&subscriber, &i64::from(limit)]).await?;
        rows.iter().map(untold).collect()
    }

    async fn end_turn(&self, turn: &Turn, end: &TurnEnd) -> Result<bool, LedgerError> {
        let passed_over = &end.passed_over;
        let tries = |tries: u32| i32::try_from(tries).unwrap_or(i32::MAX);
        let ended = self
            .server
            .write(
                END_TURN,
                &[
                    &turn.subscriber,
                    &turn.attempt,
                    &end.places.iter().map(|(it, _)| it.as_str()).collect::<Vec<_>>(),
                    &end.places.iter().map(|(_, it)| *it).collect::<Vec<_>>(),
                    &end.told.iter().map(|(it, _)| it.as_str()).collect::<Vec<_>>(),
                    &end.told.iter().map(|(_, it)| *it).collect::<Vec<_>>(),
                    &passed_over.iter().map(|it| it.institution.as_str()).collect::<Vec<_>>(),
                    &passed_over.iter().map(|it| it.position).collect::<Vec<_>>(),
                    &passed_over.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(),
                    &passed_over.iter().map(|it| tries(it.tries)).collect::<Vec<_>>(),
                    &passed_over.iter().map(|it| milliseconds(it.delay)).collect::<Vec<_>>(),
                    &passed_over.iter().map(|it| it.parked).collect::<Vec<_>>(),
                    &tries(end.failures),
                    &milliseconds(end.rest),
                    &end.ended,
                ],
            )
            .await?;
        Ok(!ended.is_empty())
    }

    async fn standings(&self) -> Result<Vec<Standing>, LedgerError> {
        let standing = |row: &Row| {
            let many = |name| -> Result<u64, LedgerError> {
                Ok(u64::try_from(column::<i64>(row, name)?).unwrap_or(0))
            };
            Ok(Standing {
                subscriber: column(row, "name")?,
                ended: column(row, "ended")?,
                failures: count(row, "failures")?,
                failing_for: column::<Option<i64>>(row, "failing_for")?.map(length),
                waiting: many("waiting")?,
                parked: many("parked")?,
                unread: many("unread")?,
                oldest: column::<Option<i64>>(row, "oldest")?.map(length),
            })
        };
        self.server.query(STANDINGS, &[]).await?.iter().map(standing).collect()
    }

    async fn parked(
        &self,
        subscriber: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Parked>, LedgerError> {
        let rows = self.server.query(PARKED, &[&subscriber, &i64::from(limit)]).await?;
        let parked = |row: &Row| {
            Ok(Parked {
                subscriber: column(row, "subscriber")?,
                event: event(row)?,
                tries: count(row, "tries")?,
            })
        };
        rows.iter().map(parked).collect()
    }

    async fn resend(&self, subscriber: &str, id: Option<&EventId>) -> Result<u64, LedgerError> {
        let mut wanted: Vec<(Option<String>, Option<String>, i64)> = Vec::new();
        if let Some(id) = id {
            let rows = self.server.query(PARKED_AT, &[&subscriber, &id.position()]).await?;
            for row in &rows {
                let found = event(row)?;
                if found.id() == *id {
                    wanted.push((Some(found.institution), Some(found.key), id.position()));
                }
            }
        } else {
            wanted.push((None, None, i64::MAX));
        }
        let mut again: u64 = 0;
        for (institution, key, position) in &wanted {
            let rows =
                self.server.write(RESEND, &[&subscriber, institution, key, position]).await?;
            let count = rows.first().map(|row| column::<i64>(row, "again")).transpose()?;
            again = again.saturating_add(u64::try_from(count.unwrap_or(0)).unwrap_or(0));
        }
        Ok(again)
    }

    async fn resume(&self, subscriber: &str) -> Result<bool, LedgerError> {
        Ok(!self.server.write(RESUME, &[&subscriber]).await?.is_empty())
    }

    async fn forget_notices(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        let old = self.server.write(FORGET, &[&milliseconds(age), &i64::from(limit)]).await?;
        Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
    }
}

fn untold(row: &Row) -> Result<Untold, LedgerError> {
    Ok(Untold {
        event: event(row)?,
        matter: column(row, "matter")?,
        tries: count(row, "tries")?,
        age: length(column(row, "age")?),
        behind: column(row, "behind")?,
    })
}

fn count(row: &Row, name: &str) -> Result<u32, LedgerError> {
    Ok(u32::try_from(column::<i32>(row, name)?).unwrap_or(0))
}

const SUBSCRIBE: &str = "
    WITH sight AS MATERIALIZED (
    SELECT * FROM unnest($2::text[], $3::boolean[]) AS sight (institution, own)),
    known AS (
    INSERT INTO subscriber (name) VALUES ($1) ON CONFLICT DO NOTHING),
    gone AS (
    DELETE FROM subscription WHERE subscriber = $1
        AND institution NOT IN (SELECT institution FROM sight)),
    forgotten AS (
    DELETE FROM notice WHERE subscriber = $1
        AND institution NOT IN (SELECT institution FROM sight))
    INSERT INTO subscription (subscriber, institution, position)
    SELECT $1, sight.institution, coalesce(CASE WHEN own THEN acknowledged ELSE last END, 0)
    FROM sight LEFT JOIN feed ON feed.institution = sight.institution
    ORDER BY sight.institution
    ON CONFLICT DO NOTHING";

const CLAIM_TURNS: &str = "
    WITH due AS MATERIALIZED (
        SELECT name FROM subscriber
        WHERE name = ANY($1::text[]) AND ended_at IS NULL AND lease_until <= now()
            AND subscriber.due_at <= now()
            AND (EXISTS (SELECT FROM subscription JOIN feed
                    ON feed.institution = subscription.institution
                WHERE subscription.subscriber = name AND feed.last > subscription.position)
            OR EXISTS (SELECT FROM notice
                WHERE notice.subscriber = name AND NOT parked AND notice.due_at <= now()
                    AND NOT EXISTS (SELECT FROM notice AS earlier
                        WHERE earlier.subscriber = notice.subscriber
                            AND earlier.institution = notice.institution
                            AND earlier.key = notice.key AND earlier.position < notice.position)))
        ORDER BY due_at LIMIT $2
        FOR UPDATE SKIP LOCKED)
    UPDATE subscriber SET attempt = attempt + 1,
        lease_until = now() + $3::bigint * interval '1 millisecond'
    FROM due WHERE subscriber.name = due.name
    RETURNING subscriber.name, attempt, failures,
        coalesce(extract(epoch FROM now() - failing_since) * 1000, 0)::bigint AS failing_for,
        (SELECT count(*) FROM notice WHERE notice.subscriber = subscriber.name AND NOT parked)
            AS waiting";

const DUE_AGAIN: &str = "
    SELECT event.institution, event.position, event.key, sequence, kind, event.outcome,
        (extract(epoch FROM happened_at) * 1000)::bigint AS happened_ms,
        coalesce(filing.matter, '') AS matter, tries,
        (extract(epoch FROM now() - since) * 1000)::bigint AS age, false AS behind
    FROM notice JOIN event ON event.institution = notice.institution
            AND event.position = notice.position
        LEFT JOIN filing ON filing.institution = notice.institution AND filing.key = notice.key
    WHERE notice.subscriber = $1 AND NOT parked AND notice.due_at <= now()
        AND NOT EXISTS (SELECT FROM notice AS earlier
            WHERE earlier.subscriber = notice.subscriber
                AND earlier.institution = notice.institution
                AND earlier.key = notice.key AND earlier.position < notice.position)
    ORDER BY notice.due_at, notice.position LIMIT $2";

const UNTOLD: &str = "
    SELECT event.institution, event.position, event.key, sequence, kind, event.outcome,
        (extract(epoch FROM happened_at) * 1000)::bigint AS happened_ms,
        coalesce(filing.matter, '') AS matter, 0 AS tries,
        (extract(epoch FROM now() - happened_at) * 1000)::bigint AS age,
        EXISTS (SELECT FROM notice
            WHERE notice.subscriber = $1 AND notice.institution = event.institution
                AND notice.key = event.key) AS behind
    FROM subscription CROSS JOIN LATERAL (
            SELECT institution, position, key, sequence, kind, outcome, happened_at FROM event
            WHERE event.institution = subscription.institution
                AND event.position > subscription.position
            ORDER BY position LIMIT $2) AS event
        LEFT JOIN filing
            ON filing.institution = event.institution AND filing.key = event.key
    WHERE subscription.subscriber = $1
    ORDER BY event.institution, event.position";

const END_TURN: &str = "
    WITH mine AS MATERIALIZED (
    SELECT name FROM subscriber WHERE name = $1 AND attempt = $2 FOR UPDATE),
    moved AS (
    UPDATE subscription SET position = place.position
    FROM mine, unnest($3::text[], $4::bigint[]) AS place (institution, position)
    WHERE subscriber = mine.name AND subscription.institution = place.institution
        AND subscription.position < place.position),
    told AS (
    DELETE FROM notice USING mine, unnest($5::text[], $6::bigint[]) AS told (institution, position)
    WHERE subscriber = mine.name AND notice.institution = told.institution
        AND notice.position = told.position),
    passed_over AS (
    INSERT INTO notice (subscriber, institution, position, key, tries, since, due_at, parked)
    SELECT mine.name, institution, position, key, tries, now(),
        now() + delay * interval '1 millisecond', parked
    FROM mine, unnest($7::text[], $8::bigint[], $9::text[], $10::integer[], $11::bigint[],
        $12::boolean[]) AS passed_over (institution, position, key, tries, delay, parked)
    ON CONFLICT (subscriber, institution, position) DO UPDATE SET
        tries = excluded.tries, due_at = excluded.due_at, parked = excluded.parked)
    UPDATE subscriber SET lease_until = now(),
        due_at = now() + $14::bigint * interval '1 millisecond', failures = $13::integer,
        failing_since = CASE WHEN $13::integer > 0 THEN coalesce(failing_since, now()) END,
        ended_at = CASE WHEN $15::boolean THEN now() ELSE ended_at END
    FROM mine WHERE subscriber.name = mine.name
    RETURNING subscriber.name";

const STANDINGS: &str = "
    SELECT name, ended_at IS NOT NULL AS ended, failures,
        (extract(epoch FROM now() - failing_since) * 1000)::bigint AS failing_for,
        (SELECT count(*) FROM notice WHERE subscriber = name AND NOT parked) AS waiting,
        (SELECT count(*) FROM notice WHERE subscriber = name AND parked) AS parked,
        (SELECT coalesce(sum(feed.last - subscription.position), 0)::bigint
            FROM subscription JOIN feed ON feed.institution = subscription.institution
            WHERE subscription.subscriber = name) AS unread,
        (extract(epoch FROM now() - (SELECT min(happened_at) FROM (
            SELECT happened_at FROM notice JOIN event
                ON event.institution = notice.institution AND event.position = notice.position
            WHERE notice.subscriber = name AND NOT parked
            UNION ALL
            SELECT (SELECT happened_at FROM event
                WHERE event.institution = subscription.institution
                    AND event.position > subscription.position
                ORDER BY event.position LIMIT 1)
            FROM subscription WHERE subscription.subscriber = name) AS open)) * 1000)::bigint
            AS oldest
    FROM subscriber ORDER BY name";

const PARKED: &str = "
    SELECT subscriber, event.institution, event.position, event.key, sequence, kind, outcome,
        (extract(epoch FROM happened_at) * 1000)::bigint AS happened_ms, tries
    FROM notice JOIN event
        ON event.institution = notice.institution AND event.position = notice.position
    WHERE parked AND ($1::text IS NULL OR subscriber = $1)
    ORDER BY happened_at, event.position LIMIT $2";

const PARKED_AT: &str = "
    SELECT event.institution, event.position, event.key, sequence, kind, outcome,
        (extract(epoch FROM happened_at) * 1000)::bigint AS happened_ms
    FROM notice JOIN event
        ON event.institution = notice.institution AND event.position = notice.position
    WHERE parked AND subscriber = $1 AND notice.position = $2";

const RESEND: &str = "
    WITH again AS (
    UPDATE notice SET parked = false, tries = 0, since = now(), due_at = now()
    WHERE subscriber = $1 AND parked AND position <= $4
        AND ($2::text IS NULL OR institution = $2 AND key = $3)
    RETURNING position),
    hastened AS (
    UPDATE subscriber SET due_at = now() WHERE name = $1 AND EXISTS (SELECT FROM again))
    SELECT count(*) AS again FROM again";

const RESUME: &str = "
    UPDATE subscriber SET ended_at = NULL, due_at = now(), failures = 0, failing_since = NULL
    WHERE name = $1
    RETURNING name";

/// With its event, whatever its own age.
const FORGET: &str = "
    WITH old AS (
        SELECT subscriber, institution, position FROM notice
        WHERE since < now() - $1::bigint * interval '1 millisecond'
            OR NOT EXISTS (SELECT FROM event
                WHERE event.institution = notice.institution AND event.position = notice.position)
        LIMIT $2
        FOR UPDATE SKIP LOCKED)
    DELETE FROM notice USING old
    WHERE notice.subscriber = old.subscriber AND notice.institution = old.institution
        AND notice.position = old.position
    RETURNING notice.position";
