//! What stands around a tenant's tasks on a cluster, for the platform's administrators.

use super::{AppError, Wire};
use domain::tenant_objects::{ObjectChange, TenantObject};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantObjectList {
    /// As they are now; empty when they could not be looked at.
    pub objects: Vec<TenantObject>,
    /// What last happened to some of them.
    pub changes: Vec<ObjectChange>,
    /// Why they could not be looked at.
    pub away: Option<String>,
}

/// `None` = there are none where tasks run here, or no such tenant, which the page says itself.
#[server(prefix = "/rpc", endpoint = "admin/tenant-objects", output = Wire)]
pub async fn tenant_objects(name: String) -> Result<Option<TenantObjectList>, AppError> {
    let (platform, scope) = super::platform_scope()?;
    scope.permit(domain::policy::Action::PlatformTenantsRead)?;
    // Nothing is read for what cannot be there.
    if !platform.has_cluster() {
        return Ok(None);
    }
    let tenants = platform.tenants(&scope);
    let tenant = match tenants.get(&name).await {
        Ok(found) => found.tenant,
        Err(problem) if problem.kind == domain::problem::ProblemKind::NotFound => return Ok(None),
        Err(problem) => return Err(problem.into()),
    };
    Ok(tenants.objects(&tenant).await?.map(|found| {
        let (objects, away) = match found.seen {
            Ok(objects) => (objects, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        TenantObjectList { objects, changes: found.changes, away }
    }))
}
