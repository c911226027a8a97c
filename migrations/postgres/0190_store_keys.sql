-- Tenants' keys of an artefact store in S3. No row: the tenant has none yet.
CREATE TABLE tenant_store_keys (
    tenant        TEXT PRIMARY KEY REFERENCES tenants (name),
    -- As the store knows it; no secret.
    access_key_id TEXT NOT NULL,
    -- domain::artefacts::StoreKey, sealed with the key of tokens.
    sealed        TEXT NOT NULL,
    given_at      BIGINT NOT NULL
);
