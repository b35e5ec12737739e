//! Events in a SQLite file. A trigger writes an event wherever a filing's count of them grows, so that no statement can
//! change a case and not tell of it; the one writer sees to it that nothing comes between judging and writing.

use std::time::Duration;

use async_trait::async_trait;
use prost::Message;
use proto::v1::Outcome;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Done, SqliteLedger, cases::mention, fault, read_standing, whole, write};
use crate::{
    case::Told,
    ledger::{
        LedgerError, State, case_id,
        cases::Mention,
        events::{
            Account, After, Event, EventId, Events, Feed, FollowUp, Kind, Page, Recorded, Watch,
            digest_of, judged, moment, page,
        },
        milliseconds,
    },
};

#[async_trait]
impl Events for SqliteLedger {
    async fn record(&self, account: &Account) -> Result<Recorded, LedgerError> {
        let account = account.clone();
        // Told again it is the same: half of it, the event without its numbers, would be no harm.
        self.writer.run(move |database| record(database, &account)).await
    }

    async fn record_watched(
        &self,
        watch: &Watch,
        accounts: &[Account],
        cursor: &str,
    ) -> Result<Option<Vec<Recorded>>, LedgerError> {
        let (watch, accounts, cursor) = (watch.clone(), accounts.to_vec(), cursor.to_owned());
        self.writer
            .run(move |database| {
                whole(database, || {
                    let moved = named_params! {
                        ":registry": watch.registry, ":attempt": watch.attempt, ":cursor": cursor,
                    };
                    if write(database, MOVE_WATCH, moved)? == 0 {
                        return Ok(Done::Keep(None));
                    }
                    let recorded = accounts.iter().map(|account| record(database, account));
                    Ok(Done::Keep(Some(recorded.collect::<Result<_, _>>()?)))
                })
            })
            .await
    }

    async fn claim_watch(
        &self,
        registry: &str,
        lease: Duration,
    ) -> Result<Option<Watch>, LedgerError> {
        let registry = registry.to_owned();
        self.writer
            .run(move |database| {
                let mut statement = database.prepare_cached(CLAIM_WATCH).map_err(fault)?;
                let claimed = named_params! {
                    ":registry": registry, ":lease": milliseconds(lease),
                };
                let taken = statement.query_row(claimed, |row| {
                    Ok(Watch {
                        registry: row.get("registry")?,
                        cursor: row.get("cursor")?,
                        attempt: row.get("attempt")?,
                    })
                });
                taken.optional().map_err(fault)
            })
            .await
    }

    async fn keep_watch(&self, watch: &Watch, lease: Duration) -> Result<bool, LedgerError> {
        let watch = watch.clone();
        self.writer
            .run(move |database| {
                let kept = named_params! {
                    ":registry": watch.registry, ":attempt": watch.attempt,
                    ":lease": milliseconds(lease),
                };
                Ok(write(database, KEEP_WATCH, kept)? > 0)
            })
            .await
    }

    async fn claim_follow_ups(
        &self,
        registry: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<FollowUp>, LedgerError> {
        let registry = registry.to_owned();
        self.writer
            .run(move |database| {
                let mut statement = database.prepare_cached(CLAIM_FOLLOW_UPS).map_err(fault)?;
                let claimed = named_params! {
                    ":registry": registry, ":limit": limit, ":lease": milliseconds(lease),
                };
                let mut rows = statement.query(claimed).map_err(fault)?;
                let mut taken = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    taken.push(FollowUp {
                        record: read_standing(row)?.record,
                        attempt: row.get("follow_ups").map_err(fault)?,
                        warned: row.get("warned").map_err(fault)?,
                    });
                }
                Ok(taken)
            })
            .await
    }

    async fn put_off_follow_up(
        &self,
        follow_up: &FollowUp,
        delay: Option<Duration>,
    ) -> Result<(), LedgerError> {
        let follow_up = follow_up.clone();
        self.writer
            .run(move |database| {
                let put_off = named_params! {
                    ":institution": follow_up.record.institution, ":key": follow_up.record.key,
                    ":attempt": follow_up.attempt, ":delay": delay.map(milliseconds),
                };
                write(database, PUT_OFF, put_off).map(drop)
            })
            .await
    }

    async fn warn(&self, follow_up: &FollowUp, delay: Duration) -> Result<bool, LedgerError> {
        let follow_up = follow_up.clone();
        self.writer
            .run(move |database| {
                let warned = named_params! {
                    ":institution": follow_up.record.institution, ":key": follow_up.record.key,
                    ":attempt": follow_up.attempt, ":delay": milliseconds(delay),
                };
                Ok(write(database, WARN, warned)? > 0)
            })
            .await
    }

