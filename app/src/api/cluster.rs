//! The cluster, for the platform's administrators.

use super::{AppError, Wire};
use domain::{
    cluster::{Cluster, Waiting},
    page::Page,
    tenant::TenantOverview,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterPage {
    pub cluster: Cluster,
    /// By name: their quotas.
    pub tenants: Page<TenantOverview>,
    pub waiting: Vec<Waiting>,
}

/// `None` = there is no cluster. `after`: a place in the list of tenants; see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "admin/cluster", output = Wire)]
pub async fn cluster_get(#[server(default)] after: String) -> Result<Option<ClusterPage>, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let found = platform.cluster(&scope, &domain::page::Cursor::from_text(after)).await?;
    Ok(found.map(|f| ClusterPage { cluster: f.cluster, tenants: f.tenants, waiting: f.waiting }))
}
