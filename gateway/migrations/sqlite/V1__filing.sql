-- Filings as banks made them: one row per institution and idempotency key, kept for good.
-- Times are whole milliseconds since 1970, by this database's clock.
CREATE TABLE filing (
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
    -- 1 claimed, 2 unknown, 3 settled, 4 released.
    state       INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
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
    -- When the key was first claimed.
    admitted_at INTEGER NOT NULL,
    -- When the row last changed.
    changed_at  INTEGER NOT NULL,
    PRIMARY KEY (institution, key),
    CHECK (due_at >= lease_until),
    CHECK (state <> 3 OR outcome IS NOT NULL)
) STRICT;

CREATE INDEX filing_case ON filing (institution, case_id) WHERE case_id IS NOT NULL;

-- Holds only what is open: small however many filings there are.
CREATE INDEX filing_due ON filing (registry, due_at) WHERE state IN (1, 2);

-- One row, written to find out whether writing works.
CREATE TABLE heartbeat (
    -- Always 1.
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    -- When it was last tried.
    written_at INTEGER NOT NULL
) STRICT;

INSERT INTO heartbeat (id, written_at) VALUES (1, 0);
