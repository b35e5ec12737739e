-- What both sides' books are compared by (对账), and what was found to differ. Null for filings older than this.
ALTER TABLE filing ADD COLUMN amount_fen bigint,
    ADD COLUMN parties bytea;

COMMENT ON COLUMN filing.amount_fen IS 'The amount that was applied for, in fen; null for a matter that has none.';
COMMENT ON COLUMN filing.parties IS 'Digest of who stands in the matter''s lists of parties, 16 bytes; deleted when the filing is retired.';

-- Finds what was filed on a day. Rows lie by and large in the order they came in, and the index is a few pages that a
-- change of a row does not touch.
CREATE INDEX filing_admitted ON filing USING brin (admitted_at) WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE finding (
    id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    registry    text        NOT NULL,
    institution text        NOT NULL,
    key         text        NOT NULL,
    kind        text        NOT NULL,
    office      text        NOT NULL,
    day         text        NOT NULL,
    case_id     text        NOT NULL,
    ours        text        NOT NULL,
    theirs      text        NOT NULL,
    times       bigint      NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    closed_at   timestamptz,
    note        text,
    UNIQUE (registry, institution, key, kind)
);

COMMENT ON TABLE finding IS 'Differences between this ledger and a registry''s books.';
COMMENT ON COLUMN finding.id IS 'What operators call it by.';
COMMENT ON COLUMN finding.registry IS 'Whose books were compared with ours, by its name in settings.';
COMMENT ON COLUMN finding.institution IS 'Whose case it is.';
COMMENT ON COLUMN finding.key IS 'The key it was filed under.';
COMMENT ON COLUMN finding.kind IS 'What differs; the names are told by docs/reconciliation.md.';
COMMENT ON COLUMN finding.office IS 'The office, by the registry''s own code.';
COMMENT ON COLUMN finding.day IS 'The day whose books were compared, YYYY-MM-DD.';
COMMENT ON COLUMN finding.case_id IS 'The registry''s number of the case; empty where neither side has one.';
COMMENT ON COLUMN finding.ours IS 'What this ledger says; a case''s number, a status, an amount in fen, or names of lists of parties.';
COMMENT ON COLUMN finding.theirs IS 'What the registry says.';
COMMENT ON COLUMN finding.times IS 'How often it was found.';
COMMENT ON COLUMN finding.first_at IS 'When it was first found.';
COMMENT ON COLUMN finding.last_at IS 'When it was last found.';
COMMENT ON COLUMN finding.closed_at IS 'When it was closed; null while it is open.';
COMMENT ON COLUMN finding.note IS 'What the operator who closed it says; null where both sides agree by now.';

-- Holds what operators have to see to.
CREATE INDEX finding_open ON finding (registry, day) WHERE closed_at IS NULL;
