-- A run is a plan of steps. Its own state says only whether it waits, runs or has ended; what it does is the state of its steps.
-- Reasons are JSON of domain::reason (a code with parameters); sentences that were stored so far come along as they are.
UPDATE runs SET reason = json_build_object('code', 'told', 'text', reason)::text;
UPDATE runs SET state = 'running' WHERE state IN ('preparing', 'training', 'evaluating', 'publishing');

-- place: its place in the plan. needs_json: ids of earlier steps. work_json, resources_json: domain::run::step.
-- deadline_ms: how long it may take, null = no limit. attempt: which try it is, from 1.
CREATE TABLE run_steps_of_plans (
    tenant         TEXT NOT NULL,
    run            TEXT NOT NULL,
    id             TEXT NOT NULL,
    place          BIGINT NOT NULL,
    kind           TEXT NOT NULL,
    needs_json     TEXT NOT NULL,
    work_json      TEXT NOT NULL,
    resources_json TEXT NOT NULL,
    deadline_ms    BIGINT,
    attempt        BIGINT NOT NULL,
    state          TEXT NOT NULL,
    reason         TEXT NOT NULL,
    started_at     BIGINT,
    ended_at       BIGINT,
    PRIMARY KEY (tenant, run, id),
    FOREIGN KEY (tenant, run) REFERENCES runs (tenant, id)
);
INSERT INTO run_steps_of_plans (tenant, run, id, place, kind, needs_json, work_json, resources_json, deadline_ms, attempt, state, reason, started_at, ended_at)
SELECT tenant, run, kind,
    CASE kind WHEN 'prepare' THEN 0 WHEN 'train' THEN 1 WHEN 'evaluate' THEN 2 ELSE 3 END,
    kind,
    CASE kind WHEN 'prepare' THEN '[]' WHEN 'train' THEN '["prepare"]' WHEN 'evaluate' THEN '["train"]' ELSE '["evaluate"]' END,
    CASE kind
        WHEN 'evaluate' THEN '{"by":"process","process":"evaluate","job":{"kind":"evaluate","weights":"train"}}'
        WHEN 'publish' THEN '{"by":"portal","job":{"kind":"publish","weights":"train","evaluation":"evaluate"}}'
        ELSE '{"by":"process","process":"train","job":{"kind":"train"}}' END,
    '{"gpus":0,"cpu_millis":0,"memory_bytes":0}',
    NULL,
    1,
    CASE WHEN state = 'skipped' AND started_at IS NOT NULL THEN 'stopped' ELSE state END,
    json_build_object('code', 'told', 'text', reason)::text,
    started_at, ended_at
FROM run_steps;
DROP TABLE run_steps;
ALTER TABLE run_steps_of_plans RENAME TO run_steps;
