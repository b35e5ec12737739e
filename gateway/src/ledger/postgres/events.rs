//! Events in Postgres: each statement that changes a case writes its event too.
//!
//! Positions are given out by the institution's row in `feed`, whose lock is kept until the transaction is over: who numbers
//! events next waits until those before it can be read, so that no reader ever passes one by that is put before its place
//! later. What is judged here is written only if the case is still as it was judged; else it is judged anew. Source:
//! postgresql.org, "Explicit Locking" and "Data-Modifying Statements in WITH"; docs/decisions/0015.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use prost::Message;
use proto::v1::Outcome;
use tokio_postgres::{Row, types::ToSql};

use super::{Fault, PostgresLedger, column, standing};
use crate::{
    case::{Told, Why},
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

/// A statement that changes filings, each row of its part `changed` (institution, key, events, outcome), and writes an event
/// for each. Feeds are locked after filings, in the same order by everybody.
macro_rules! telling {
    ($kind:literal, $changing:literal, $said:literal) => {
        concat!(
            "WITH ",
            $changing,
            ",
            numbered AS MATERIALIZED (
            SELECT institution, key, events, outcome,
                row_number() OVER (PARTITION BY institution ORDER BY key) AS place,
                count(*) OVER (PARTITION BY institution) AS places
            FROM changed),
            fed AS (
            INSERT INTO feed (institution, last)
            SELECT DISTINCT institution, places FROM numbered ORDER BY institution
            ON CONFLICT (institution) DO UPDATE SET last = feed.last + excluded.last
            RETURNING institution, last),
            told AS (
            INSERT INTO event (institution, position, key, sequence, kind, happened_at, outcome)
            SELECT institution, last - places + place, key, events, ",
            $kind,
            ", clock_timestamp(), outcome
            FROM numbered JOIN fed USING (institution))
            ",
            $said
        )
    };
}

#[async_trait]
impl Events for PostgresLedger {
    async fn record(&self, account: &Account) -> Result<Recorded, LedgerError> {
        for _ in 0..RECORD_TRIES {
            let judgements = self.judgements(std::slice::from_ref(account)).await?;
            if self.write_down(&judgements, None).await?.is_some() {
                let judgement = judgements.into_iter().next();
                return Ok(judgement.map_or(Recorded::Unheard, |judgement| judgement.recorded));
            }
        }
        Err(LedgerError::unavailable(Fault::Contended))
    }

    async fn record_watched(
        &self,
        watch: &Watch,
        accounts: &[Account],
        cursor: &str,
    ) -> Result<Option<Vec<Recorded>>, LedgerError> {
        for _ in 0..RECORD_TRIES {
            let judgements = self.judgements(accounts).await?;
            if let Some(mine) = self.write_down(&judgements, Some((watch, cursor))).await? {
                let recorded = judgements.into_iter().map(|judgement| judgement.recorded);
                return Ok(mine.then(|| recorded.collect()));
            }
        }
        Err(LedgerError::unavailable(Fault::Contended))
    }

    async fn claim_watch(
        &self,
        registry: &str,
        lease: Duration,
    ) -> Result<Option<Watch>, LedgerError> {
        let rows = self.server.write(CLAIM_WATCH, &[&registry, &milliseconds(lease)]).await?;
        let taken = rows.first().map(|row| {
            Ok(Watch {
                registry: column(row, "registry")?,
                cursor: column(row, "cursor")?,
                attempt: column(row, "attempt")?,
            })
        });
        taken.transpose()
    }

    async fn keep_watch(&self, watch: &Watch, lease: Duration) -> Result<bool, LedgerError> {
        let lease = milliseconds(lease);
        let kept =
            self.server.write(KEEP_WATCH, &[&watch.registry, &watch.attempt, &lease]).await?;
        Ok(!kept.is_empty())
    }

    async fn claim_follow_ups(
        &self,
        registry: &str,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<FollowUp>, LedgerError> {
        let (limit, lease) = (i64::from(limit), milliseconds(lease));
        let rows = self.server.write(CLAIM_FOLLOW_UPS, &[&registry, &limit, &lease]).await?;
        let taken = |row: &Row| {
            let attempt: i32 = column(row, "follow_ups")?;
            Ok(FollowUp {
                record: standing(row)?.record,
                attempt: attempt.into(),
                warned: column(row, "warned")?,
            })
        };
        rows.iter().map(taken).collect()
    }

    async fn put_off_follow_up(
        &self,
        follow_up: &FollowUp,
        delay: Option<Duration>,
    ) -> Result<(), LedgerError> {
        let delay = delay.map(milliseconds);
        let record = &follow_up.record;
        let put_off: [&(dyn ToSql + Sync); 4] =
            [&record.institution, &record.key, &follow_up.attempt, &delay];
        self.server.write(PUT_OFF, &put_off).await.map(drop)
    }

    async fn warn(&self, follow_up: &FollowUp, delay: Duration) -> Result<bool, LedgerError> {
        let delay = milliseconds(delay);
        let record = &follow_up.record;
        let warned: [&(dyn ToSql + Sync); 4] =
            [&record.institution, &record.key, &follow_up.attempt, &delay];
        Ok(!self.server.write(WARN, &warned).await?.is_empty())
    }

    async fn events_after(
        &self,
        institution: &str,
        after: &After,
        limit: u32,
    ) -> Result<Page, LedgerError> {
        let from = match after {
            After::Event(id) => id.position(),
            After::Acknowledged => {
                self.feed(institution).await?.map_or(0, |feed| feed.acknowledged)
            }
        };
        // The one at the place itself is read too: it shows that this is the feed that was told of.
        let rows_max = i64::from(limit).saturating_add(1);
        let rows = self.server.query(EVENTS_FROM, &[&institution, &from, &rows_max]).await?;
        let events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        let place = match (after, events.first()) {
            (After::Event(id), _) => *id,
            (After::Acknowledged, Some(event)) if event.position == from => event.id(),
            (After::Acknowledged, _) => EventId::NONE,
        };
        let last = match events.last() {
            Some(event) => event.position,
            None => self.feed(institution).await?.map_or(0, |feed| feed.last),
        };
        Ok(page(place, events, last, limit))
    }

    async fn acknowledge(&self, institution: &str, event: &EventId) -> Result<bool, LedgerError> {
        let there = self.events_after(institution, &After::Event(*event), 0).await?;
        if there == Page::NoSuchPlace {
            return Ok(false);
        }
        self.server.write(ACKNOWLEDGE, &[&institution, &event.position()]).await?;
        Ok(true)
    }

    async fn feeds(&self) -> Result<Vec<Feed>, LedgerError> {
        self.server.query(FEEDS, &[]).await?.iter().map(feed).collect()
    }

    async fn forget_events(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        let age = milliseconds(age);
        self.server.write(FORGET_IMPOSSIBLE, &[&age]).await?;
        let forgotten = self.server.write(FORGET, &[&age, &i64::from(limit)]).await?;
        Ok(u32::try_from(forgotten.len()).unwrap_or(u32::MAX))
    }
}

/// What is to be made of an account, and of which outcome that was judged.
struct Judgement<'a> {
    account: &'a Account,
    /// As the store holds it.
    known: Option<Vec<u8>>,
    recorded: Recorded,
}

impl Judgement<'_> {
    /// Why it is to be recorded as impossible; `None` if nothing is to be written.
    fn to_write(&self) -> Option<Option<Why>> {
        match &self.recorded {
            Recorded::News { .. } => Some(None),
            Recorded::Impossible(why, _) => Some(Some(*why)),
            Recorded::Same(_) | Recorded::Unheard => None,
        }
    }
}

