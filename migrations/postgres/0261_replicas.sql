-- The processes of an endpoint's server, as the engine saw them last: a JSON list. How many there should be is among its settings.
ALTER TABLE endpoints ADD COLUMN replicas_json TEXT;
