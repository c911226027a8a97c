-- How many calls of one key may be under way at the same time; null = as many as the tenant has for each of its keys, which is also what a
-- program means that does not know this column.
ALTER TABLE api_keys ADD COLUMN concurrent_calls BIGINT;
