-- Guards against filing one loan twice under two keys: a row for each loan at a property.
CREATE TABLE guard (
    institution text  NOT NULL,
    digest      bytea NOT NULL CHECK (octet_length(digest) = 16),
    key         text  NOT NULL,
    PRIMARY KEY (institution, digest)
);

COMMENT ON TABLE guard IS 'Guards against filing one loan twice under two keys: a row for each loan at a property.';
COMMENT ON COLUMN guard.institution IS 'Whose loan it is: the institution''s id in settings.';
COMMENT ON COLUMN guard.digest IS 'Of contract number, property, lenders and stage; the beginning of a SHA-256.';
COMMENT ON COLUMN guard.key IS 'The filing that holds it. One that came to nothing holds it until another wants it.';
