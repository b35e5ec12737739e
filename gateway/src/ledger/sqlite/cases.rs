//! Cases as operators look for them, in a SQLite file.

use std::time::SystemTime;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row, named_params};

use super::{SqliteLedger, events::event, fault, read_standing, write};
use crate::ledger::{
    LedgerError, Sealed, State,
    cases::{Cases, Counted, Life, Listed, Mention, Sought, Telling, Told},
    events::{Event, moment},
    since_1970,
};

#[async_trait]
impl Cases for SqliteLedger {
    async fn called(
        &self,
        institutions: &[String],
        name: &str,
        limit: u32,
    ) -> Result<Vec<Listed>, LedgerError> {
        let (institutions, name) = (institutions.to_vec(), name.to_owned());
        let [digest, older] = Mention::either(&name).map(|mention| mention.map(|it| it.0));
        self.reader
            .run(move |database| {
                let mut found = Vec::new();
                for institution in &institutions {
                    let called = named_params! {
                        ":institution": institution, ":name": name, ":digest": digest,
                        ":older": older, ":limit": limit,
                    };
                    found.extend(listed(database, CALLED, called)?);
                }
                found.sort_by_key(|it| std::cmp::Reverse(it.at));
                found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                Ok(found)
            })
            .await
    }

    async fn cases(&self, sought: &Sought) -> Result<Vec<Listed>, LedgerError> {
        let sought = sought.clone();
        self.reader
            .run(move |database| {
                let after = sought.after.as_ref();
                let span = named_params! {
                    ":from": since_1970(sought.from), ":until": since_1970(sought.until),
                    ":institution": sought.institution, ":office": sought.office,
                    ":matter": sought.matter, ":state": sought.state.map(State::number),
                    ":after": after.map(|it| since_1970(it.at)),
                    ":after_institution": after.map(|it| it.institution.as_str()),
                    ":after_key": after.map(|it| it.key.as_str()), ":limit": sought.limit,
                };
                listed(database, CASES, span)
            })
            .await
    }

    async fn unsettled(&self, limit: u32) -> Result<Vec<Listed>, LedgerError> {
        self.reader
            .run(move |database| listed(database, UNSETTLED, named_params! { ":limit": limit }))
            .await
    }

    async fn life(&self, institution: &str, key: &str) -> Result<Option<Life>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(LIFE).map_err(fault)?;
                let named = named_params! { ":institution": institution, ":key": key };
                let life = statement.query_row(named, |row| {
                    let at = |name: &str| Ok(row.get::<_, Option<i64>>(name)?.map(moment));
                    let at = |name: &str| -> rusqlite::Result<_> { at(name) };
                    Ok(Life {
                        claimed: moment(row.get("admitted_at")?),
                        changed: moment(row.get("changed_at")?),
                        attempts: row.get("attempt")?,
                        announced: at("sent_at")?,
                        due: at("due")?,
                        given_up: at("given_up_at")?,
                        follow_up: at("follow_up_at")?,
                        follow_ups: row.get("follow_ups")?,
                        amount_fen: row.get("amount_fen")?,
                    })
                });
                life.optional().map_err(fault)
            })
            .await
    }

    async fn events_of(&self, institution: &str, key: &str) -> Result<Vec<Event>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(EVENTS_OF).map_err(fault)?;
                let named = named_params! { ":institution": institution, ":key": key };
                let mut rows = statement.query(named).map_err(fault)?;
                let mut events = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    events.push(event(row)?);
                }
                Ok(events)
            })
            .await
    }

    async fn tellings(&self, institution: &str, key: &str) -> Result<Vec<Telling>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(TELLINGS).map_err(fault)?;
                let named = named_params! { ":institution": institution, ":key": key };
                let told = statement.query_map(named, telling).map_err(fault)?;
                told.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }

    async fn sealed(&self, institution: &str, key: &str) -> Result<Option<Sealed>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(SEALED).map_err(fault)?;
                let named = named_params! { ":institution": institution, ":key": key };
                let sealed = statement.query_row(named, |row| {
                    Ok(Sealed { key: row.get("seal_key")?, bytes: row.get("sealed")? })
                });
                sealed.optional().map_err(fault)
            })
            .await
    }

    async fn counted(&self, since: SystemTime) -> Result<Vec<Counted>, LedgerError> {
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(COUNTED).map_err(fault)?;
                let since = named_params! { ":since": since_1970(since) };
                let counted = statement.query_map(since, |row| {
                    Counted::read(|name| row.get(name), |name| row.get(name))
                });
                counted.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }
}

/// Notes the numbers that a filing is found by.
pub(super) fn mention(
    database: &Connection,
    institution: &str,
    key: &str,
    mentions: &[Mention],
) -> Result<(), LedgerError> {
    for mention in mentions {
        let named = named_params! {
            ":digest": mention.0, ":institution": institution, ":key": key,
        };
        write(database, MENTION, named)?;
    }
    Ok(())
}

