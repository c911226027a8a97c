//! Whether a tenant's pods are kept apart from all that is not theirs: an admin asks for a check, controllers bring it about
//! (`control::isolation`), and what it found is shown with its date.

use crate::{
    change::Change,
    problem::Doing,
    tenants::{Tenants, not_being_deleted},
};
use domain::{
    audit::Detail,
    ids::IsolationCheckId,
    isolation::Check,
    policy::Action,
    problem::Problem,
    tenant::{Tenant, TenantState},
};

/// What the page of a tenant shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// That goes on.
    pub open: Option<Check>,
    /// The newest result.
    pub last: Option<Check>,
}

impl Tenants<'_> {
    /// `None` = where tasks run here, there is nothing that could keep tenants apart.
    pub async fn isolation(&self, tenant: &Tenant) -> Result<Option<Checks>, Problem> {
        self.scope().permit(Action::PlatformTenantsRead)?;
        if !self.platform().has_cluster() {
            return Ok(None);
        }
        let latest = self.platform().store().latest_isolation_checks(&tenant.name).await.doing("reading the checks of isolation")?;
        let (over, open): (Vec<_>, Vec<_>) = latest.into_iter().partition(Check::is_over);
        Ok(Some(Checks { open: open.into_iter().next(), last: over.into_iter().next() }))
    }

    /// Asks for a check: its result comes within minutes, see [`Tenants::isolation`].
    pub async fn check_isolation(&self, name: &str) -> Result<Check, Problem> {
        let permit = self.scope().permit(Action::PlatformTenantsWrite)?;
        let platform = self.platform();
        if !platform.has_cluster() {
            return Err(Problem::conflict("On one machine all tenants' tasks run as one user: there is nothing to check.")
                .next("Run tasks on a Kubernetes cluster where tenants must be apart."));
        }
        let doing = "asking for a check of isolation";
        let tenant = self.get(name).await?.tenant;
        not_being_deleted(&tenant)?;
        if tenant.state == TenantState::Suspended {
            return Err(Problem::conflict(format!("The tenant “{}” is suspended, and nothing of it starts.", tenant.name))
                .next("Resume it, then check."));
        }
        let mut tx = Change::begin(platform, &permit).await?;
        let mut entry = tx.entry_about(&tenant.name, "tenant", &tenant.name, &tenant.name);
        let check =
            Check::asked(IsolationCheckId::from_uuid(platform.fresh_uuid()), tenant.name.clone(), entry.actor_name.clone(), tx.at());
        if !tx.insert_isolation_check(&check).await.doing(doing)? {
            return Err(Problem::conflict(format!("A check of the tenant “{}” is under way already.", tenant.name))
                .next("Its result is shown here when it ends."));
        }
        entry.detail = Detail::IsolationCheckAsked;
        tx.commit(entry).await.doing(doing)?;
        Ok(check)
    }

    /// One of the tenant's checks, as it stands now.
    pub async fn isolation_check(&self, check: &Check) -> Result<Check, Problem> {
        self.scope().permit(Action::PlatformTenantsRead)?;
        let found = self.platform().store().isolation_check(&check.tenant, check.id).await.doing("reading a check of isolation")?;
        found.ok_or_else(|| Problem::not_found("The check of isolation"))
    }
}
