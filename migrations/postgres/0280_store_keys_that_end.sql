-- Keys of the artefact store that were replaced, until nothing of the tenant works with them any more and Garage has forgotten them.
CREATE TABLE store_keys_ending (
    tenant        TEXT NOT NULL REFERENCES tenants (name),
    access_key_id TEXT NOT NULL,
    replaced_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, access_key_id)
);
