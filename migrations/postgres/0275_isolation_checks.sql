-- Checks whether a tenant's pods are kept apart from all that is not theirs (domain::isolation::Check). One at a time of each tenant.
CREATE TABLE isolation_checks (
    id         TEXT    PRIMARY KEY,
    tenant     TEXT    NOT NULL REFERENCES tenants (name),
    state      TEXT    NOT NULL,
    asked_at   BIGINT  NOT NULL,
    check_json TEXT    NOT NULL
);
CREATE UNIQUE INDEX isolation_checks_open ON isolation_checks (tenant) WHERE state <> 'ended';
CREATE INDEX isolation_checks_of_tenant ON isolation_checks (tenant, asked_at, id);
