//! Notices in a SQLite file. The one writer sees to it that a turn has one taker.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Done, SqliteLedger, events::event, fault, whole, write};
use crate::ledger::{
    LedgerError,
    events::EventId,
    length, milliseconds,
    notices::{Notices, Parked, Sight, Standing, Turn, TurnEnd, Untold},
};

#[async_trait]
impl Notices for SqliteLedger {
    async fn subscribe(&self, subscriber: &str, sights: &[Sight]) -> Result<(), LedgerError> {
        let (subscriber, sights) = (subscriber.to_owned(), sights.to_vec());
        self.writer
            .run(move |database| {
                whole(database, || subscribe(database, &subscriber, &sights).map(Done::Keep))
            })
            .await
    }

    async fn claim_turns(
        &self,
        subscribers: &[String],
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Turn>, LedgerError> {
        let subscribers = subscribers.to_vec();
        self.writer
            .run(move |database| {
                let mut turns = Vec::new();
                let mut statement = database.prepare_cached(CLAIM_TURN).map_err(fault)?;
                for subscriber in subscribers {
                    if turns.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                        break;
                    }
                    let claimed = named_params! {
                        ":subscriber": subscriber, ":lease": milliseconds(lease),
                    };
                    let turn = statement.query_row(claimed, |row| {
                        Ok(Turn {
                            subscriber: row.get("name")?,
                            attempt: row.get("attempt")?,
                            failures: row.get("failures")?,
                            failing_for: length(row.get("failing_for")?),
                            waiting: u64::try_from(row.get::<_, i64>("waiting")?).unwrap_or(0),
                        })
                    });
                    turns.extend(turn.optional().map_err(fault)?);
                }
                Ok(turns)
            })
            .await
    }

    async fn due_again(&self, subscriber: &str, limit: u32) -> Result<Vec<Untold>, LedgerError> {
        self.read_untold(DUE_AGAIN, subscriber, limit).await
    }

    async fn untold(&self, subscriber: &str, limit: u32) -> Result<Vec<Untold>, LedgerError> {
        let subscriber = subscriber.to_owned();
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(PLACES).map_err(fault)?;
                let own = named_params! { ":subscriber": subscriber };
                let places = statement.query_map(own, |row| {
                    Ok((row.get::<_, String>("institution")?, row.get::<_, i64>("position")?))
                });
                let places: Vec<_> =
                    places.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)?;
                let mut found = Vec::new();
                let mut statement = database.prepare_cached(UNTOLD).map_err(fault)?;
                for (institution, position) in places {
                    let range = named_params! {
                        ":subscriber": subscriber, ":institution": institution,
                        ":position": position, ":limit": limit,
                    };
                    let mut rows = statement.query(range).map_err(fault)?;
                    while let Some(row) = rows.next().map_err(fault)? {
                        found.push(untold(row)?);
                    }
                }
                Ok(found)
            })
            .await
    }

    async fn end_turn(&self, turn: &Turn, end: &TurnEnd) -> Result<bool, LedgerError> {
        let (turn, end) = (turn.clone(), end.clone());
        self.writer.run(move |database| whole(database, || end_turn(database, &turn, &end))).await
    }

    async fn standings(&self) -> Result<Vec<Standing>, LedgerError> {
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(STANDINGS).map_err(fault)?;
                let standings = statement.query_map([], |row| {
                    let count = |name| -> rusqlite::Result<u64> {
                        Ok(u64::try_from(row.get::<_, i64>(name)?).unwrap_or(0))
                    };
                    Ok(Standing {
                        subscriber: row.get("name")?,
                        ended: row.get("ended")?,
                        failures: row.get("failures")?,
                        failing_for: row.get::<_, Option<i64>>("failing_for")?.map(length),
                        waiting: count("waiting")?,
                        parked: count("parked")?,
                        unread: count("unread")?,
                        oldest: row.get::<_, Option<i64>>("oldest")?.map(length),
                    })
                });
                standings.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }

    async fn parked(
        &self,
        subscriber: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Parked>, LedgerError> {
        let subscriber = subscriber.map(str::to_owned);
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(PARKED).map_err(fault)?;
                let wanted = named_params! { ":subscriber": subscriber, ":limit": limit };
                let mut rows = statement.query(wanted).map_err(fault)?;
                let mut found = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    found.push(Parked {
                        subscriber: row.get("subscriber").map_err(fault)?,
                        event: event(row)?,
                        tries: row.get("tries").map_err(fault)?,
                    });
                }
                Ok(found)
            })
            .await
    }

    async fn resend(&self, subscriber: &str, event: Option<&EventId>) -> Result<u64, LedgerError> {
        let (subscriber, event) = (subscriber.to_owned(), event.copied());
        self.writer
            .run(move |database| {
                whole(database, || resend(database, &subscriber, event).map(Done::Keep))
            })
            .await
    }

    async fn resume(&self, subscriber: &str) -> Result<bool, LedgerError> {
        let subscriber = subscriber.to_owned();
        self.writer
            .run(move |database| {
                let resumed = named_params! { ":subscriber": subscriber };
                Ok(write(database, RESUME, resumed)? > 0)
            })
            .await
    }

    async fn forget_notices(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        self.writer
            .run(move |database| {
                let old = named_params! { ":age": milliseconds(age), ":limit": limit };
                Ok(u32::try_from(write(database, FORGET, old)?).unwrap_or(u32::MAX))
            })
            .await
    }
}

