-- When the identity provider was last asked about somebody who has a session or keys: one replica asks at a time.
ALTER TABLE people ADD COLUMN asked_at INTEGER;
