-- What operators find cases by.

-- Numbers that filings are found by, of contracts and certificates, as digests. Kept as long as their filing's key.
CREATE TABLE mention (
    -- Of the number without its blanks; the beginning of a SHA-256.
    digest      BLOB NOT NULL CHECK (length(digest) = 16),
    -- Whose filing it is.
    institution TEXT NOT NULL,
    -- Its idempotency key.
    key         TEXT NOT NULL,
    PRIMARY KEY (digest, institution, key)
) STRICT, WITHOUT ROWID;

-- Finds the events of a case.
CREATE INDEX event_case ON event (institution, key);
