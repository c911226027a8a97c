-- Calls that the database refused to store in `calls`: kept with the reason until an administrator has them tried again.
-- No reference to tenants: that the tenant is gone may be the reason.
CREATE TABLE calls_set_aside (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    set_aside_at INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    call_json    TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
