//! The chart in `charts/atelier`: what Helm makes of it for each way to install it, whether an API server takes that, and whether the rights
//! in it are what the program asks for. Without Helm (`ATELIER_HELM`) these tests are left out; those that want a cluster, without
//! `ATELIER_CLUSTER`.

#[path = "../processes/cluster.rs"]
mod cluster;
mod dry_run;
mod helm;
mod installed;
mod metrics;
mod objects;
mod pods;
mod rights;
mod rights_in_use;
mod settings;
