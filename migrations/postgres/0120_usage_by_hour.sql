-- Sums of `calls` by hour: written in the transaction that stores the calls, so that no page adds up single calls.
-- '' = no key (the playground), no person (a service key), no endpoint, the base model or an unknown one.
CREATE TABLE usage_hours (
    tenant            TEXT NOT NULL REFERENCES tenants (name),
    -- Hours since 1970, UTC.
    hour              BIGINT NOT NULL,
    key_id            TEXT NOT NULL,
    person            TEXT NOT NULL,
    endpoint          TEXT NOT NULL,
    model             TEXT NOT NULL,
    model_version     TEXT NOT NULL,
    requests          BIGINT NOT NULL,
    errors            BIGINT NOT NULL,
    -- Of the errors, those that said that there is no such model.
    not_found         BIGINT NOT NULL,
    prompt_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    PRIMARY KEY (tenant, hour, key_id, person, endpoint, model, model_version)
);
INSERT INTO usage_hours (tenant, hour, key_id, person, endpoint, model, model_version, requests, errors, not_found, prompt_tokens, completion_tokens)
SELECT tenant, at / 3600000, COALESCE(key_id, ''), COALESCE(person, ''), COALESCE(endpoint, ''), model, COALESCE(model_version, ''), COUNT(*),
    SUM(CASE WHEN status >= 400 THEN 1 ELSE 0 END), SUM(CASE WHEN error = 'model_not_found' THEN 1 ELSE 0 END), SUM(prompt_tokens), SUM(completion_tokens)
FROM calls GROUP BY 1, 2, 3, 4, 5, 6, 7;
