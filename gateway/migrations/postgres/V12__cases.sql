-- What operators find cases by.

-- Numbers that filings are found by, of contracts and certificates. Kept as long as their filing's key.
CREATE TABLE mention (
    digest      bytea NOT NULL CHECK (octet_length(digest) = 16),
    institution text  NOT NULL,
    key         text  NOT NULL,
    PRIMARY KEY (digest, institution, key)
);

COMMENT ON TABLE mention IS 'Numbers that filings are found by, of contracts and certificates, as digests.';
COMMENT ON COLUMN mention.digest IS 'Of the number without its blanks; the beginning of a SHA-256.';
COMMENT ON COLUMN mention.institution IS 'Whose filing it is.';
COMMENT ON COLUMN mention.key IS 'Its idempotency key.';

-- Finds the events of a case. Made here it keeps events from being written meanwhile: where there are many, it is made ahead
-- of the upgrade, with CONCURRENTLY (docs/running.md).
CREATE INDEX IF NOT EXISTS event_case ON event (institution, key);
