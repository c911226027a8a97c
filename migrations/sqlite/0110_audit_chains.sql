-- A chain of audit records for each tenant and one for the platform, each column under the hash; the one chain of before becomes a closed
-- first segment. The program before this cannot write into it any more.

CREATE TABLE audit_records (
    -- 'platform', 'tenants/NAME', 'first-segment'
    chain       TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    at          INTEGER NOT NULL,
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
) STRICT;
CREATE INDEX audit_records_by_tenant ON audit_records (tenant, at, chain, seq);
CREATE INDEX audit_records_by_time ON audit_records (at, chain, seq);

-- How long each chain is, its last hash, and its tree (domain::audit::tree).
CREATE TABLE audit_chains (
    chain    TEXT NOT NULL PRIMARY KEY,
    size     INTEGER NOT NULL,
    head     TEXT NOT NULL,
    subtrees TEXT NOT NULL
) STRICT;

-- What is shown comes from what was hashed. An entry that somebody broke is carried along, and found by `audit verify`.
INSERT INTO audit_records (chain, seq, at, tenant, actor_kind, actor, actor_name, action, object_kind, object, object_name, result,
    detail_json, request_id, from_ip, prev_hash, hash, first_entry)
SELECT 'first-segment', seq, CAST(COALESCE(json_extract(e, '$.at'), 0) AS INTEGER), json_extract(e, '$.tenant'),
    COALESCE(json_extract(e, '$.actor_kind'), ''), COALESCE(json_extract(e, '$.actor'), ''), COALESCE(json_extract(e, '$.actor_name'), ''),
    COALESCE(json_extract(e, '$.action'), ''), COALESCE(json_extract(e, '$.object_kind'), ''), COALESCE(json_extract(e, '$.object'), ''),
    COALESCE(json_extract(e, '$.object_name'), ''), COALESCE(json_extract(e, '$.result'), ''),
    CASE WHEN COALESCE(json_extract(e, '$.detail'), '') = '' THEN '' ELSE json_object('code', 'told', 'text', json_extract(e, '$.detail')) END,
    COALESCE(json_extract(e, '$.request_id'), ''), COALESCE(json_extract(e, '$.from_ip'), ''), prev_hash, hash, entry_json
FROM (SELECT seq, prev_hash, hash, entry_json, CASE WHEN json_valid(entry_json) THEN entry_json ELSE '{}' END AS e FROM audit);

-- Its tree is built by the program when it starts, which also notes its end in the platform's chain.
INSERT INTO audit_chains (chain, size, head, subtrees)
SELECT 'first-segment', value, COALESCE((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), ''), '' FROM counters WHERE name = 'audit' AND value > 0;

DROP TABLE audit;
DELETE FROM counters WHERE name = 'audit';

CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit_records BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit_records BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_first_segment_is_closed BEFORE INSERT ON audit_records WHEN NEW.chain = 'first-segment'
BEGIN SELECT RAISE(ABORT, 'the first segment of the audit log is closed'); END;
