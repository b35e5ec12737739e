-- The log of exchanges: a leaf for each, and the Merkle tree over them (RFC 6962).
CREATE TABLE evidence_leaf (
    -- Its place in the tree, from 0; from the head's size on, one that it is yet to have.
    place       INTEGER PRIMARY KEY CHECK (place >= 0),
    -- Whose message it was: the institution's id in settings.
    institution TEXT NOT NULL,
    -- The idempotency key that the exchange was about; null if none was understood.
    key         TEXT,
    -- The leaf: the bytes that the tree is made of. Not to be changed.
    leaf        TEXT NOT NULL,
    -- What the leaf's digests are salted with; null once it is erased.
    salt        BLOB CHECK (length(salt) = 32),
    -- When it was written.
    recorded_at INTEGER NOT NULL
) STRICT;

CREATE INDEX evidence_leaf_key ON evidence_leaf (institution, key) WHERE key IS NOT NULL;

-- The tree's hashes: 256 in a row, fewer in the last tile of a level.
CREATE TABLE evidence_tile (
    -- 0 for the leaves' hashes; above, a hash for each full tile below.
    level    INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
    -- From the left, from 0.
    position INTEGER NOT NULL CHECK (position >= 0),
    -- 32 bytes each.
    hashes   BLOB NOT NULL,
    PRIMARY KEY (level, position)
) STRICT;

-- One row: how large the tree is. Who lets it grow changes it from the size that was seen.
CREATE TABLE evidence_head (
    -- Always 1.
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    -- How many leaves have their places.
    size   INTEGER NOT NULL CHECK (size >= 0),
    -- The root over them.
    root   BLOB NOT NULL CHECK (length(root) = 32),
    -- Before this place every salt is erased.
    erased INTEGER NOT NULL
) STRICT;

-- The root over nothing is the digest of nothing.
INSERT INTO evidence_head (id, size, root, erased)
VALUES (1, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0);

-- Heads that were signed.
CREATE TABLE evidence_checkpoint (
    -- How large the tree was.
    size      INTEGER PRIMARY KEY CHECK (size >= 0),
    -- The checkpoint, a C2SP signed note.
    note      TEXT NOT NULL,
    -- When it was signed.
    signed_at INTEGER NOT NULL
) STRICT;
