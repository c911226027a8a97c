//! Deleting a tenant: asked for here, done by the controllers (`control::deletion`).

use super::{Tenants, not_being_deleted, not_found};
use crate::{change::Change, problem::Doing};
use domain::{
    audit::Detail,
    deletion::{Deletion, Stage, WillGo},
    name::Name,
    policy::Action,
    problem::Problem,
    tenant::{Tenant, TenantOverview, TenantState},
};

impl Tenants<'_> {
    /// What would go with it.
    pub async fn will_go(&self, overview: &TenantOverview) -> Result<WillGo, Problem> {
        self.scope().permit(Action::PlatformTenantsRead)?;
        let TenantOverview { tenant, holding } = overview;
        let counts = self.platform().store().rail_counts(&tenant.name).await.doing("counting what the tenant holds")?;
        Ok(WillGo {
            runs: counts.runs.into(),
            open_runs: u64::from(holding.runs_active) + u64::from(holding.runs_queued),
            endpoints: counts.endpoints.into(),
            models: counts.models.into(),
            datasets: counts.datasets.into(),
            keys: counts.keys.into(),
            members: holding.members.into(),
            bytes: holding.storage_bytes,
        })
    }

    /// How far it has come; `None` = it is not being deleted.
    pub async fn deletion(&self, tenant: &Tenant) -> Result<Option<Deletion>, Problem> {
        self.scope().permit(Action::PlatformTenantsRead)?;
        if tenant.state != TenantState::Deleting {
            return Ok(None);
        }
        let known = self.platform().store().deletion(&tenant.name).await.doing("reading how far a deletion has come")?;
        Ok(Some(known.unwrap_or(Deletion { stage: Stage::Workloads, why: String::new() })))
    }

    /// Ends keys, memberships, and the sessions of those who have nothing else here, at once; everything else goes from then on, and there
    /// is no way back. `typed`: the tenant's name, as proof that this very tenant is meant.
    pub async fn delete(&self, name: &str, typed: &str) -> Result<(), Problem> {
        let permit = self.scope().permit(Action::PlatformTenantsWrite)?;
        let doing = "deleting a tenant";
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let before = self.get(name).await?;
        if typed.trim() != parsed.as_str() {
            return Err(Problem::field("confirm", format!("Type “{parsed}” to delete this tenant.")));
        }
        let will_go = self.will_go(&before).await?;
        let mut tx = Change::begin(self.platform(), &permit).await?;
        let mut tenant = tx.tenant(&parsed).await.doing(doing)?.ok_or_else(|| not_found(name))?;
        not_being_deleted(&tenant)?;
        tenant.state = TenantState::Deleting;
        tx.update_tenant(&tenant).await.doing(doing)?;
        let keys = tx.revoke_keys_of_tenant(&parsed).await.doing(doing)?;
        let (at, mut sessions) = (tx.at(), 0);
        for (person, has_nothing_else) in tx.people_of_tenant(&parsed).await.doing(doing)? {
            // Open pages and streams of everybody look again at what they may.
            tx.end_passes(person, at).await.doing(doing)?;
            if has_nothing_else {
                sessions += tx.end_sessions_of(person).await.doing(doing)?;
            }
        }
        tx.delete_members(&parsed).await.doing(doing)?;
        let mut entry = tx.entry_about(&parsed, "tenant", &parsed, &parsed);
        // Not one change of a tenant's settings among others.
        entry.action = "tenant.delete".into();
        entry.detail = Detail::TenantDeletionAsked { will_go, keys, sessions };
        tx.commit(entry).await.doing(doing)
    }
}