impl PostgresLedger {
    async fn judgements<'a>(
        &self,
        accounts: &'a [Account],
    ) -> Result<Vec<Judgement<'a>>, LedgerError> {
        let institutions: Vec<_> = accounts.iter().map(|it| it.institution.as_str()).collect();
        let keys: Vec<_> = accounts.iter().map(|it| it.key.as_str()).collect();
        let mut filings = HashMap::new();
        for row in &self.server.query(KNOWN, &[&institutions, &keys]).await? {
            let name: (String, String) = (column(row, "institution")?, column(row, "key")?);
            let state = State::from_number(column(row, "state")?)?;
            filings.insert(name, (state, column::<Option<Vec<u8>>>(row, "outcome")?));
        }
        let judgement = |account: &'a Account| {
            let name = (account.institution.clone(), account.key.clone());
            let (known, recorded) = match filings.remove(&name) {
                None | Some((State::Retired, _)) => (None, Recorded::Unheard),
                Some((_, bytes)) => {
                    let known = bytes.as_deref().map(Outcome::decode).transpose();
                    let known = known.map_err(LedgerError::corrupt)?;
                    let recorded = match judged(known.as_ref(), &account.outcome) {
                        Told::Same => Recorded::Same(known.unwrap_or_default()),
                        Told::News => Recorded::News { before: known },
                        Told::Impossible(why) => {
                            Recorded::Impossible(why, known.unwrap_or_default())
                        }
                    };
                    (bytes, recorded)
                }
            };
            Ok(Judgement { account, known, recorded })
        };
        accounts.iter().map(judgement).collect()
    }

    /// Writes judgements down, all or none. `None`: a case has changed meanwhile; else, whether the watch is still had.
    async fn write_down(
        &self,
        judgements: &[Judgement<'_>],
        watch: Option<(&Watch, &str)>,
    ) -> Result<Option<bool>, LedgerError> {
        let writing: Vec<_> =
            judgements.iter().filter_map(|it| Some((it, it.to_write()?))).collect();
        if writing.is_empty() && watch.is_none() {
            return Ok(Some(true));
        }
        let outcomes: Vec<_> =
            writing.iter().map(|(it, _)| it.account.outcome.encode_to_vec()).collect();
        let mentions: Vec<_> = writing
            .iter()
            .filter(|(_, why)| why.is_none())
            .flat_map(|(it, _)| {
                let named = Mention::of_all(&it.account.outcome.certificate_numbers);
                named.into_iter().map(|mention| (mention, it.account))
            })
            .collect();
        let digests: Vec<_> = outcomes.iter().map(|bytes| digest_of(bytes)).collect();
        let rows = self
            .server
            .write(
                RECORD,
                &[
                    &writing
                        .iter()
                        .map(|(it, _)| it.account.institution.as_str())
                        .collect::<Vec<_>>(),
                    &writing.iter().map(|(it, _)| it.account.key.as_str()).collect::<Vec<_>>(),
                    &writing.iter().map(|(it, _)| it.known.as_deref()).collect::<Vec<_>>(),
                    &writing.iter().map(|(_, why)| why.map(Why::label)).collect::<Vec<_>>(),
                    &writing.iter().map(|(it, _)| case_id(&it.account.outcome)).collect::<Vec<_>>(),
                    &outcomes,
                    &digests.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>(),
                    &writing
                        .iter()
                        .map(|(it, _)| it.account.follow_up.map(milliseconds))
                        .collect::<Vec<_>>(),
                    &watch.map(|(watch, _)| watch.registry.as_str()),
                    &watch.map(|(watch, _)| watch.attempt),
                    &watch.map(|(_, cursor)| cursor),
                    &mentions.iter().map(|(it, _)| it.0.as_slice()).collect::<Vec<_>>(),
                    &mentions.iter().map(|(_, it)| it.institution.as_str()).collect::<Vec<_>>(),
                    &mentions.iter().map(|(_, it)| it.key.as_str()).collect::<Vec<_>>(),
                ],
            )
            .await?;
        let verdict = rows.first().ok_or_else(|| LedgerError::corrupt("no verdict"))?;
        let (current, mine): (bool, bool) = (column(verdict, "current")?, column(verdict, "mine")?);
        Ok(if mine { current.then_some(true) } else { Some(false) })
    }

    async fn feed(&self, institution: &str) -> Result<Option<Feed>, LedgerError> {
        self.server.query(FEED, &[&institution]).await?.first().map(feed).transpose()
    }
}