fn listed(
    database: &Connection,
    statement: &str,
    parameters: impl Params,
) -> Result<Vec<Listed>, LedgerError> {
    let mut statement = database.prepare_cached(statement).map_err(fault)?;
    let mut rows = statement.query(parameters).map_err(fault)?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        listed.push(Listed {
            record: read_standing(row)?.record,
            at: moment(row.get("admitted_at").map_err(fault)?),
            attempts: row.get("attempt").map_err(fault)?,
            given_up: row.get("given_up").map_err(fault)?,
        });
    }
    Ok(listed)
}

fn telling(row: &Row<'_>) -> rusqlite::Result<Telling> {
    let tries: Option<i64> = row.get("tries")?;
    Ok(Telling {
        subscriber: row.get("subscriber")?,
        position: row.get("position")?,
        told: match tries {
            Some(tries) if row.get("parked")? => Told::Parked { tries },
            Some(tries) => Told::Again { tries, due: moment(row.get("due_at")?) },
            None if row.get("passed")? => Told::Yes,
            None => Told::NotYet,
        },
    })
}

const MENTION: &str = "
    INSERT INTO mention (digest, institution, key) VALUES (:digest, :institution, :key)
    ON CONFLICT DO NOTHING";

const CALLED: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
        iif(state = 1 AND unsent_attempt = attempt AND lease_until <= now, iif(queued, 6, 4), state)
            AS state, queued,
        0 AS lease_left, now - admitted_at AS age, admitted_at, attempt,
        given_up_at IS NOT NULL AND state = 2 AS given_up
    FROM filing, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
    WHERE institution = :institution AND key IN (
        SELECT :name
        UNION SELECT key FROM filing WHERE institution = :institution AND case_id = :name
        UNION SELECT key FROM mention WHERE digest IN (:digest, :older) AND institution = :institution)
    ORDER BY admitted_at DESC LIMIT :limit";

/// Those of a span are found by their own index, and read from its end.
const CASES: &str = "
    SELECT * FROM (
        SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
            iif(state = 1 AND unsent_attempt = attempt AND lease_until <= now,
                iif(queued, 6, 4), state) AS state, queued,
            0 AS lease_left, now - admitted_at AS age, admitted_at, attempt,
            given_up_at IS NOT NULL AND state = 2 AS given_up
        FROM filing INDEXED BY filing_admitted,
            (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
        WHERE admitted_at >= :from AND admitted_at < :until)
    WHERE (:institution IS NULL OR institution = :institution)
        AND (:office IS NULL OR office = :office) AND (:matter IS NULL OR matter = :matter)
        AND (:state IS NULL OR state = :state)
        AND (:after IS NULL
            OR (admitted_at, institution, key) < (:after, :after_institution, :after_key))
    ORDER BY admitted_at DESC, institution DESC, key DESC LIMIT :limit";

/// The states are named twice for the index on what is open to be used.
const UNSETTLED: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id, state,
        queued, 0 AS lease_left, CAST(unixepoch('subsec') * 1000 AS INTEGER) - admitted_at AS age,
        admitted_at, attempt, given_up_at IS NOT NULL AS given_up
    FROM filing WHERE state IN (1, 2) AND state = 2 ORDER BY admitted_at LIMIT :limit";

const LIFE: &str = "
    SELECT admitted_at, changed_at, attempt, sent_at, given_up_at, follow_up_at, follow_ups,
        amount_fen, iif(state = 2 AND given_up_at IS NULL, due_at, NULL) AS due
    FROM filing WHERE institution = :institution AND key = :key";

const EVENTS_OF: &str = "
    SELECT institution, position, key, sequence, kind, happened_at, outcome FROM event
    WHERE institution = :institution AND key = :key ORDER BY sequence";

const TELLINGS: &str = "
    SELECT subscription.subscriber, event.position, event.position <= subscription.position
            AS passed, tries, parked, due_at
    FROM event CROSS JOIN subscription ON subscription.institution = event.institution
        LEFT JOIN notice ON notice.subscriber = subscription.subscriber
            AND notice.institution = event.institution AND notice.position = event.position
    WHERE event.institution = :institution AND event.key = :key
    ORDER BY subscription.subscriber, event.position";

const SEALED: &str =
    "SELECT seal_key, sealed FROM queue WHERE institution = :institution AND key = :key";

const COUNTED: &str = "
    SELECT institution, registry, office, count(*) AS filings,
        count(*) FILTER (WHERE state = 3) AS answered,
        count(*) FILTER (WHERE state = 2) AS unknown, count(*) FILTER (WHERE state = 4) AS unsent,
        count(*) FILTER (WHERE state = 3 AND events = 1) AS timed,
        coalesce(sum(changed_at - admitted_at) FILTER (WHERE state = 3 AND events = 1), 0) AS total,
        coalesce(max(changed_at - admitted_at) FILTER (WHERE state = 3 AND events = 1), 0) AS longest
    FROM filing INDEXED BY filing_admitted
    WHERE admitted_at >= :since GROUP BY institution, registry, office";
