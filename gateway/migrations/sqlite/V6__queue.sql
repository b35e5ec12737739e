-- Filings that wait for their office to open, in the order they came. SQLite changes no rule of a table, so the table of
-- filings is made anew.
CREATE TABLE filing_anew (
    -- Whose key it is: the institution's id in settings.
    institution TEXT NOT NULL,
    -- The idempotency key, as the institution's contract built it.
    key         TEXT NOT NULL,
    -- SHA-256 over the canonical application, less what may change on a retry.
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    -- A digest per leaf of the application, so that a conflict can name the fields that differ.
    leaves      BLOB NOT NULL,
    -- Name of the matter, as in Application.matter.
    matter      TEXT NOT NULL,
    -- The registry it goes to, by its name in settings.
    registry    TEXT NOT NULL,
    -- The office in charge, by the registry's own code.
    office      TEXT NOT NULL,
    -- 1 claimed, 2 unknown, 3 settled, 4 released, 5 retired: settled or released long ago, leaves
    -- and outcome deleted, 6 queued.
    state       INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),
    -- How many times it was taken, from 1. Who took it earlier has no say any more.
    attempt     INTEGER NOT NULL CHECK (attempt >= 1),
    -- Until then it is the last taker's alone (states 1 and 2).
    lease_until INTEGER NOT NULL,
    -- From then on the resolver may take it (states 1 and 2); never before lease_until.
    due_at      INTEGER NOT NULL,
    -- The registry's case number; null while none is known.
    case_id     TEXT,
    -- The last outcome known, a directlink.v1.Outcome in protobuf's binary form.
    outcome     BLOB,
    -- When the key was claimed; anew, if nothing had been sent under it.
    admitted_at INTEGER NOT NULL,
    -- When the row last changed.
    changed_at  INTEGER NOT NULL,
    -- The attempt that announces its send here first and has not done so yet: while it is the present
    -- one and the state is 1, nothing was sent.
    unsent_attempt INTEGER,
    -- When a send was last announced.
    sent_at     INTEGER,
    -- When the resolver stopped asking about an unknown outcome, for the first time; null while it
    -- asks. From then on due_at lies years ahead.
    given_up_at INTEGER,
    -- Whether it is the queue's: from the moment it waits until it is settled or given up, it alone has it sent, and
    -- asks about it.
    queued      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (institution, key),
    CHECK (due_at >= lease_until),
    CHECK (state <> 3 OR outcome IS NOT NULL)
) STRICT;

INSERT INTO filing_anew (institution, key, digest, leaves, matter, registry, office, state, attempt, lease_until,
    due_at, case_id, outcome, admitted_at, changed_at, unsent_attempt, sent_at, given_up_at)
SELECT institution, key, digest, leaves, matter, registry, office, state, attempt, lease_until,
    due_at, case_id, outcome, admitted_at, changed_at, unsent_attempt, sent_at, given_up_at
FROM filing;

DROP TABLE filing;

ALTER TABLE filing_anew RENAME TO filing;

CREATE INDEX filing_case ON filing (institution, case_id) WHERE case_id IS NOT NULL;

-- Holds only what is open: small however many filings there are.
CREATE INDEX filing_due ON filing (registry, due_at) WHERE state IN (1, 2);

-- Holds what is still to be retired.
CREATE INDEX filing_closed ON filing (changed_at) WHERE state IN (3, 4);

-- Filings that wait for their office to open, or are being sent since: a row each, until the filing is settled, given up
-- or withdrawn.
CREATE TABLE queue (
    -- The order in which they came.
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Whose filing it is.
    institution TEXT NOT NULL,
    -- Its idempotency key.
    key         TEXT NOT NULL,
    -- The office it waits for, by the registry's own code.
    office      TEXT NOT NULL,
    -- The key it is sealed under, by its name in the key file.
    seal_key    TEXT NOT NULL,
    -- The application and the bank's certificate, sealed with AES-256-GCM: nonce, then ciphertext, then tag.
    sealed      BLOB NOT NULL,
    UNIQUE (institution, key)
) STRICT;

CREATE INDEX queue_office ON queue (office, position);

-- The properties that filings in the queue are about: none is sent before an earlier one for the same property.
CREATE TABLE queue_property (
    -- Of what names the property; the beginning of a SHA-256.
    digest   BLOB NOT NULL CHECK (length(digest) = 16),
    -- The filing in the queue.
    position INTEGER NOT NULL,
    PRIMARY KEY (digest, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_property_position ON queue_property (position);

-- When each office may be sent the next filing out of the queue.
CREATE TABLE queue_pace (
    -- The office, by the registry's own code.
    office  TEXT PRIMARY KEY,
    -- From then on.
    next_at INTEGER NOT NULL
) STRICT;

-- What is the queue's no more leaves nothing behind in it, whoever changed the row.
CREATE TRIGGER filing_leaves_queue AFTER UPDATE ON filing
WHEN old.queued AND NOT (new.queued AND new.state IN (1, 2, 6))
BEGIN
    DELETE FROM queue_property WHERE position IN (
        SELECT position FROM queue WHERE institution = new.institution AND key = new.key);
    DELETE FROM queue WHERE institution = new.institution AND key = new.key;
END;
