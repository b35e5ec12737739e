-- A correction goes where the case is that it corrects.
ALTER TABLE queue ADD COLUMN stays boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN queue.stays IS 'Whether it goes to the registry it came for, wherever its office is once that opens: it corrects a case there.';
