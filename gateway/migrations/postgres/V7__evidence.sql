-- The log of exchanges: a leaf for each, and the Merkle tree over them (RFC 6962).
CREATE TABLE evidence_waiting (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    institution text        NOT NULL,
    key         text,
    leaf        text        NOT NULL,
    salt        bytea       NOT NULL CHECK (octet_length(salt) = 32),
    recorded_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE evidence_waiting IS 'Leaves that have no place in the tree yet: replicas write them beside each other, and one at a time gives them their places.';
COMMENT ON COLUMN evidence_waiting.id IS 'What it is called until then.';
COMMENT ON COLUMN evidence_waiting.institution IS 'Whose message it was: the institution''s id in settings.';
COMMENT ON COLUMN evidence_waiting.key IS 'The idempotency key that the exchange was about; null if none was understood.';
COMMENT ON COLUMN evidence_waiting.leaf IS 'The leaf: the bytes that the tree is made of.';
COMMENT ON COLUMN evidence_waiting.salt IS 'What the leaf''s digests are salted with.';
COMMENT ON COLUMN evidence_waiting.recorded_at IS 'When it was written.';

CREATE INDEX evidence_waiting_key ON evidence_waiting (institution, key) WHERE key IS NOT NULL;

CREATE TABLE evidence_leaf (
    place       bigint      PRIMARY KEY CHECK (place >= 0),
    institution text        NOT NULL,
    key         text,
    leaf        text        NOT NULL,
    salt        bytea       CHECK (octet_length(salt) = 32),
    recorded_at timestamptz NOT NULL
);

COMMENT ON TABLE evidence_leaf IS 'A leaf for each exchange, in its place in the tree.';
COMMENT ON COLUMN evidence_leaf.place IS 'Its place in the tree, from 0.';
COMMENT ON COLUMN evidence_leaf.institution IS 'Whose message it was: the institution''s id in settings.';
COMMENT ON COLUMN evidence_leaf.key IS 'The idempotency key that the exchange was about; null if none was understood.';
COMMENT ON COLUMN evidence_leaf.leaf IS 'The leaf: the bytes that the tree is made of. Not to be changed.';
COMMENT ON COLUMN evidence_leaf.salt IS 'What the leaf''s digests are salted with; null once it is erased.';
COMMENT ON COLUMN evidence_leaf.recorded_at IS 'When it was written.';

CREATE INDEX evidence_leaf_key ON evidence_leaf (institution, key) WHERE key IS NOT NULL;

CREATE TABLE evidence_tile (
    level    smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    position bigint   NOT NULL CHECK (position >= 0),
    hashes   bytea    NOT NULL,
    PRIMARY KEY (level, position)
);

-- Hashes do not get shorter.
ALTER TABLE evidence_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

COMMENT ON TABLE evidence_tile IS 'The tree''s hashes: 256 in a row, fewer in the last tile of a level.';
COMMENT ON COLUMN evidence_tile.level IS '0 for the leaves'' hashes; above, a hash for each full tile below.';
COMMENT ON COLUMN evidence_tile.position IS 'From the left, from 0.';
COMMENT ON COLUMN evidence_tile.hashes IS '32 bytes each.';

CREATE TABLE evidence_head (
    id     smallint PRIMARY KEY CHECK (id = 1),
    size   bigint   NOT NULL CHECK (size >= 0),
    root   bytea    NOT NULL CHECK (octet_length(root) = 32),
    erased bigint   NOT NULL
);

COMMENT ON TABLE evidence_head IS 'One row: how large the tree is. Who lets it grow changes it from the size that was seen.';
COMMENT ON COLUMN evidence_head.id IS 'Always 1.';
COMMENT ON COLUMN evidence_head.size IS 'How many leaves have their places.';
COMMENT ON COLUMN evidence_head.root IS 'The root over them.';
COMMENT ON COLUMN evidence_head.erased IS 'Before this place every salt is erased.';

-- The root over nothing is the digest of nothing.
INSERT INTO evidence_head (id, size, root, erased)
VALUES (1, 0, '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0);

CREATE TABLE evidence_checkpoint (
    size      bigint      PRIMARY KEY CHECK (size >= 0),
    note      text        NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE evidence_checkpoint IS 'Heads that were signed.';
COMMENT ON COLUMN evidence_checkpoint.size IS 'How large the tree was.';
COMMENT ON COLUMN evidence_checkpoint.note IS 'The checkpoint, a C2SP signed note.';
COMMENT ON COLUMN evidence_checkpoint.signed_at IS 'When it was signed.';
