-- Groups of the identity provider that a tenant is bound to by name, beside those that follow the platform's pattern.
CREATE TABLE tenant_groups (
    tenant     TEXT NOT NULL REFERENCES tenants (name),
    group_name TEXT NOT NULL,
    role       TEXT NOT NULL,
    PRIMARY KEY (tenant, group_name)
) STRICT;
