-- Filings as banks made them: one row per institution and idempotency key, kept for good.
-- The key begins with the institution, which is also the distribution column should the table be
-- spread over several servers.
CREATE TABLE filing (
    institution text        NOT NULL,
    key         text        NOT NULL,
    digest      bytea       NOT NULL CHECK (octet_length(digest) = 32),
    leaves      bytea       NOT NULL,
    matter      text        NOT NULL,
    registry    text        NOT NULL,
    office      text        NOT NULL,
    state       smallint    NOT NULL CHECK (state BETWEEN 1 AND 4),
    attempt     bigint      NOT NULL CHECK (attempt >= 1),
    lease_until timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    case_id     text,
    outcome     bytea,
    admitted_at timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (institution, key),
    CHECK (due_at >= lease_until),
    CHECK (state <> 3 OR outcome IS NOT NULL)
);

COMMENT ON TABLE filing IS 'Filings as banks made them, one row per institution and idempotency key. Times are by this server''s clock.';
COMMENT ON COLUMN filing.institution IS 'Whose key it is: the institution''s id in settings.';
COMMENT ON COLUMN filing.key IS 'The idempotency key, as the institution''s contract built it.';
COMMENT ON COLUMN filing.digest IS 'SHA-256 over the canonical application, less what may change on a retry.';
COMMENT ON COLUMN filing.leaves IS 'A digest per leaf of the application, so that a conflict can name the fields that differ.';
COMMENT ON COLUMN filing.matter IS 'Name of the matter, as in Application.matter.';
COMMENT ON COLUMN filing.registry IS 'The registry it goes to, by its name in settings.';
COMMENT ON COLUMN filing.office IS 'The office in charge, by the registry''s own code.';
COMMENT ON COLUMN filing.state IS '1 claimed, 2 unknown, 3 settled, 4 released.';
COMMENT ON COLUMN filing.attempt IS 'How many times it was taken, from 1. Who took it earlier has no say any more.';
COMMENT ON COLUMN filing.lease_until IS 'Until then it is the last taker''s alone (states 1 and 2).';
COMMENT ON COLUMN filing.due_at IS 'From then on the resolver may take it (states 1 and 2); never before lease_until.';
COMMENT ON COLUMN filing.case_id IS 'The registry''s case number; null while none is known.';
COMMENT ON COLUMN filing.outcome IS 'The last outcome known, a directlink.v1.Outcome in protobuf''s binary form.';
COMMENT ON COLUMN filing.admitted_at IS 'When the key was first claimed.';
COMMENT ON COLUMN filing.changed_at IS 'When the row last changed.';

CREATE INDEX filing_case ON filing (institution, case_id) WHERE case_id IS NOT NULL;

-- Holds only what is open: small however many filings there are.
CREATE INDEX filing_due ON filing (registry, due_at) WHERE state IN (1, 2);

CREATE TABLE heartbeat (
    id         smallint    PRIMARY KEY CHECK (id = 1),
    written_at timestamptz NOT NULL
);

COMMENT ON TABLE heartbeat IS 'One row, written to find out whether writing works.';
COMMENT ON COLUMN heartbeat.id IS 'Always 1.';
COMMENT ON COLUMN heartbeat.written_at IS 'When it was last tried.';

INSERT INTO heartbeat (id, written_at) VALUES (1, now());
