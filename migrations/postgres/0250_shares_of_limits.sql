-- How much of a limit each gateway may use; together never more than the limit. Gone with a gateway that is not heard of any more.
CREATE TABLE gateways (
    id      TEXT   NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
CREATE TABLE limit_shares (
    tenant  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    counted TEXT   NOT NULL,
    gateway TEXT   NOT NULL REFERENCES gateways (id),
    held    BIGINT NOT NULL,
    used    BIGINT NOT NULL,
    wants   BIGINT NOT NULL,
    PRIMARY KEY (tenant, subject, counted, gateway)
);
CREATE INDEX limit_shares_by_gateway ON limit_shares (gateway);