    async fn events_after(
        &self,
        institution: &str,
        after: &After,
        limit: u32,
    ) -> Result<Page, LedgerError> {
        let (institution, after) = (institution.to_owned(), *after);
        self.reader.run(move |database| events_after(database, &institution, after, limit)).await
    }

    async fn acknowledge(&self, institution: &str, event: &EventId) -> Result<bool, LedgerError> {
        let (institution, event) = (institution.to_owned(), *event);
        self.writer
            .run(move |database| {
                let there = events_after(database, &institution, After::Event(event), 0)?;
                if there == Page::NoSuchPlace {
                    return Ok(false);
                }
                let taken = named_params! {
                    ":institution": institution, ":position": event.position(),
                };
                write(database, ACKNOWLEDGE, taken)?;
                Ok(true)
            })
            .await
    }

    async fn feeds(&self) -> Result<Vec<Feed>, LedgerError> {
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(FEEDS).map_err(fault)?;
                let feeds = statement.query_map([], |row| {
                    Ok(Feed {
                        institution: row.get("institution")?,
                        last: row.get("last")?,
                        acknowledged: row.get("acknowledged")?,
                    })
                });
                feeds.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }

    async fn forget_events(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        self.writer
            .run(move |database| {
                whole(database, || {
                    let old = named_params! { ":age": milliseconds(age) };
                    write(database, FORGET_IMPOSSIBLE, old)?;
                    let old = named_params! { ":age": milliseconds(age), ":limit": limit };
                    let forgotten = write(database, FORGET, old)?;
                    Ok(Done::Keep(u32::try_from(forgotten).unwrap_or(u32::MAX)))
                })
            })
            .await
    }
}

fn record(database: &Connection, account: &Account) -> Result<Recorded, LedgerError> {
    let Account { institution, key, outcome, follow_up } = account;
    let mut statement = database.prepare_cached(KNOWN).map_err(fault)?;
    let named = named_params! { ":institution": institution, ":key": key };
    let known = statement
        .query_row(named, |row| Ok((row.get("state")?, row.get("outcome")?)))
        .optional()
        .map_err(fault)?;
    let Some((state, known)) = known else { return Ok(Recorded::Unheard) };
    if State::from_number(state)? == State::Retired {
        return Ok(Recorded::Unheard);
    }
    let known: Option<Vec<u8>> = known;
    let known = known.map(|bytes| Outcome::decode(bytes.as_slice())).transpose();
    let known = known.map_err(LedgerError::corrupt)?;
    let bytes = outcome.encode_to_vec();
    match judged(known.as_ref(), outcome) {
        Told::Same => Ok(Recorded::Same(known.unwrap_or_default())),
        Told::News => {
            let news = named_params! {
                ":institution": institution, ":key": key, ":case_id": case_id(outcome),
                ":outcome": bytes, ":follow_up": follow_up.map(milliseconds),
            };
            write(database, NEWS, news)?;
            let mentions = Mention::of_all(&outcome.certificate_numbers);
            mention(database, institution, key, &mentions)?;
            Ok(Recorded::News { before: known })
        }
        Told::Impossible(why) => {
            let refused = named_params! {
                ":institution": institution, ":key": key, ":digest": digest_of(&bytes),
                ":outcome": bytes, ":why": why.label(),
            };
            write(database, REFUSE, refused)?;
            Ok(Recorded::Impossible(why, known.unwrap_or_default()))
        }
    }
}

fn events_after(
    database: &Connection,
    institution: &str,
    after: After,
    limit: u32,
) -> Result<Page, LedgerError> {
    let feed = |column| -> Result<i64, LedgerError> {
        let mut statement = database.prepare_cached(FEED).map_err(fault)?;
        let own = named_params! { ":institution": institution };
        let found = statement.query_row(own, |row| row.get(column)).optional();
        Ok(found.map_err(fault)?.unwrap_or(0))
    };
    let from = match after {
        After::Event(id) => id.position(),
        After::Acknowledged => feed("acknowledged")?,
    };
    let mut statement = database.prepare_cached(EVENTS_FROM).map_err(fault)?;
    // The one at the place itself is read too: it shows that this is the feed that was told of.
    let range = named_params! {
        ":institution": institution, ":position": from, ":limit": i64::from(limit).saturating_add(1),
    };
    let mut rows = statement.query(range).map_err(fault)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        events.push(event(row)?);
    }
    let place = match (after, events.first()) {
        (After::Event(id), _) => id,
        (After::Acknowledged, Some(event)) if event.position == from => event.id(),
        (After::Acknowledged, _) => EventId::NONE,
    };
    let last = match events.last() {
        Some(event) => event.position,
        None => feed("last")?,
    };
    Ok(page(place, events, last, limit))
}