fn feed(row: &Row) -> Result<Feed, LedgerError> {
    Ok(Feed {
        institution: column(row, "institution")?,
        last: column(row, "last")?,
        acknowledged: column(row, "acknowledged")?,
    })
}

pub(super) fn event(row: &Row) -> Result<Event, LedgerError> {
    let sequence: i32 = column(row, "sequence")?;
    Ok(Event {
        institution: column(row, "institution")?,
        position: column(row, "position")?,
        key: column(row, "key")?,
        sequence: sequence.into(),
        kind: Kind::from_number(column(row, "kind")?)?,
        happened_at: moment(column(row, "happened_ms")?),
        outcome: Outcome::decode(column::<&[u8]>(row, "outcome")?).map_err(LedgerError::corrupt)?,
    })
}

/// How often a case that changes while it is judged is judged anew.
const RECORD_TRIES: u32 = 8;

/// Records answers, each the first of its filing, and keeps the leaves of exchanges that end at the same moment.
pub(super) const END: &str = telling!(
    "1",
    "witnessed AS (
    INSERT INTO evidence_waiting (institution, key, leaf, salt)
    SELECT * FROM unnest($7::text[], $8::text[], $9::text[], $10::bytea[])),
    mentioned AS (
    INSERT INTO mention (digest, institution, key)
    SELECT DISTINCT * FROM unnest($11::bytea[], $12::text[], $13::text[]) ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING),
    answered AS MATERIALIZED (
    SELECT answered.*
    FROM set_config('lock_timeout', coalesce($6, current_setting('lock_timeout')), true),
        unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[])
            AS answered (institution, key, case_id, outcome, follow_up)
    ORDER BY institution, key),
    changed AS (
    UPDATE filing SET state = 3, case_id = answered.case_id, outcome = answered.outcome,
        events = filing.events + 1, follow_ups = 0, warned = false,
        follow_up_at = now() + answered.follow_up * interval '1 millisecond', changed_at = now()
    FROM answered WHERE filing.institution = answered.institution AND filing.key = answered.key
        AND state NOT IN (3, 5)
    RETURNING filing.institution, filing.key, filing.events, filing.outcome)",
    "SELECT institution, key FROM changed"
);