impl SqliteLedger {
    async fn read_untold(
        &self,
        statement: &'static str,
        subscriber: &str,
        limit: u32,
    ) -> Result<Vec<Untold>, LedgerError> {
        let subscriber = subscriber.to_owned();
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(statement).map_err(fault)?;
                let wanted = named_params! { ":subscriber": subscriber, ":limit": limit };
                let mut rows = statement.query(wanted).map_err(fault)?;
                let mut found = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    found.push(untold(row)?);
                }
                Ok(found)
            })
            .await
    }
}

fn subscribe(database: &Connection, subscriber: &str, sights: &[Sight]) -> Result<(), LedgerError> {
    write(database, SUBSCRIBER, named_params! { ":subscriber": subscriber })?;
    let mut statement = database.prepare_cached(PLACES).map_err(fault)?;
    let known = statement
        .query_map(named_params! { ":subscriber": subscriber }, |row| row.get("institution"))
        .map_err(fault)?;
    let known: Vec<String> = known.collect::<Result<_, _>>().map_err(fault)?;
    for institution in known {
        if !sights.iter().any(|sight| sight.institution == institution) {
            let gone = named_params! { ":subscriber": subscriber, ":institution": institution };
            write(database, UNSUBSCRIBE, gone)?;
            write(database, DROP_NOTICES, gone)?;
        }
    }
    for Sight { institution, own } in sights {
        let begun = named_params! {
            ":subscriber": subscriber, ":institution": institution, ":own": own,
        };
        write(database, SUBSCRIBE, begun)?;
    }
    Ok(())
}

fn end_turn(database: &Connection, turn: &Turn, end: &TurnEnd) -> Result<Done<bool>, LedgerError> {
    let ended = named_params! {
        ":subscriber": turn.subscriber, ":attempt": turn.attempt, ":failures": end.failures,
        ":rest": milliseconds(end.rest), ":ended": end.ended,
    };
    if write(database, END_TURN, ended)? == 0 {
        return Ok(Done::Keep(false));
    }
    for (institution, position) in &end.places {
        let moved = named_params! {
            ":subscriber": turn.subscriber, ":institution": institution, ":position": position,
        };
        write(database, MOVE, moved)?;
    }
    for (institution, position) in &end.told {
        let told = named_params! {
            ":subscriber": turn.subscriber, ":institution": institution, ":position": position,
        };
        write(database, TOLD, told)?;
    }
    for it in &end.passed_over {
        let passed_over = named_params! {
            ":subscriber": turn.subscriber, ":institution": it.institution,
            ":position": it.position, ":key": it.key, ":tries": it.tries,
            ":delay": milliseconds(it.delay), ":parked": it.parked,
        };
        write(database, PASS_OVER, passed_over)?;
    }
    Ok(Done::Keep(true))
}

