-- Notices: events that the gateway tells subscribers by itself.
CREATE TABLE subscriber (
    name          text        PRIMARY KEY,
    attempt       bigint      NOT NULL DEFAULT 0,
    lease_until   timestamptz NOT NULL DEFAULT '-infinity',
    due_at        timestamptz NOT NULL DEFAULT '-infinity',
    failures      integer     NOT NULL DEFAULT 0,
    failing_since timestamptz,
    ended_at      timestamptz
) WITH (fillfactor = 20);

COMMENT ON TABLE subscriber IS 'Who is told of events by the gateway itself.';
COMMENT ON COLUMN subscriber.name IS 'Its name in settings.';
COMMENT ON COLUMN subscriber.attempt IS 'How many turns were taken. Who took an earlier one has no say any more.';
COMMENT ON COLUMN subscriber.lease_until IS 'Until then its turn is the last taker''s alone.';
COMMENT ON COLUMN subscriber.due_at IS 'Before then it is left alone.';
COMMENT ON COLUMN subscriber.failures IS 'How many turns in a row found it away.';
COMMENT ON COLUMN subscriber.failing_since IS 'When the first of them did; null if there was none.';
COMMENT ON COLUMN subscriber.ended_at IS 'When it said that it wants to be told no more; null if it did not.';

CREATE TABLE subscription (
    subscriber  text   NOT NULL,
    institution text   NOT NULL,
    position    bigint NOT NULL,
    PRIMARY KEY (subscriber, institution)
) WITH (fillfactor = 20);

COMMENT ON TABLE subscription IS 'Whose feeds subscribers are told of, and how far.';
COMMENT ON COLUMN subscription.position IS 'Whatever stands in the feed up to here was told, or is a notice below.';

CREATE TABLE notice (
    subscriber  text        NOT NULL,
    institution text        NOT NULL,
    position    bigint      NOT NULL,
    key         text        NOT NULL,
    tries       integer     NOT NULL,
    since       timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    parked      boolean     NOT NULL,
    PRIMARY KEY (subscriber, institution, position)
);

COMMENT ON TABLE notice IS 'Events that were passed over and are still to be told; of one case the first goes first.';
COMMENT ON COLUMN notice.key IS 'The filing.';
COMMENT ON COLUMN notice.tries IS 'How often it was told in vain.';
COMMENT ON COLUMN notice.since IS 'When it was passed over, or an operator had it told again.';
COMMENT ON COLUMN notice.due_at IS 'Before then it is not tried again.';
COMMENT ON COLUMN notice.parked IS 'Whether it is told only once an operator says so.';

CREATE INDEX notice_case ON notice (subscriber, institution, key, position);
CREATE INDEX notice_due ON notice (subscriber, due_at) WHERE NOT parked;
