-- What both sides' books are compared by (对账), and what was found to differ. Null for filings older than this.

-- The amount that was applied for, in fen; null too for a matter that has none.
ALTER TABLE filing ADD COLUMN amount_fen INTEGER;

-- Digest of who stands in the matter's lists of parties, 16 bytes; deleted when the filing is retired.
ALTER TABLE filing ADD COLUMN parties BLOB;

-- Finds what was filed on a day.
CREATE INDEX filing_admitted ON filing (admitted_at);

CREATE TABLE finding (
    -- What operators call it by.
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Whose books were compared with ours, by its name in settings.
    registry    TEXT    NOT NULL,
    -- Whose case it is.
    institution TEXT    NOT NULL,
    -- The key it was filed under.
    key         TEXT    NOT NULL,
    -- What differs; the names are told by docs/reconciliation.md.
    kind        TEXT    NOT NULL,
    -- The office, by the registry's own code.
    office      TEXT    NOT NULL,
    -- The day whose books were compared, YYYY-MM-DD.
    day         TEXT    NOT NULL,
    -- The registry's number of the case; empty where neither side has one.
    case_id     TEXT    NOT NULL,
    -- What this ledger says; a case's number, a status, an amount in fen, or names of lists of parties.
    ours        TEXT    NOT NULL,
    -- What the registry says.
    theirs      TEXT    NOT NULL,
    -- How often it was found.
    times       INTEGER NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    -- When it was closed; null while it is open.
    closed_at   INTEGER,
    -- What the operator who closed it says; null where both sides agree by now.
    note        TEXT,
    UNIQUE (registry, institution, key, kind)
) STRICT;

-- Holds what operators have to see to.
CREATE INDEX finding_open ON finding (registry, day) WHERE closed_at IS NULL;
