ALTER TABLE filing ADD COLUMN given_up_at timestamptz;

COMMENT ON COLUMN filing.given_up_at IS 'When the resolver stopped asking about an unknown outcome, for the first time; null while it asks. From then on due_at lies years ahead.';
COMMENT ON COLUMN filing.admitted_at IS 'When the key was claimed; anew, if nothing had been sent under it.';
