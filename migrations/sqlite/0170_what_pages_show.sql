-- What pages show of long lists is read in an index that is in its order: runs that failed last, the lines of a log that are more than
-- information, answers that changed, endpoints of a base model, the tenants of a person.
CREATE INDEX runs_by_end ON runs (tenant, state, ended_at, id);
CREATE INDEX run_log_warnings ON run_log (tenant, run, number) WHERE level <> 'info';
CREATE INDEX evaluated_rows_flipped ON evaluated_rows (tenant, run, tuned_right, row_number) WHERE base_right <> tuned_right;
CREATE INDEX endpoints_by_base ON endpoints (tenant, base_model, created_at, id);
DROP INDEX members_by_person;
CREATE INDEX members_by_person ON members (person, tenant);
