//! Where a tenant's tasks run: what it is given there, and what is there of it. The controllers make it so (`control::places`).

use crate::{
    Platform,
    problem::Doing,
    store::{self, Store},
    tenants::Tenants,
};
use domain::{
    people::Role,
    policy::Action,
    problem::Problem,
    tenant::Tenant,
    tenant_objects::{ObjectChange, TenantObject},
};
use engine::Place;

/// The objects around a tenant's tasks, for the admin's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// As they are now; the error is why they could not be looked at.
    pub seen: Result<Vec<TenantObject>, String>,
    /// What last happened to some of them.
    pub changes: Vec<ObjectChange>,
}

impl Platform {
    /// As it should be.
    pub(crate) async fn place(&self, tenant: &Tenant) -> Result<Place, Problem> {
        place(self.store(), self.tenant_group(), tenant).await.doing("reading the groups of a tenant")
    }
}

/// `pattern`: how a group names a tenant and a role.
pub(crate) async fn place(store: &Store, pattern: &str, tenant: &Tenant) -> store::Result<Place> {
    let bound = store.tenant_groups(&tenant.name).await?;
    let named = |role: Role| pattern.replace("{tenant}", tenant.name.as_str()).replace("{role}", role.word());
    let by_pattern = Role::ALL.into_iter().map(|role| (named(role), role));
    let groups = by_pattern.chain(bound.into_iter().map(|g| (g.group, g.role))).collect();
    Ok(Place { tenant: tenant.name.clone(), compute: tenant.quota.compute.clone(), groups })
}

impl Tenants<'_> {
    /// All objects around a tenant's tasks as YAML, for whoever applies what the portal may not make; nothing secret is in it.
    pub async fn bundle(&self, name: &str) -> Result<String, Problem> {
        self.scope().permit(Action::PlatformTenantsRead)?;
        let tenant = self.get(name).await?.tenant;
        let place = self.platform().place(&tenant).await?;
        let bundle = self.platform().engine().tenant_bundle(&place).doing("writing the objects of a tenant")?;
        bundle.ok_or_else(|| Problem::conflict("Tasks run on this machine: there are no objects around them."))
    }

    /// `None` = there are none where tasks run here.
    pub async fn objects(&self, tenant: &Tenant) -> Result<Option<Objects>, Problem> {
        self.scope().permit(Action::PlatformTenantsRead)?;
        let platform = self.platform();
        let place = platform.place(tenant).await?;
        let seen = match platform.engine().tenant_objects(&place).await {
            Ok(None) => return Ok(None),
            Ok(Some(seen)) => Ok(seen),
            Err(e) => {
                tracing::warn!(tenant = %tenant.name, error = %e, "the objects of a tenant could not be looked at");
                Err(e.to_string())
            }
        };
        let changes = platform.store().object_changes(&tenant.name).await.doing("reading what happened to a tenant’s objects")?;
        Ok(Some(Objects { seen, changes }))
    }
}
