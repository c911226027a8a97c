-- Reasons of endpoints as codes with parameters; servers that somebody else runs; a place in the output that only the engine understands.

-- What was a sentence is kept as one, until the next thing happens to the endpoint.
UPDATE endpoints SET reason = json_object('code', 'told', 'text', reason);
UPDATE attachments SET reason = json_object('code', 'told', 'text', reason) WHERE reason IS NOT NULL;

-- `vllm`, `external`
ALTER TABLE endpoints ADD COLUMN model_server TEXT NOT NULL DEFAULT 'vllm';
-- Of an external one: its address and models (domain::external::External), and its key, encrypted.
ALTER TABLE endpoints ADD COLUMN external_json TEXT;
ALTER TABLE endpoints ADD COLUMN external_key TEXT;

-- An external one has no base model here. SQLite cannot take NOT NULL off a column.
ALTER TABLE endpoints ADD COLUMN base TEXT REFERENCES base_models (id);
UPDATE endpoints SET base = base_model;
ALTER TABLE endpoints DROP COLUMN base_model;
ALTER TABLE endpoints RENAME COLUMN base TO base_model;

ALTER TABLE endpoints ADD COLUMN output_cursor TEXT NOT NULL DEFAULT '';
UPDATE endpoints SET output_cursor = CAST(output_offset AS TEXT) WHERE output_offset > 0;
ALTER TABLE endpoints DROP COLUMN output_offset;

-- The number of the log's last line before the present start: what comes after it is of the server that runs now.
ALTER TABLE endpoints ADD COLUMN log_before INTEGER NOT NULL DEFAULT 0;
