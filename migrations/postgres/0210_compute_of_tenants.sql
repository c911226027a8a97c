-- What a tenant's tasks may use of the machines at once (domain::compute::Compute); NULL = no limit.
ALTER TABLE tenants ADD COLUMN compute_json TEXT;
