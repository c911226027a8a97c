//! Whether a tenant's pods are kept apart, for the platform's administrators.

use super::{AppError, Wire};
use domain::isolation::Check;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IsolationChecks {
    /// The check that goes on.
    pub open: Option<Check>,
    /// The newest result.
    pub last: Option<Check>,
    /// Why none can be asked for.
    pub refused: Option<String>,
}

/// `None` = where tasks run here, nothing could keep tenants apart; or no such tenant, which the page says itself.
#[server(prefix = "/rpc", endpoint = "admin/tenant-isolation", output = Wire)]
pub async fn tenant_isolation(name: String) -> Result<Option<IsolationChecks>, AppError> {
    use domain::{policy::Action, problem::ProblemKind, tenant::TenantState};
    let (platform, scope) = super::platform_scope()?;
    scope.permit(Action::PlatformTenantsRead)?;
    // Nothing is read for what cannot be there.
    if !platform.has_cluster() {
        return Ok(None);
    }
    let tenants = platform.tenants(&scope);
    let tenant = match tenants.get(&name).await {
        Ok(found) => found.tenant,
        Err(problem) if problem.kind == ProblemKind::NotFound => return Ok(None),
        Err(problem) => return Err(problem.into()),
    };
    let closed = match tenant.state {
        TenantState::Active => None,
        TenantState::Suspended => Some("The tenant is suspended, and nothing of it starts. Resume it first.".to_owned()),
        TenantState::Deleting => Some("The tenant is being deleted.".to_owned()),
    };
    let found = tenants.isolation(&tenant).await?;
    let refused = scope.why_not(Action::PlatformTenantsWrite).or(closed);
    Ok(found.map(|found| IsolationChecks { open: found.open, last: found.last, refused }))
}

/// Asks for a check; the page shows how it goes on.
#[server(prefix = "/rpc", endpoint = "admin/tenant-isolation-check", output = Wire)]
pub async fn tenant_isolation_check(name: String) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    platform.tenants(&scope).check_isolation(&name).await?;
    Ok(())
}