pub(super) const WITHDRAW_QUEUED: &str = telling!(
    "1",
    "changed AS (
    UPDATE filing SET state = 3, outcome = $3, events = events + 1, changed_at = now()
    WHERE institution = $1 AND key = $2 AND queued AND (state = 6
        OR state = 1 AND unsent_attempt = attempt AND lease_until <= now())
    RETURNING institution, key, events, outcome)",
    "SELECT key FROM changed"
);

pub(super) const REFUSE_QUEUED: &str = telling!(
    "1",
    "changed AS (
    UPDATE filing SET state = 3, outcome = $3, events = events + 1, changed_at = now()
    WHERE institution = $1 AND key = $2 AND attempt = $4 AND queued AND state IN (1, 2)
        AND lease_until > clock_timestamp()
    RETURNING institution, key, events, outcome)",
    "SELECT key FROM changed"
);

const KNOWN: &str = "
    SELECT filing.institution, filing.key, state, outcome
    FROM unnest($1::text[], $2::text[]) AS named (institution, key)
        JOIN filing ON filing.institution = named.institution AND filing.key = named.key";

/// Writes what was judged if every case is still as it was judged and the watch, if there is one, is still had; else
/// nothing.
const RECORD: &str = telling!(
    "1",
    "account AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bytea[],
        $7::bytea[], $8::bigint[])
        AS account (institution, key, known, why, case_id, outcome, digest, follow_up)),
    held AS MATERIALIZED (
    SELECT account.*, filing.registry
    FROM account JOIN filing
        ON filing.institution = account.institution AND filing.key = account.key
    WHERE filing.state <> 5 AND filing.outcome IS NOT DISTINCT FROM account.known
    ORDER BY filing.institution, filing.key
    FOR UPDATE OF filing),
    watched AS MATERIALIZED (
    SELECT registry FROM watch WHERE registry = $9 AND attempt = $10 FOR UPDATE),
    verdict AS MATERIALIZED (
    SELECT (SELECT count(*) FROM held) = (SELECT count(*) FROM account) AS current,
        $9::text IS NULL OR EXISTS (SELECT FROM watched) AS mine),
    moved AS (
    UPDATE watch SET cursor = $11
    FROM verdict WHERE current AND mine AND watch.registry = $9),
    mentioned AS (
    INSERT INTO mention (digest, institution, key)
    SELECT DISTINCT named.* FROM verdict, unnest($12::bytea[], $13::text[], $14::text[]) AS named
    WHERE current AND mine ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING),
    refused AS (
    INSERT INTO impossible_event (institution, key, digest, registry, why, outcome, times, first_at,
        last_at)
    SELECT institution, key, digest, registry, why, outcome, 1, now(), now()
    FROM held, verdict WHERE current AND mine AND why IS NOT NULL
    ORDER BY institution, key
    ON CONFLICT (institution, key, digest) DO UPDATE SET
        times = impossible_event.times + 1, last_at = excluded.last_at, why = excluded.why),
    changed AS (
    UPDATE filing SET state = 3, case_id = held.case_id, outcome = held.outcome,
        events = filing.events + 1, follow_ups = 0, warned = false,
        follow_up_at = now() + held.follow_up * interval '1 millisecond', changed_at = now()
    FROM held, verdict WHERE current AND mine AND held.why IS NULL
        AND filing.institution = held.institution AND filing.key = held.key
    RETURNING filing.institution, filing.key, filing.events, filing.outcome)",
    "SELECT current, mine FROM verdict"
);

