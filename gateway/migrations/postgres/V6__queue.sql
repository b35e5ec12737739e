-- Filings that wait for their office to open, in the order they came.
ALTER TABLE filing ADD COLUMN queued boolean NOT NULL DEFAULT false;

ALTER TABLE filing DROP CONSTRAINT filing_state_check,
    ADD CONSTRAINT filing_state_check CHECK (state BETWEEN 1 AND 6) NOT VALID;

COMMENT ON COLUMN filing.state IS '1 claimed, 2 unknown, 3 settled, 4 released, 5 retired: settled or released long ago, leaves and outcome deleted, 6 queued.';
COMMENT ON COLUMN filing.queued IS 'Whether it is the queue''s: from the moment it waits until it is settled or given up, it alone has it sent, and asks about it.';

CREATE TABLE queue (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    institution text   NOT NULL,
    key         text   NOT NULL,
    office      text   NOT NULL,
    seal_key    text   NOT NULL,
    sealed      bytea  NOT NULL,
    UNIQUE (institution, key)
);

COMMENT ON TABLE queue IS 'Filings that wait for their office to open, or are being sent since: a row each, until the filing is settled, given up or withdrawn.';
COMMENT ON COLUMN queue.position IS 'The order in which they came.';
COMMENT ON COLUMN queue.institution IS 'Whose filing it is.';
COMMENT ON COLUMN queue.key IS 'Its idempotency key.';
COMMENT ON COLUMN queue.office IS 'The office it waits for, by the registry''s own code.';
COMMENT ON COLUMN queue.seal_key IS 'The key it is sealed under, by its name in the key file.';
COMMENT ON COLUMN queue.sealed IS 'The application and the bank''s certificate, sealed with AES-256-GCM: nonce, then ciphertext, then tag.';

CREATE INDEX queue_office ON queue (office, position);

CREATE TABLE queue_property (
    digest   bytea  NOT NULL CHECK (octet_length(digest) = 16),
    position bigint NOT NULL REFERENCES queue ON DELETE CASCADE,
    PRIMARY KEY (digest, position)
);

COMMENT ON TABLE queue_property IS 'The properties that filings in the queue are about: none is sent before an earlier one for the same property.';
COMMENT ON COLUMN queue_property.digest IS 'Of what names the property; the beginning of a SHA-256.';
COMMENT ON COLUMN queue_property.position IS 'The filing in the queue.';

CREATE INDEX queue_property_position ON queue_property (position);

CREATE TABLE queue_pace (
    office  text        PRIMARY KEY,
    next_at timestamptz NOT NULL
);

COMMENT ON TABLE queue_pace IS 'When each office may be sent the next filing out of the queue, whichever replica sends it.';
COMMENT ON COLUMN queue_pace.office IS 'The office, by the registry''s own code.';
COMMENT ON COLUMN queue_pace.next_at IS 'From then on.';

-- What is the queue's no more leaves nothing behind in it, whoever changed the row.
CREATE FUNCTION leave_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM queue WHERE institution = new.institution AND key = new.key;
    RETURN NULL;
END
$$;

CREATE TRIGGER filing_leaves_queue AFTER UPDATE ON filing
    FOR EACH ROW WHEN (old.queued AND NOT (new.queued AND new.state IN (1, 2, 6)))
    EXECUTE FUNCTION leave_queue();
