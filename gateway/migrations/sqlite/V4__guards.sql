-- Guards against filing one loan twice under two keys: a row for each loan at a property.
CREATE TABLE guard (
    -- Whose loan it is: the institution's id in settings.
    institution TEXT NOT NULL,
    -- Of contract number, property, lenders and stage; the beginning of a SHA-256.
    digest      BLOB NOT NULL CHECK (length(digest) = 16),
    -- The filing that holds it. One that came to nothing holds it until another wants it.
    key         TEXT NOT NULL,
    PRIMARY KEY (institution, digest)
) STRICT, WITHOUT ROWID;
