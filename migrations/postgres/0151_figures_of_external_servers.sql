-- What is known of an external server from the questions that it is asked anyway, by hour.
CREATE TABLE external_hours (
    tenant   TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    -- Hours since 1970, UTC.
    hour     BIGINT NOT NULL,
    -- Milliseconds of which it is known whether it could be used, and those in which it could not.
    known_ms BIGINT NOT NULL,
    down_ms  BIGINT NOT NULL,
    PRIMARY KEY (tenant, endpoint, hour),
    FOREIGN KEY (tenant, endpoint) REFERENCES endpoints (tenant, id)
);

-- How soon an endpoint's answers began, by hour: calls that went well, counted by the step of domain::latency. Written with the calls.
CREATE TABLE first_token_hours (
    tenant   TEXT NOT NULL REFERENCES tenants (name),
    endpoint TEXT NOT NULL,
    hour     BIGINT NOT NULL,
    step     BIGINT NOT NULL,
    calls    BIGINT NOT NULL,
    PRIMARY KEY (tenant, endpoint, hour, step)
);
