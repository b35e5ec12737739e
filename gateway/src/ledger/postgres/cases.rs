//! Cases as operators look for them, in Postgres.

use std::time::SystemTime;

use async_trait::async_trait;
use tokio_postgres::{Row, types::ToSql};

use super::{PostgresLedger, column, events::event, standing};
use crate::ledger::{
    LedgerError, Sealed, State,
    cases::{Cases, Counted, Life, Listed, Mention, Sought, Telling, Told},
    events::Event,
};

#[async_trait]
impl Cases for PostgresLedger {
    async fn called(
        &self,
        institutions: &[String],
        name: &str,
        limit: u32,
    ) -> Result<Vec<Listed>, LedgerError> {
        let digests = Mention::either(name).map(|mention| mention.map(|it| it.0.to_vec()));
        let (digests, limit) = (digests.as_slice(), i64::from(limit));
        let called: [&(dyn ToSql + Sync); 4] = [&institutions, &name, &digests, &limit];
        self.server.query(CALLED, &called).await?.iter().map(listed).collect()
    }

    async fn cases(&self, sought: &Sought) -> Result<Vec<Listed>, LedgerError> {
        let Sought { from, until, institution, office, matter, state, after, limit } = sought;
        let (state, limit) = (state.map(State::number), i64::from(*limit));
        let after = after.as_ref();
        let (at, after_institution, after_key) = (
            after.map(|it| it.at),
            after.map(|it| it.institution.as_str()),
            after.map(|it| it.key.as_str()),
        );
        let span: [&(dyn ToSql + Sync); 10] = [
            from,
            until,
            institution,
            office,
            matter,
            &state,
            &at,
            &after_institution,
            &after_key,
            &limit,
        ];
        self.server.query(CASES, &span).await?.iter().map(listed).collect()
    }

    async fn unsettled(&self, limit: u32) -> Result<Vec<Listed>, LedgerError> {
        self.server.query(UNSETTLED, &[&i64::from(limit)]).await?.iter().map(listed).collect()
    }

    async fn life(&self, institution: &str, key: &str) -> Result<Option<Life>, LedgerError> {
        let rows = self.server.query(LIFE, &[&institution, &key]).await?;
        let life = rows.first().map(|row| {
            let follow_ups: i32 = column(row, "follow_ups")?;
            Ok(Life {
                claimed: column(row, "admitted_at")?,
                changed: column(row, "changed_at")?,
                attempts: column(row, "attempt")?,
                announced: column(row, "sent_at")?,
                due: column(row, "due")?,
                given_up: column(row, "given_up_at")?,
                follow_up: column(row, "follow_up_at")?,
                follow_ups: follow_ups.into(),
                amount_fen: column(row, "amount_fen")?,
            })
        });
        life.transpose()
    }

    async fn events_of(&self, institution: &str, key: &str) -> Result<Vec<Event>, LedgerError> {
        self.server.query(EVENTS_OF, &[&institution, &key]).await?.iter().map(event).collect()
    }

    async fn tellings(&self, institution: &str, key: &str) -> Result<Vec<Telling>, LedgerError> {
        self.server.query(TELLINGS, &[&institution, &key]).await?.iter().map(telling).collect()
    }

    async fn sealed(&self, institution: &str, key: &str) -> Result<Option<Sealed>, LedgerError> {
        let rows = self.server.query(SEALED, &[&institution, &key]).await?;
        let sealed = rows
            .first()
            .map(|row| Ok(Sealed { key: column(row, "seal_key")?, bytes: column(row, "sealed")? }));
        sealed.transpose()
    }

    async fn counted(&self, since: SystemTime) -> Result<Vec<Counted>, LedgerError> {
        let counted = |row: &Row| Counted::read(|name| column(row, name), |name| column(row, name));
        self.server.query(COUNTED, &[&since]).await?.iter().map(counted).collect()
    }
}

fn listed(row: &Row) -> Result<Listed, LedgerError> {
    Ok(Listed {
        record: standing(row)?.record,
        at: column(row, "admitted_at")?,
        attempts: column(row, "attempt")?,
        given_up: column(row, "given_up")?,
    })
}

fn telling(row: &Row) -> Result<Telling, LedgerError> {
    let tries: Option<i32> = column(row, "tries")?;
    Ok(Telling {
        subscriber: column(row, "subscriber")?,
        position: column(row, "position")?,
        told: match tries.map(i64::from) {
            Some(tries) if column(row, "parked")? => Told::Parked { tries },
            Some(tries) => Told::Again { tries, due: column(row, "due_at")? },
            None if column(row, "passed")? => Told::Yes,
            None => Told::NotYet,
        },
    })
}

