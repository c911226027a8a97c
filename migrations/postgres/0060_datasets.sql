-- Datasets that can be judged again, erased and counted as they lie on the disk. Only additions: the program before works on.

-- The judging whose files count (a folder below the version); NULL = from before judgings had names.
ALTER TABLE dataset_versions ADD COLUMN judgement TEXT;
ALTER TABLE dataset_versions ADD COLUMN judged_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE dataset_versions ADD COLUMN erased_at BIGINT;

-- The highest number of a version that was deleted: a number never means two things.
ALTER TABLE datasets ADD COLUMN last_number BIGINT NOT NULL DEFAULT 0;

-- Bytes below the tenant's folder of the artefact store that no other row counts: logs, leftovers. Measured from time to time.
ALTER TABLE tenants ADD COLUMN other_bytes BIGINT NOT NULL DEFAULT 0;

-- When a tenant's job was begun last ('' = the platform's own), so that they take turns.
CREATE TABLE job_turns (
    tenant   TEXT NOT NULL PRIMARY KEY,
    begun_at BIGINT NOT NULL
);
