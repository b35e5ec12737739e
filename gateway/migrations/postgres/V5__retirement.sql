-- Filings that are so old that nothing is kept of them but the used key and the case's number.
ALTER TABLE filing DROP CONSTRAINT filing_state_check,
    ADD CONSTRAINT filing_state_check CHECK (state BETWEEN 1 AND 5) NOT VALID;

COMMENT ON COLUMN filing.state IS '1 claimed, 2 unknown, 3 settled, 4 released, 5 retired: settled or released long ago, leaves and outcome deleted.';

-- Holds what is still to be retired.
CREATE INDEX filing_closed ON filing (changed_at) WHERE state IN (3, 4);
