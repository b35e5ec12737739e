-- Events: every change of a case, with the change it tells of.

-- How many events there are of the case.
ALTER TABLE filing ADD COLUMN events INTEGER NOT NULL DEFAULT 0;

-- From then on it is to be seen how the case stands; null: not at all.
ALTER TABLE filing ADD COLUMN follow_up_at INTEGER;

-- How often that was looked for since the case last changed.
ALTER TABLE filing ADD COLUMN follow_ups INTEGER NOT NULL DEFAULT 0;

-- Whether the bank was told that the deadline of this state is near.
ALTER TABLE filing ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;

-- Holds what is to be followed up.
CREATE INDEX filing_follow_up ON filing (registry, follow_up_at) WHERE follow_up_at IS NOT NULL;

-- How far each institution's feed has come.
CREATE TABLE feed (
    institution  TEXT PRIMARY KEY,
    -- Position of its last event.
    last         INTEGER NOT NULL,
    -- Position up to which the institution has acknowledged events.
    acknowledged INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    -- Whose case it is.
    institution TEXT NOT NULL,
    -- Place in the institution's feed, from 1.
    position    INTEGER NOT NULL,
    -- The filing.
    key         TEXT NOT NULL,
    -- Number among the filing's events, from 1 without gaps.
    sequence    INTEGER NOT NULL,
    -- 1 the case changed, 2 it did not and a deadline is near.
    kind        INTEGER NOT NULL,
    happened_at INTEGER NOT NULL,
    -- The case after it, a directlink.v1.Outcome in protobuf's binary form.
    outcome     BLOB NOT NULL,
    PRIMARY KEY (institution, position)
) STRICT, WITHOUT ROWID;

-- Whoever counts an event of a filing up writes it: with the change, in one statement.
CREATE TRIGGER filing_tells AFTER UPDATE OF events ON filing WHEN new.events > old.events
BEGIN
    INSERT INTO feed (institution, last) VALUES (new.institution, 1)
    ON CONFLICT (institution) DO UPDATE SET last = last + 1;
    INSERT INTO event (institution, position, key, sequence, kind, happened_at, outcome)
    SELECT new.institution, last, new.key, new.events, iif(new.warned > old.warned, 2, 1),
        CAST(unixepoch('subsec') * 1000 AS INTEGER), new.outcome
    FROM feed WHERE institution = new.institution;
END;

-- What registries told of cases and cannot be; it was not applied.
CREATE TABLE impossible_event (
    institution TEXT NOT NULL,
    key         TEXT NOT NULL,
    -- SHA-256 of the outcome that was told.
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    registry    TEXT NOT NULL,
    -- Why it cannot be.
    why         TEXT NOT NULL,
    -- What was told, a directlink.v1.Outcome in protobuf's binary form.
    outcome     BLOB NOT NULL,
    -- How often it was told.
    times       INTEGER NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    PRIMARY KEY (institution, key, digest)
) STRICT, WITHOUT ROWID;

-- Registries' streams of events: from where each goes on, and who watches it.
CREATE TABLE watch (
    registry    TEXT PRIMARY KEY,
    -- The registry's own cursor.
    cursor      TEXT NOT NULL,
    -- How many times the watch was taken. Who took it earlier has no say any more.
    attempt     INTEGER NOT NULL,
    -- Until then it is the last taker's alone.
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
