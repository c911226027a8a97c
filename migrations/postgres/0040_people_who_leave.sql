-- When the identity provider last confirmed a membership, so that a person who left stops by age. NULL (written by a program that
-- does not know the column) counts as `since`, which is when that person signed in.
ALTER TABLE members ADD COLUMN confirmed_at BIGINT;
UPDATE members SET confirmed_at = (SELECT p.last_seen_at FROM people p WHERE p.id = members.person);

-- Session passes of this person that were made before this moment are refused.
ALTER TABLE people ADD COLUMN passes_from BIGINT;

-- The provider's tokens, encrypted with a key outside of the database; id_token, in clear, is no longer written.
ALTER TABLE sessions ADD COLUMN id_token_sealed TEXT;
ALTER TABLE sessions ADD COLUMN refresh_token_sealed TEXT;
UPDATE sessions SET id_token = NULL;
-- When the provider last confirmed this session (NULL = when it began), when to ask again (NULL = it gave no refresh token), and until
-- when one replica is asking: a refresh token is used by one at a time.
ALTER TABLE sessions ADD COLUMN confirmed_at BIGINT;
ALTER TABLE sessions ADD COLUMN renew_at BIGINT;
ALTER TABLE sessions ADD COLUMN renewing_until BIGINT;
CREATE INDEX sessions_by_person ON sessions (person);

-- 1 = a key of the tenant; `owner` is the member who answers for it.
ALTER TABLE api_keys ADD COLUMN service BIGINT NOT NULL DEFAULT 0;

-- Whose rights changed, numbered by the counter `rights`: open streams of these people look again. Kept for a while.
CREATE TABLE rights_changes (
    seq    BIGINT NOT NULL PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id)
);
INSERT INTO counters (name, value) VALUES ('rights', 0);
