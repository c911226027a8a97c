-- The session at the identity provider that this one came from (`sid` of the ID token): back-channel logout names it.
ALTER TABLE sessions ADD COLUMN provider_session TEXT;
CREATE INDEX sessions_by_provider_session ON sessions (provider_session);

-- Logout tokens that were used, by the SHA-256 of their id, until they have expired: each counts once.
CREATE TABLE logout_tokens (
    digest     TEXT    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
