-- How far the deletion of a tenant has come (domain::deletion::Deletion); NULL = it is not being deleted.
ALTER TABLE tenants ADD COLUMN deletion_json TEXT;
