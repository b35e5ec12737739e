-- Notices: events that the gateway tells subscribers by itself.

-- Who is told.
CREATE TABLE subscriber (
    -- Its name in settings.
    name          TEXT PRIMARY KEY,
    -- How many turns were taken. Who took an earlier one has no say any more.
    attempt       INTEGER NOT NULL DEFAULT 0,
    -- Until then its turn is the last taker's alone.
    lease_until   INTEGER NOT NULL DEFAULT 0,
    -- Before then it is left alone.
    due_at        INTEGER NOT NULL DEFAULT 0,
    -- How many turns in a row found it away, and when the first of them did.
    failures      INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    -- When it said that it wants to be told no more.
    ended_at      INTEGER
) STRICT, WITHOUT ROWID;

-- Whose feeds subscribers are told of, and how far.
CREATE TABLE subscription (
    subscriber  TEXT NOT NULL,
    institution TEXT NOT NULL,
    -- Whatever stands in the feed up to here was told, or is a notice below.
    position    INTEGER NOT NULL,
    PRIMARY KEY (subscriber, institution)
) STRICT, WITHOUT ROWID;

-- Events that were passed over and are still to be told; of one case the first goes first.
CREATE TABLE notice (
    subscriber  TEXT NOT NULL,
    institution TEXT NOT NULL,
    position    INTEGER NOT NULL,
    -- The filing.
    key         TEXT NOT NULL,
    -- How often it was told in vain.
    tries       INTEGER NOT NULL,
    -- When it was passed over, or an operator had it told again.
    since       INTEGER NOT NULL,
    -- Before then it is not tried again.
    due_at      INTEGER NOT NULL,
    -- Whether it is told only once an operator says so.
    parked      INTEGER NOT NULL,
    PRIMARY KEY (subscriber, institution, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX notice_case ON notice (subscriber, institution, key, position);
CREATE INDEX notice_due ON notice (subscriber, due_at) WHERE NOT parked;
