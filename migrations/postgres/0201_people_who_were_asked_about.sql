-- When the identity provider last said something of this person, or was asked about them (who has a session or keys: one replica asks at
-- a time).
ALTER TABLE people ADD COLUMN asked_at BIGINT;
