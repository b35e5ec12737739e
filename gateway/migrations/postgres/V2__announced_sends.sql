-- Sends that are announced: whether a claim that nobody heard of again can have been sent. Both are
-- null for filings whose sends are not announced, and for what an older replica claims.
ALTER TABLE filing ADD COLUMN unsent_attempt bigint, ADD COLUMN sent_at timestamptz;

COMMENT ON COLUMN filing.unsent_attempt IS 'The attempt that announces its send here first and has not done so yet: while it is the present one and the state is 1, nothing was sent.';
COMMENT ON COLUMN filing.sent_at IS 'When a send was last announced.';
