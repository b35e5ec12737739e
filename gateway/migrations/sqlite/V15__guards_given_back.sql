-- The filing that held the guard before and is corrected by the one that holds it now: it holds it again if the correction
-- comes to nothing.
ALTER TABLE guard ADD COLUMN before TEXT;
