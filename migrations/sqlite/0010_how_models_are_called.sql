-- How a tenant's models may be called, and how an endpoint serves: JSON of domain::call_rules and domain::serving; null = the defaults,
-- which is also what a program means that does not know these columns.
ALTER TABLE tenants ADD COLUMN call_rules_json TEXT;
ALTER TABLE endpoints ADD COLUMN serving_json TEXT;
