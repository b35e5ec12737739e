-- Whether it goes to the registry it came for, wherever its office is once that opens: it corrects a case there.
ALTER TABLE queue ADD COLUMN stays INTEGER NOT NULL DEFAULT 0;