const CLAIM_WATCH: &str = "
    INSERT INTO watch (registry, cursor, attempt, lease_until)
    VALUES ($1, '', 1, now() + $2::bigint * interval '1 millisecond')
    ON CONFLICT (registry) DO UPDATE SET
        attempt = watch.attempt + 1, lease_until = excluded.lease_until
    WHERE watch.lease_until <= now()
    RETURNING registry, cursor, attempt";

const KEEP_WATCH: &str = "
    UPDATE watch SET lease_until = now() + $3::bigint * interval '1 millisecond'
    WHERE registry = $1 AND attempt = $2
    RETURNING registry";

/// Rows that another is just taking are skipped, not waited for.
const CLAIM_FOLLOW_UPS: &str = "
    WITH due AS MATERIALIZED (
        SELECT institution, key FROM filing
        WHERE registry = $1 AND state = 3 AND follow_up_at <= now()
        ORDER BY follow_up_at LIMIT $2
        FOR UPDATE SKIP LOCKED)
    UPDATE filing SET follow_up_at = now() + $3::bigint * interval '1 millisecond',
        follow_ups = follow_ups + 1
    FROM due WHERE filing.institution = due.institution AND filing.key = due.key
    RETURNING filing.institution, filing.key, digest, leaves, matter, registry, office, state,
        queued, outcome, case_id, 0::bigint AS lease_left,
        (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age, follow_ups, warned";

const PUT_OFF: &str = "
    UPDATE filing SET follow_up_at = now() + $4::bigint * interval '1 millisecond'
    WHERE institution = $1 AND key = $2 AND state = 3 AND follow_ups = $3::bigint";

const WARN: &str = telling!(
    "2",
    "changed AS (
    UPDATE filing SET events = events + 1, warned = true,
        follow_up_at = now() + $4::bigint * interval '1 millisecond'
    WHERE institution = $1 AND key = $2 AND state = 3 AND follow_ups = $3::bigint AND NOT warned
    RETURNING institution, key, events, outcome)",
    "SELECT key FROM changed"
);

const FEED: &str = "SELECT institution, last, acknowledged FROM feed WHERE institution = $1";

const FEEDS: &str = "SELECT institution, last, acknowledged FROM feed";

const EVENTS_FROM: &str = "
    SELECT institution, position, key, sequence, kind, outcome,
        (extract(epoch FROM happened_at) * 1000)::bigint AS happened_ms
    FROM event WHERE institution = $1 AND position >= $2 ORDER BY position LIMIT $3";

const ACKNOWLEDGE: &str =
    "UPDATE feed SET acknowledged = $2 WHERE institution = $1 AND acknowledged < $2";

/// Of each feed no more than `$2` events are looked at, from its beginning on.
const FORGET: &str = "
    DELETE FROM event USING (
        SELECT feed.institution, oldest.position
        FROM feed CROSS JOIN LATERAL (
            SELECT position, happened_at FROM event
            WHERE event.institution = feed.institution AND event.position < feed.last
            ORDER BY position LIMIT $2) AS oldest
        WHERE oldest.happened_at < now() - $1::bigint * interval '1 millisecond'
        LIMIT $2) AS old
    WHERE event.institution = old.institution AND event.position = old.position
    RETURNING event.position";

const FORGET_IMPOSSIBLE: &str = "
    DELETE FROM impossible_event WHERE last_at < now() - $1::bigint * interval '1 millisecond'";
