-- Guards of contracts that are numbered one after the other lie beside each other, so that a commit changes few pages.
-- SQLite changes no primary key, so the table is made anew. An older program finds no guards in it that it could take, and
-- files nothing, rather than file a loan twice.
CREATE TABLE guard_anew (
    -- Whose loan it is: the institution's id in settings.
    institution TEXT NOT NULL,
    -- The run of the contract's number: the beginning of a SHA-256 of all but its last characters. Empty: an older program
    -- took the guard; whoever wants it puts it in its place.
    run         BLOB NOT NULL CHECK (length(run) IN (0, 6)),
    -- Of contract number, property, lenders and stage; the beginning of a SHA-256.
    digest      BLOB NOT NULL CHECK (length(digest) = 16),
    -- The filing that holds it. One that came to nothing holds it until another wants it.
    key         TEXT NOT NULL,
    -- The filing that held the guard before and is corrected by the one that holds it now: it holds it again if the
    -- correction comes to nothing.
    before      TEXT,
    PRIMARY KEY (institution, run, digest)
) STRICT, WITHOUT ROWID;

INSERT INTO guard_anew (institution, run, digest, key, before)
SELECT institution, x'', digest, key, before FROM guard;

DROP TABLE guard;

ALTER TABLE guard_anew RENAME TO guard;
