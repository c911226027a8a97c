-- The spine. Ids and JSON are text, times are milliseconds since 1970 (BIGINT), so that one SQL text serves SQLite and PostgreSQL.
-- Every tenant's table has the tenant first in its key, and in every reference: a row of one tenant cannot point into another's.

CREATE TABLE tenants (
    name            TEXT NOT NULL PRIMARY KEY,
    title           TEXT NOT NULL,
    state           TEXT NOT NULL,
    concurrent_runs INTEGER NOT NULL,
    storage_bytes   INTEGER NOT NULL,
    endpoints       INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE people (
    id            TEXT NOT NULL PRIMARY KEY,
    issuer        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    name          TEXT NOT NULL,
    email         TEXT,
    platform_role TEXT,
    groups_json   TEXT NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT;

-- Replaced from the group claims at every sign-in.
CREATE TABLE members (
    tenant   TEXT NOT NULL REFERENCES tenants (name),
    person   TEXT NOT NULL REFERENCES people (id),
    role     TEXT NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (tenant, person)
) STRICT;

-- secret_hash is the SHA-256 of the cookie's value; the value itself is nowhere.
CREATE TABLE sessions (
    id           TEXT NOT NULL PRIMARY KEY,
    secret_hash  TEXT NOT NULL UNIQUE,
    person       TEXT NOT NULL REFERENCES people (id),
    id_token     TEXT,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;

-- A sign-in that is under way: found by the hash of a one-time cookie, used once, good for ten minutes.
CREATE TABLE sign_ins (
    cookie_hash TEXT NOT NULL PRIMARY KEY,
    state       TEXT NOT NULL,
    nonce       TEXT NOT NULL,
    verifier    TEXT NOT NULL,
    return_to   TEXT NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE base_models (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    state        TEXT NOT NULL,
    reason       TEXT,
    architecture TEXT NOT NULL,
    parameters   INTEGER NOT NULL,
    context      INTEGER NOT NULL,
    template     TEXT NOT NULL,
    licence      TEXT NOT NULL,
    digest       TEXT NOT NULL,
    files_json   TEXT NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE datasets (
    tenant     TEXT NOT NULL REFERENCES tenants (name),
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_by TEXT NOT NULL REFERENCES people (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE dataset_versions (
    tenant             TEXT NOT NULL,
    id                 TEXT NOT NULL,
    dataset            TEXT NOT NULL,
    number             INTEGER NOT NULL,
    state              TEXT NOT NULL,
    reason             TEXT,
    file_name          TEXT NOT NULL,
    bytes              INTEGER NOT NULL,
    digest             TEXT,
    format             TEXT,
    container          TEXT,
    held_out_percent   INTEGER NOT NULL,
    tokenizer          TEXT,
    report_json        TEXT,
    documentation_json TEXT NOT NULL,
    created_by         TEXT NOT NULL REFERENCES people (id),
    created_at         INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, dataset, number),
    FOREIGN KEY (tenant, dataset) REFERENCES datasets (tenant, id)
) STRICT;

CREATE TABLE runs (
    tenant          TEXT NOT NULL REFERENCES tenants (name),
    id              TEXT NOT NULL,
    name            TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    base_model      TEXT NOT NULL REFERENCES base_models (id),
    dataset_version TEXT NOT NULL,
    model_name      TEXT NOT NULL,
    settings_json   TEXT NOT NULL,
    cloned_from     TEXT,
    -- step and total_steps of the training, remaining milliseconds
    progress_json   TEXT,
    scores_json     TEXT,
    failure_json    TEXT,
    results_json    TEXT,
    model_version   TEXT,
    -- the form's one-time number: the same form sent twice makes one run
    submission      TEXT NOT NULL,
    owner           TEXT NOT NULL REFERENCES people (id),
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    ended_at        INTEGER,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name),
    UNIQUE (tenant, submission),
    FOREIGN KEY (tenant, dataset_version) REFERENCES dataset_versions (tenant, id)
) STRICT;
CREATE INDEX runs_by_state ON runs (state, created_at);

CREATE TABLE run_steps (
    tenant     TEXT NOT NULL,
    run        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    state      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    PRIMARY KEY (tenant, run, kind),
    FOREIGN KEY (tenant, run) REFERENCES runs (tenant, id)
) STRICT;

-- How far the controller has read each task's output; committed together with what was read.
CREATE TABLE run_tasks (
    tenant       TEXT NOT NULL,
    run          TEXT NOT NULL,
    task         TEXT NOT NULL,
    output_offset INTEGER NOT NULL,
    PRIMARY KEY (tenant, run, task),
    FOREIGN KEY (tenant, run) REFERENCES runs (tenant, id)
) STRICT;

CREATE TABLE run_metrics (
    tenant            TEXT NOT NULL,
    run               TEXT NOT NULL,
    step              INTEGER NOT NULL,
    -- 'train' or 'eval': both may be logged at one step
    part              TEXT NOT NULL,
    epoch             REAL,
    loss              REAL,
    eval_loss         REAL,
    learning_rate     REAL,
    tokens_per_second REAL,
    total_tokens      INTEGER,
    at                INTEGER NOT NULL,
    PRIMARY KEY (tenant, run, step, part),
    FOREIGN KEY (tenant, run) REFERENCES runs (tenant, id)
) STRICT;

CREATE TABLE run_log (
    tenant TEXT NOT NULL,
    run    TEXT NOT NULL,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    step   TEXT NOT NULL,
    level  TEXT NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tenant, run, number),
    FOREIGN KEY (tenant, run) REFERENCES runs (tenant, id)
) STRICT;

CREATE TABLE evaluated_rows (
    tenant      TEXT NOT NULL,
    run         TEXT NOT NULL,
    row_number  INTEGER NOT NULL,
    prompt      TEXT NOT NULL,
    expected    TEXT NOT NULL,
    base        TEXT NOT NULL,
    tuned       TEXT NOT NULL,
    base_right  INTEGER NOT NULL,
    tuned_right INTEGER NOT NULL,
    PRIMARY KEY (tenant, run, row_number),
    FOREIGN KEY (tenant, run) REFERENCES runs (tenant, id)
) STRICT;

CREATE TABLE models (
    tenant     TEXT NOT NULL REFERENCES tenants (name),
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE model_versions (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    model       TEXT NOT NULL,
    number      INTEGER NOT NULL,
    stage       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    digest      TEXT NOT NULL,
    files_json  TEXT NOT NULL,
    run         TEXT NOT NULL,
    card_json   TEXT NOT NULL,
    card_revision INTEGER NOT NULL,
    author      TEXT NOT NULL REFERENCES people (id),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, model, number),
    UNIQUE (tenant, run),
    FOREIGN KEY (tenant, model) REFERENCES models (tenant, id),
    FOREIGN KEY (tenant, run) REFERENCES runs (tenant, id)
) STRICT;

CREATE TABLE endpoints (
    tenant         TEXT NOT NULL REFERENCES tenants (name),
    id             TEXT NOT NULL,
    name           TEXT NOT NULL,
    state          TEXT NOT NULL,
    reason         TEXT NOT NULL,
    base_model     TEXT NOT NULL REFERENCES base_models (id),
    merged_version TEXT,
    revision       INTEGER NOT NULL,
    address        TEXT,
    -- which start this is; part of the engine task's name, so that a dead server is never mistaken for its successor
    launch         INTEGER NOT NULL,
    -- what the running server was started with; 0 = without LoRA
    max_lora_rank  INTEGER NOT NULL,
    restarts       INTEGER NOT NULL,
    output_offset  INTEGER NOT NULL,
    retry_at       INTEGER,
    created_by     TEXT NOT NULL REFERENCES people (id),
    created_at     INTEGER NOT NULL,
    ready_at       INTEGER,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name),
    FOREIGN KEY (tenant, merged_version) REFERENCES model_versions (tenant, id)
) STRICT;

CREATE TABLE attachments (
    tenant      TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    version     TEXT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT,
    attached_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, endpoint, version),
    FOREIGN KEY (tenant, endpoint) REFERENCES endpoints (tenant, id),
    FOREIGN KEY (tenant, version) REFERENCES model_versions (tenant, id)
) STRICT;

CREATE TABLE endpoint_log (
    tenant   TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    level    TEXT NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (tenant, endpoint, number),
    FOREIGN KEY (tenant, endpoint) REFERENCES endpoints (tenant, id)
) STRICT;

CREATE TABLE api_keys (
    tenant              TEXT NOT NULL REFERENCES tenants (name),
    id                  TEXT NOT NULL,
    label               TEXT NOT NULL,
    hint                TEXT NOT NULL,
    digest              TEXT NOT NULL UNIQUE,
    owner               TEXT NOT NULL REFERENCES people (id),
    models_json         TEXT,
    requests_per_minute INTEGER,
    tokens_per_minute   INTEGER,
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER,
    revoked_at          INTEGER,
    last_used_at        INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE calls (
    tenant            TEXT NOT NULL REFERENCES tenants (name),
    id                TEXT NOT NULL,
    at                INTEGER NOT NULL,
    key_id            TEXT,
    person            TEXT,
    endpoint          TEXT,
    model             TEXT NOT NULL,
    model_version     TEXT,
    route             TEXT NOT NULL,
    stream            INTEGER NOT NULL,
    status            INTEGER NOT NULL,
    error             TEXT,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    estimated         INTEGER NOT NULL,
    first_token_ms    INTEGER,
    duration_ms       INTEGER NOT NULL,
    finish_reason     TEXT,
    request_id        TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX calls_by_time ON calls (tenant, at);

CREATE TABLE chats (
    tenant         TEXT NOT NULL REFERENCES tenants (name),
    id             TEXT NOT NULL,
    person         TEXT NOT NULL REFERENCES people (id),
    title          TEXT NOT NULL,
    models_json    TEXT NOT NULL,
    system_text    TEXT NOT NULL,
    exchanges_json TEXT NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

-- Append only. The hash chain is domain::audit's; entry_json is exactly what was hashed.
CREATE TABLE audit (
    seq         INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    tenant      TEXT,
    actor       TEXT NOT NULL,
    action      TEXT NOT NULL,
    object      TEXT NOT NULL,
    entry_json  TEXT NOT NULL,
    prev_hash   TEXT NOT NULL,
    hash        TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_tenant ON audit (tenant, seq);

CREATE TABLE events (
    seq    INTEGER NOT NULL PRIMARY KEY,
    id     TEXT NOT NULL,
    tenant TEXT NOT NULL,
    at     INTEGER NOT NULL,
    topic  TEXT NOT NULL,
    object TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_tenant ON events (tenant, seq);

-- Work that follows from a change and was committed with it (checking a dataset, registering a base model).
CREATE TABLE jobs (
    id            TEXT NOT NULL PRIMARY KEY,
    kind          TEXT NOT NULL,
    tenant        TEXT,
    object        TEXT NOT NULL,
    payload_json  TEXT NOT NULL,
    attempts      INTEGER NOT NULL,
    run_after     INTEGER NOT NULL,
    claimed_by    TEXT,
    claimed_until INTEGER
) STRICT;

-- One row a counter: audit, events, directory. Updating it inside a transaction also puts writers in a line.
CREATE TABLE counters (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('audit', 0), ('events', 0), ('directory', 1);

-- Who leads: the fence grows with each new holder.
CREATE TABLE leases (
    name       TEXT NOT NULL PRIMARY KEY,
    holder     TEXT NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- Values that replicas share and nobody else may see (hex).
CREATE TABLE secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
