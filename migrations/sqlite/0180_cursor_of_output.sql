-- How far a run's output was read is what the engine says it is: a place in a file is a number, one in a pod's log is not.
ALTER TABLE run_tasks ADD COLUMN output_cursor TEXT NOT NULL DEFAULT '';
UPDATE run_tasks SET output_cursor = CAST(output_offset AS TEXT) WHERE output_offset > 0;
ALTER TABLE run_tasks DROP COLUMN output_offset;
