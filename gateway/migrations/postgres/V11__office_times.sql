-- Holds what says how long an office takes over a matter: the last of its settled cases.
CREATE INDEX filing_office ON filing (registry, office, matter, changed_at) WHERE state = 3;
