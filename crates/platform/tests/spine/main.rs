//! Store and use cases, on SQLite and on a real PostgreSQL.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod audit_first_segment;
mod by_token;
mod dataset_storage;
mod datasets;
mod directory;
mod disk_full;
mod jobs;
mod keys_and_usage;
mod leavers;
mod limit_shares;
mod lists;
mod provider_logout;
mod sessions;
mod strangers;
mod tenants;
