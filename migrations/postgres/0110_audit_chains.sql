-- A chain of audit records for each tenant and one for the platform, each column under the hash; the one chain of before becomes a closed
-- first segment. The program before this cannot write into it any more.

CREATE TABLE audit_records (
    -- 'platform', 'tenants/NAME', 'first-segment'
    chain       TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    tenant      TEXT,
    actor_kind  TEXT NOT NULL,
    actor       TEXT NOT NULL,
    actor_name  TEXT NOT NULL,
    action      TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object      TEXT NOT NULL,
    object_name TEXT NOT NULL,
    result      TEXT NOT NULL,
    -- domain::audit::Detail, '' = nothing to say; exactly what was hashed
    detail_json TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    from_ip     TEXT NOT NULL,
    prev_hash   TEXT NOT NULL,
    hash        TEXT NOT NULL,
    -- in the first segment: exactly what was hashed then
    first_entry TEXT,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX audit_records_by_tenant ON audit_records (tenant, at, chain, seq);
CREATE INDEX audit_records_by_time ON audit_records (at, chain, seq);

-- How long each chain is, its last hash, and its tree (domain::audit::tree).
CREATE TABLE audit_chains (
    chain    TEXT NOT NULL PRIMARY KEY,
    size     BIGINT NOT NULL,
    head     TEXT NOT NULL,
    subtrees TEXT NOT NULL
);

-- What is shown comes from what was hashed. An entry that somebody broke is carried along, and found by `audit verify`.
CREATE FUNCTION audit_entry(entry TEXT) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN RETURN entry::jsonb; EXCEPTION WHEN OTHERS THEN RETURN '{}'::jsonb; END $$;
CREATE FUNCTION audit_number(number TEXT) RETURNS BIGINT LANGUAGE plpgsql AS $$
BEGIN RETURN COALESCE(number::BIGINT, 0); EXCEPTION WHEN OTHERS THEN RETURN 0; END $$;
INSERT INTO audit_records (chain, seq, at, tenant, actor_kind, actor, actor_name, action, object_kind, object, object_name, result,
    detail_json, request_id, from_ip, prev_hash, hash, first_entry)
SELECT 'first-segment', seq, audit_number(e ->> 'at'), e ->> 'tenant',
    COALESCE(e ->> 'actor_kind', ''), COALESCE(e ->> 'actor', ''), COALESCE(e ->> 'actor_name', ''),
    COALESCE(e ->> 'action', ''), COALESCE(e ->> 'object_kind', ''), COALESCE(e ->> 'object', ''),
    COALESCE(e ->> 'object_name', ''), COALESCE(e ->> 'result', ''),
    CASE WHEN COALESCE(e ->> 'detail', '') = '' THEN '' ELSE json_build_object('code', 'told', 'text', e ->> 'detail')::TEXT END,
    COALESCE(e ->> 'request_id', ''), COALESCE(e ->> 'from_ip', ''), prev_hash, hash, entry_json
FROM (SELECT seq, prev_hash, hash, entry_json, audit_entry(entry_json) AS e FROM audit) AS entries;
DROP FUNCTION audit_entry(TEXT);
DROP FUNCTION audit_number(TEXT);

-- Its tree is built by the program when it starts, which also notes its end in the platform's chain.
INSERT INTO audit_chains (chain, size, head, subtrees)
SELECT 'first-segment', value, COALESCE((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), ''), '' FROM counters WHERE name = 'audit' AND value > 0;

DROP TABLE audit;
DELETE FROM counters WHERE name = 'audit';

CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON audit_records FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE FUNCTION audit_first_segment_is_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the first segment of the audit log is closed'; END $$;
CREATE TRIGGER audit_first_segment_is_closed BEFORE INSERT ON audit_records FOR EACH ROW WHEN (NEW.chain = 'first-segment')
EXECUTE FUNCTION audit_first_segment_is_closed();