const CALLED: &str = "
    SELECT filing.institution, filing.key, digest, leaves, matter, registry, office, outcome, case_id,
        CASE WHEN state = 1 AND unsent_attempt = attempt AND lease_until <= now()
            THEN (CASE WHEN queued THEN 6 ELSE 4 END)::smallint ELSE state END AS state, queued,
        0::bigint AS lease_left, (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age,
        admitted_at, attempt, given_up_at IS NOT NULL AND state = 2 AS given_up
    FROM (
        SELECT institution, $2::text AS key FROM unnest($1::text[]) AS institution
        UNION SELECT filing.institution, filing.key
        FROM unnest($1::text[]) AS named (institution)
            JOIN filing ON filing.institution = named.institution AND case_id = $2
        UNION SELECT institution, key FROM mention
        WHERE digest = ANY($3::bytea[]) AND institution = ANY($1::text[])) AS called
        JOIN filing ON filing.institution = called.institution AND filing.key = called.key
    ORDER BY admitted_at DESC LIMIT $4";

const CASES: &str = "
    SELECT * FROM (
        SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id,
            CASE WHEN state = 1 AND unsent_attempt = attempt AND lease_until <= now()
                THEN (CASE WHEN queued THEN 6 ELSE 4 END)::smallint ELSE state END AS state, queued,
            0::bigint AS lease_left,
            (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age,
            admitted_at, attempt, given_up_at IS NOT NULL AND state = 2 AS given_up
        FROM filing WHERE admitted_at >= $1 AND admitted_at < $2) AS filing
    WHERE ($3::text IS NULL OR institution = $3) AND ($4::text IS NULL OR office = $4)
        AND ($5::text IS NULL OR matter = $5) AND ($6::smallint IS NULL OR state = $6)
        AND ($7::timestamptz IS NULL
            OR (admitted_at, institution COLLATE \"C\", key COLLATE \"C\") < ($7, $8::text, $9::text))
    ORDER BY admitted_at DESC, institution COLLATE \"C\" DESC, key COLLATE \"C\" DESC LIMIT $10";

/// The states are named twice for the index on what is open to be used.
const UNSETTLED: &str = "
    SELECT institution, key, digest, leaves, matter, registry, office, outcome, case_id, state,
        queued, 0::bigint AS lease_left,
        (extract(epoch FROM now() - admitted_at) * 1000)::bigint AS age,
        admitted_at, attempt, given_up_at IS NOT NULL AS given_up
    FROM filing WHERE state IN (1, 2) AND state = 2 ORDER BY admitted_at LIMIT $1";

const LIFE: &str = "
    SELECT admitted_at, changed_at, attempt, sent_at, given_up_at, follow_up_at, follow_ups,
        amount_fen, CASE WHEN state = 2 AND given_up_at IS NULL THEN due_at END AS due
    FROM filing WHERE institution = $1 AND key = $2";

const EVENTS_OF: &str = "
    SELECT institution, position, key, sequence, kind, outcome,
        (extract(epoch FROM happened_at) * 1000)::bigint AS happened_ms
    FROM event WHERE institution = $1 AND key = $2 ORDER BY sequence";

const TELLINGS: &str = "
    SELECT subscription.subscriber, event.position,
        event.position <= subscription.position AS passed, tries, parked, due_at
    FROM event JOIN subscription ON subscription.institution = event.institution
        LEFT JOIN notice ON notice.subscriber = subscription.subscriber
            AND notice.institution = event.institution AND notice.position = event.position
    WHERE event.institution = $1 AND event.key = $2
    ORDER BY subscription.subscriber, event.position";

const SEALED: &str = "SELECT seal_key, sealed FROM queue WHERE institution = $1 AND key = $2";

const COUNTED: &str = "
    SELECT institution, registry, office, count(*) AS filings,
        count(*) FILTER (WHERE state = 3) AS answered,
        count(*) FILTER (WHERE state = 2) AS unknown, count(*) FILTER (WHERE state = 4) AS unsent,
        count(*) FILTER (WHERE state = 3 AND events = 1) AS timed,
        coalesce(sum(extract(epoch FROM changed_at - admitted_at) * 1000)
            FILTER (WHERE state = 3 AND events = 1), 0)::bigint AS total,
        coalesce(max(extract(epoch FROM changed_at - admitted_at) * 1000)
            FILTER (WHERE state = 3 AND events = 1), 0)::bigint AS longest
    FROM filing WHERE admitted_at >= $1 GROUP BY institution, registry, office";