fn resend(
    database: &Connection,
    subscriber: &str,
    event: Option<EventId>,
) -> Result<u64, LedgerError> {
    let mut wanted = Vec::new();
    if let Some(id) = event {
        let mut statement = database.prepare_cached(PARKED_AT).map_err(fault)?;
        let at = named_params! { ":subscriber": subscriber, ":position": id.position() };
        let mut rows = statement.query(at).map_err(fault)?;
        while let Some(row) = rows.next().map_err(fault)? {
            let found = super::events::event(row)?;
            if found.id() == id {
                wanted.push((Some(found.institution), Some(found.key), id.position()));
            }
        }
    } else {
        wanted.push((None, None, i64::MAX));
    }
    let mut count: u64 = 0;
    for (institution, key, position) in wanted {
        let again = named_params! {
            ":subscriber": subscriber, ":institution": institution, ":key": key,
            ":position": position,
        };
        let again = write(database, RESEND, again)?;
        count = count.saturating_add(u64::try_from(again).unwrap_or(u64::MAX));
    }
    if count > 0 {
        write(database, HASTEN, named_params! { ":subscriber": subscriber })?;
    }
    Ok(count)
}

fn untold(row: &Row<'_>) -> Result<Untold, LedgerError> {
    Ok(Untold {
        event: event(row)?,
        matter: row.get("matter").map_err(fault)?,
        tries: row.get("tries").map_err(fault)?,
        age: length(row.get("age").map_err(fault)?),
        behind: row.get("behind").map_err(fault)?,
    })
}

const SUBSCRIBER: &str =
    "INSERT INTO subscriber (name) VALUES (:subscriber) ON CONFLICT DO NOTHING";

const PLACES: &str =
    "SELECT institution, position FROM subscription WHERE subscriber = :subscriber";

const UNSUBSCRIBE: &str =
    "DELETE FROM subscription WHERE subscriber = :subscriber AND institution = :institution";

const DROP_NOTICES: &str =
    "DELETE FROM notice WHERE subscriber = :subscriber AND institution = :institution";

const SUBSCRIBE: &str = "
    INSERT INTO subscription (subscriber, institution, position)
    SELECT :subscriber, :institution, coalesce(
        (SELECT iif(:own, acknowledged, last) FROM feed WHERE institution = :institution), 0)
    WHERE true ON CONFLICT DO NOTHING";

const CLAIM_TURN: &str = "
    UPDATE subscriber SET attempt = attempt + 1, lease_until = now + :lease
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE name = :subscriber AND ended_at IS NULL AND lease_until <= now
        AND subscriber.due_at <= now
        AND (EXISTS (SELECT 1 FROM subscription JOIN feed
                ON feed.institution = subscription.institution
            WHERE subscription.subscriber = :subscriber AND feed.last > subscription.position)
        OR EXISTS (SELECT 1 FROM notice
            WHERE notice.subscriber = :subscriber AND NOT parked AND notice.due_at <= now
                AND NOT EXISTS (SELECT 1 FROM notice AS earlier
                    WHERE earlier.subscriber = notice.subscriber
                        AND earlier.institution = notice.institution
                        AND earlier.key = notice.key AND earlier.position < notice.position)))
    RETURNING name, attempt, failures, coalesce(
        CAST(unixepoch('subsec') * 1000 AS INTEGER) - failing_since, 0) AS failing_for,
        (SELECT count(*) FROM notice WHERE notice.subscriber = :subscriber AND NOT parked)
            AS waiting";

const DUE_AGAIN: &str = "
    SELECT event.institution, event.position, event.key, sequence, kind, happened_at, event.outcome,
        coalesce(filing.matter, '') AS matter, tries, now - since AS age, 0 AS behind
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now) CROSS JOIN notice
        CROSS JOIN event ON event.institution = notice.institution
            AND event.position = notice.position
        LEFT JOIN filing ON filing.institution = notice.institution AND filing.key = notice.key
    WHERE notice.subscriber = :subscriber AND NOT parked AND notice.due_at <= now
        AND NOT EXISTS (SELECT 1 FROM notice AS earlier
            WHERE earlier.subscriber = notice.subscriber
                AND earlier.institution = notice.institution
                AND earlier.key = notice.key AND earlier.position < notice.position)
    ORDER BY notice.due_at, notice.position LIMIT :limit";

