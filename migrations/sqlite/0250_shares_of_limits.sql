-- How much of a limit each gateway may use; together never more than the limit. Gone with a gateway that is not heard of any more.
CREATE TABLE gateways (
    id      TEXT    NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE TABLE limit_shares (
    tenant  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    counted TEXT    NOT NULL,
    gateway TEXT    NOT NULL REFERENCES gateways (id),
    held    INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    wants   INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject, counted, gateway)
) STRICT;
CREATE INDEX limit_shares_by_gateway ON limit_shares (gateway);
