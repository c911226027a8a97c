-- What last happened to each object around a tenant's tasks (domain::tenant_objects): made, repaired, refused. Nothing of what is as it should be.
CREATE TABLE tenant_objects (
    tenant     TEXT    NOT NULL REFERENCES tenants (name),
    kind       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    found_json TEXT    NOT NULL,
    refused    TEXT,
    at         INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, name)
) STRICT;
