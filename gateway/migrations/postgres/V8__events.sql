-- Events: every change of a case, with the change it tells of.
ALTER TABLE filing ADD COLUMN events integer NOT NULL DEFAULT 0,
    ADD COLUMN follow_up_at timestamptz,
    ADD COLUMN follow_ups integer NOT NULL DEFAULT 0,
    ADD COLUMN warned boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN filing.events IS 'How many events there are of the case.';
COMMENT ON COLUMN filing.follow_up_at IS 'From then on it is to be seen how the case stands; null: not at all.';
COMMENT ON COLUMN filing.follow_ups IS 'How often that was looked for since the case last changed.';
COMMENT ON COLUMN filing.warned IS 'Whether the bank was told that the deadline of this state is near.';

-- Holds what is to be followed up.
CREATE INDEX filing_follow_up ON filing (registry, follow_up_at) WHERE follow_up_at IS NOT NULL;

-- A row is changed with every group of events, and holds its place: whoever numbers events waits for who did before.
CREATE TABLE feed (
    institution  text   PRIMARY KEY,
    last         bigint NOT NULL,
    acknowledged bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

COMMENT ON TABLE feed IS 'How far each institution''s feed has come.';
COMMENT ON COLUMN feed.institution IS 'Whose it is.';
COMMENT ON COLUMN feed.last IS 'Position of its last event.';
COMMENT ON COLUMN feed.acknowledged IS 'Position up to which the institution has acknowledged events.';

CREATE TABLE event (
    institution text        NOT NULL,
    position    bigint      NOT NULL,
    key         text        NOT NULL,
    sequence    integer     NOT NULL,
    kind        smallint    NOT NULL,
    happened_at timestamptz NOT NULL,
    outcome     bytea       NOT NULL,
    PRIMARY KEY (institution, position)
);

COMMENT ON TABLE event IS 'Events: every change of a case, in the order in which the ledger came to know it. Times are by this server''s clock.';
COMMENT ON COLUMN event.institution IS 'Whose case it is.';
COMMENT ON COLUMN event.position IS 'Place in the institution''s feed, from 1.';
COMMENT ON COLUMN event.key IS 'The filing.';
COMMENT ON COLUMN event.sequence IS 'Number among the filing''s events, from 1 without gaps.';
COMMENT ON COLUMN event.kind IS '1 the case changed, 2 it did not and a deadline is near.';
COMMENT ON COLUMN event.happened_at IS 'When it became known.';
COMMENT ON COLUMN event.outcome IS 'The case after it, a directlink.v1.Outcome in protobuf''s binary form.';

CREATE TABLE impossible_event (
    institution text        NOT NULL,
    key         text        NOT NULL,
    digest      bytea       NOT NULL CHECK (octet_length(digest) = 32),
    registry    text        NOT NULL,
    why         text        NOT NULL,
    outcome     bytea       NOT NULL,
    times       bigint      NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (institution, key, digest)
);

COMMENT ON TABLE impossible_event IS 'What registries told of cases and cannot be; it was not applied.';
COMMENT ON COLUMN impossible_event.institution IS 'Whose case it is.';
COMMENT ON COLUMN impossible_event.key IS 'The filing.';
COMMENT ON COLUMN impossible_event.digest IS 'SHA-256 of the outcome that was told.';
COMMENT ON COLUMN impossible_event.registry IS 'Who told it, by its name in settings.';
COMMENT ON COLUMN impossible_event.why IS 'Why it cannot be.';
COMMENT ON COLUMN impossible_event.outcome IS 'What was told, a directlink.v1.Outcome in protobuf''s binary form.';
COMMENT ON COLUMN impossible_event.times IS 'How often it was told.';
COMMENT ON COLUMN impossible_event.first_at IS 'When it was first told.';
COMMENT ON COLUMN impossible_event.last_at IS 'When it was last told.';

CREATE TABLE watch (
    registry    text        PRIMARY KEY,
    cursor      text        NOT NULL,
    attempt     bigint      NOT NULL,
    lease_until timestamptz NOT NULL
);

COMMENT ON TABLE watch IS 'Registries'' streams of events: from where each goes on, and who watches it.';
COMMENT ON COLUMN watch.registry IS 'Whose stream it is, by its name in settings.';
COMMENT ON COLUMN watch.cursor IS 'The registry''s own cursor; empty for the beginning.';
COMMENT ON COLUMN watch.attempt IS 'How many times the watch was taken. Who took it earlier has no say any more.';
COMMENT ON COLUMN watch.lease_until IS 'Until then it is the last taker''s alone.';