const UNTOLD: &str = "
    SELECT event.institution, event.position, event.key, sequence, kind, happened_at, event.outcome,
        coalesce(filing.matter, '') AS matter, 0 AS tries,
        CAST(unixepoch('subsec') * 1000 AS INTEGER) - happened_at AS age,
        EXISTS (SELECT 1 FROM notice
            WHERE notice.subscriber = :subscriber AND notice.institution = event.institution
                AND notice.key = event.key) AS behind
    FROM event LEFT JOIN filing
        ON filing.institution = event.institution AND filing.key = event.key
    WHERE event.institution = :institution AND event.position > :position
    ORDER BY event.position LIMIT :limit";

const END_TURN: &str = "
    UPDATE subscriber SET lease_until = now, due_at = now + :rest, failures = :failures,
        failing_since = iif(:failures = 0, NULL, coalesce(failing_since, now)),
        ended_at = iif(:ended, now, ended_at)
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE name = :subscriber AND attempt = :attempt";

const MOVE: &str = "
    UPDATE subscription SET position = :position
    WHERE subscriber = :subscriber AND institution = :institution AND position < :position";

const TOLD: &str = "
    DELETE FROM notice
    WHERE subscriber = :subscriber AND institution = :institution AND position = :position";

const PASS_OVER: &str = "
    INSERT INTO notice (subscriber, institution, position, key, tries, since, due_at, parked)
    SELECT :subscriber, :institution, :position, :key, :tries, now, now + :delay, :parked
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now) WHERE true
    ON CONFLICT (subscriber, institution, position) DO UPDATE SET
        tries = excluded.tries, due_at = excluded.due_at, parked = excluded.parked";

const STANDINGS: &str = "
    SELECT name, ended_at IS NOT NULL AS ended, failures, now - failing_since AS failing_for,
        (SELECT count(*) FROM notice WHERE subscriber = name AND NOT parked) AS waiting,
        (SELECT count(*) FROM notice WHERE subscriber = name AND parked) AS parked,
        (SELECT coalesce(sum(feed.last - subscription.position), 0)
            FROM subscription JOIN feed ON feed.institution = subscription.institution
            WHERE subscription.subscriber = name) AS unread,
        now - (SELECT min(happened_at) FROM (
            SELECT happened_at FROM notice CROSS JOIN event
                ON event.institution = notice.institution AND event.position = notice.position
            WHERE notice.subscriber = name AND NOT parked
            UNION ALL
            SELECT (SELECT happened_at FROM event
                WHERE event.institution = subscription.institution
                    AND event.position > subscription.position
                ORDER BY event.position LIMIT 1)
            FROM subscription WHERE subscription.subscriber = name)) AS oldest
    FROM subscriber, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    ORDER BY name";

const PARKED: &str = "
    SELECT subscriber, event.institution, event.position, event.key, sequence, kind, happened_at,
        outcome, tries
    FROM notice CROSS JOIN event
        ON event.institution = notice.institution AND event.position = notice.position
    WHERE parked AND (:subscriber IS NULL OR subscriber = :subscriber)
    ORDER BY happened_at, event.position LIMIT :limit";

const PARKED_AT: &str = "
    SELECT event.institution, event.position, event.key, sequence, kind, happened_at, outcome
    FROM notice CROSS JOIN event
        ON event.institution = notice.institution AND event.position = notice.position
    WHERE parked AND subscriber = :subscriber AND notice.position = :position";

const RESEND: &str = "
    UPDATE notice SET parked = 0, tries = 0, since = now, due_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE subscriber = :subscriber AND parked AND position <= :position
        AND (:institution IS NULL OR institution = :institution AND key = :key)";

const HASTEN: &str = "UPDATE subscriber SET due_at = 0 WHERE name = :subscriber";

const RESUME: &str = "
    UPDATE subscriber SET ended_at = NULL, due_at = 0, failures = 0, failing_since = NULL
    WHERE name = :subscriber";

/// With its event, whatever its own age.
const FORGET: &str = "
    DELETE FROM notice WHERE (subscriber, institution, position) IN (
        SELECT subscriber, institution, position FROM notice
        WHERE since < CAST(unixepoch('subsec') * 1000 AS INTEGER) - :age
            OR NOT EXISTS (SELECT 1 FROM event
                WHERE event.institution = notice.institution AND event.position = notice.position)
        LIMIT :limit)";
