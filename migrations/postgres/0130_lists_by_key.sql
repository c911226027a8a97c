-- Every list begins after a key, in an index that is in the list's order (docs/decisions/0025): a page reads what it shows.
CREATE INDEX runs_by_time ON runs (tenant, created_at, id);
CREATE INDEX runs_by_state_and_time ON runs (tenant, state, created_at, id);
CREATE INDEX runs_by_dataset_version ON runs (tenant, dataset_version, created_at, id);
CREATE INDEX dataset_versions_by_time ON dataset_versions (tenant, created_at, id);
CREATE INDEX dataset_versions_by_digest ON dataset_versions (tenant, dataset, digest, number);
CREATE INDEX model_versions_by_time ON model_versions (tenant, created_at, id);
CREATE INDEX endpoints_by_time ON endpoints (tenant, created_at, id);
CREATE INDEX endpoints_by_merged_version ON endpoints (tenant, merged_version);
CREATE INDEX attachments_by_version ON attachments (tenant, version);
CREATE INDEX api_keys_by_time ON api_keys (tenant, created_at, id);
CREATE INDEX api_keys_by_owner ON api_keys (owner, tenant);
CREATE INDEX chats_by_time ON chats (tenant, person, updated_at, id);
CREATE INDEX calls_set_aside_by_time ON calls_set_aside (set_aside_at, tenant, id);
DROP INDEX calls_by_time;
CREATE INDEX calls_by_time ON calls (tenant, at, id);
CREATE INDEX calls_by_person ON calls (tenant, person, at, id);

-- What the list of datasets filters by; the documentation and the report stay where they are.
ALTER TABLE dataset_versions ADD COLUMN licence TEXT NOT NULL DEFAULT '';
-- Of the report, which is made later: rows that were left out; findings that are warnings; findings that are more than a hint.
ALTER TABLE dataset_versions ADD COLUMN rejected_rows BIGINT;
ALTER TABLE dataset_versions ADD COLUMN warnings BIGINT;
ALTER TABLE dataset_versions ADD COLUMN problems BIGINT;
UPDATE dataset_versions SET licence = COALESCE(documentation_json::json ->> 'licence', '');
UPDATE dataset_versions SET
    rejected_rows = COALESCE((report_json::json ->> 'rejected')::bigint, 0),
    warnings = (SELECT COUNT(*) FROM json_array_elements(report_json::json -> 'findings') WHERE value ->> 'severity' = 'warning'),
    problems = (SELECT COUNT(*) FROM json_array_elements(report_json::json -> 'findings') WHERE value ->> 'severity' <> 'info')
    WHERE report_json IS NOT NULL;

-- Members are listed by name; `people` is everybody's.
ALTER TABLE members ADD COLUMN name TEXT NOT NULL DEFAULT '';
UPDATE members SET name = (SELECT p.name FROM people p WHERE p.id = members.person);
CREATE INDEX members_by_name ON members (tenant, name, person);
CREATE INDEX members_by_person ON members (person);

-- What a tenant stores is a sum over an index, not over lists of files.
ALTER TABLE model_versions ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE model_versions SET bytes = (SELECT COALESCE(SUM((value ->> 'bytes')::bigint), 0) FROM json_array_elements(files_json::json));
CREATE INDEX model_versions_by_bytes ON model_versions (tenant, bytes);
CREATE INDEX dataset_versions_by_bytes ON dataset_versions (tenant, state, bytes, judged_bytes);
