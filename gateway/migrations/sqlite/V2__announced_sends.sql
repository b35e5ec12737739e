-- Sends that are announced: whether a claim that nobody heard of again can have been sent. Both are
-- null for filings whose sends are not announced.

-- The attempt that announces its send here first and has not done so yet: while it is the present
-- one and the state is 1, nothing was sent.
ALTER TABLE filing ADD COLUMN unsent_attempt INTEGER;

-- When a send was last announced.
ALTER TABLE filing ADD COLUMN sent_at INTEGER;
