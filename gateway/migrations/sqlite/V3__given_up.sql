-- When the resolver stopped asking about an unknown outcome, for the first time; null while it asks. From then on
-- due_at lies years ahead.
ALTER TABLE filing ADD COLUMN given_up_at INTEGER;