pub(super) fn event(row: &Row<'_>) -> Result<Event, LedgerError> {
    let outcome: Vec<u8> = row.get("outcome").map_err(fault)?;
    Ok(Event {
        institution: row.get("institution").map_err(fault)?,
        position: row.get("position").map_err(fault)?,
        key: row.get("key").map_err(fault)?,
        sequence: row.get("sequence").map_err(fault)?,
        kind: Kind::from_number(row.get("kind").map_err(fault)?)?,
        happened_at: moment(row.get("happened_at").map_err(fault)?),
        outcome: Outcome::decode(outcome.as_slice()).map_err(LedgerError::corrupt)?,
    })
}

const KNOWN: &str =
    "SELECT state, outcome FROM filing WHERE institution = :institution AND key = :key";

/// What a registry told counts, whatever was known of the sending.
const NEWS: &str = "
    UPDATE filing SET state = 3, case_id = :case_id, outcome = :outcome, events = events + 1,
        follow_up_at = now + :follow_up, follow_ups = 0, warned = 0, changed_at = now
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key";

const REFUSE: &str = "
    INSERT INTO impossible_event (institution, key, digest, registry, why, outcome, times, first_at,
        last_at)
    SELECT institution, key, :digest, registry, :why, :outcome, 1, now, now
    FROM filing, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key = :key
    ON CONFLICT (institution, key, digest) DO UPDATE SET
        times = times + 1, last_at = excluded.last_at, why = excluded.why";

const CLAIM_WATCH: &str = "
    INSERT INTO watch (registry, cursor, attempt, lease_until)
    SELECT :registry, '', 1, now + :lease
    FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now) WHERE true
    ON CONFLICT (registry) DO UPDATE SET
        attempt = attempt + 1, lease_until = excluded.lease_until
    WHERE lease_until <= excluded.lease_until - :lease
    RETURNING registry, cursor, attempt";

const KEEP_WATCH: &str = "
    UPDATE watch SET lease_until = CAST(unixepoch('subsec') * 1000 AS INTEGER) + :lease
    WHERE registry = :registry AND attempt = :attempt";

const MOVE_WATCH: &str =
    "UPDATE watch SET cursor = :cursor WHERE registry = :registry AND attempt = :attempt";

const CLAIM_FOLLOW_UPS: &str = "
    UPDATE filing SET follow_up_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + :lease,
        follow_ups = follow_ups + 1
    WHERE rowid IN (SELECT rowid FROM filing
        WHERE registry = :registry AND state = 3
            AND follow_up_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
        ORDER BY follow_up_at LIMIT :limit)
    RETURNING institution, key, digest, leaves, matter, registry, office, state, queued, outcome,
        case_id, 0 AS lease_left,
        CAST(unixepoch('subsec') * 1000 AS INTEGER) - admitted_at AS age, follow_ups, warned";

const PUT_OFF: &str = "
    UPDATE filing SET follow_up_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + :delay
    WHERE institution = :institution AND key = :key AND state = 3 AND follow_ups = :attempt";

const WARN: &str = "
    UPDATE filing SET events = events + 1, warned = 1,
        follow_up_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + :delay
    WHERE institution = :institution AND key = :key AND state = 3 AND follow_ups = :attempt
        AND NOT warned";

const FEED: &str = "SELECT last, acknowledged FROM feed WHERE institution = :institution";

const FEEDS: &str = "SELECT institution, last, acknowledged FROM feed";

const EVENTS_FROM: &str = "
    SELECT institution, position, key, sequence, kind, happened_at, outcome FROM event
    WHERE institution = :institution AND position >= :position ORDER BY position LIMIT :limit";

const ACKNOWLEDGE: &str = "
    UPDATE feed SET acknowledged = :position
    WHERE institution = :institution AND acknowledged < :position";

/// Of each feed no more than `:limit` events are looked at, from its beginning on. A cross join is one in this order.
const FORGET: &str = "
    DELETE FROM event WHERE (institution, position) IN (
        SELECT event.institution, event.position
        FROM feed CROSS JOIN event ON event.institution = feed.institution
            AND event.position < min(feed.last, :limit + (
                SELECT min(position) FROM event WHERE institution = feed.institution))
        WHERE event.happened_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - :age
        LIMIT :limit)";

const FORGET_IMPOSSIBLE: &str = "
    DELETE FROM impossible_event
    WHERE last_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - :age";
