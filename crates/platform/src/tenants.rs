//! Tenants: what the platform's admin does with them, and what their own first page shows.

use crate::{
    Platform,
    access::{PlatformScope, Scope, shortened},
    change::Change,
    problem::Doing,
};
mod deletion;
mod document;

pub use domain::tenant::{RailCounts, TenantHome};
use domain::{
    audit::Detail,
    call_rules::CallRules,
    ids::PersonId,
    name::Name,
    page::{Cursor, Page},
    people::Member,
    policy::Action,
    problem::{FieldProblem, Problem, ProblemKind},
    size::bytes,
    tenant::{Holding, Quota, Tenant, TenantOverview, TenantState},
    tenant_groups::{self, GroupRole},
};

/// What an admin asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTenant {
    pub name: String,
    /// In the team's words, 1 to 80 characters; empty = the name.
    pub title: String,
    pub quota: Quota,
}

/// All tenants, for the platform's admin and auditor.
pub struct Tenants<'a> {
    platform: &'a Platform,
    scope: &'a PlatformScope,
}

impl Platform {
    pub fn tenants<'a>(&'a self, scope: &'a PlatformScope) -> Tenants<'a> {
        Tenants { platform: self, scope }
    }

    /// How many there are of each thing; part of every page.
    pub async fn rail_counts(&self, scope: &Scope) -> Result<RailCounts, Problem> {
        scope.permit(Action::TenantRead)?;
        self.store().rail_counts(scope.tenant_name()).await.doing("counting what the tenant holds")
    }

    /// How much of its quota the tenant holds.
    pub async fn holding(&self, scope: &Scope) -> Result<Holding, Problem> {
        scope.permit(Action::TenantRead)?;
        self.store().holding(scope.tenant_name()).await.doing("reading what the tenant holds")
    }

    /// What the tenant holds and how much of everything it has.
    pub async fn overview(&self, scope: &Scope) -> Result<TenantHome, Problem> {
        Ok(TenantHome { holding: self.holding(scope).await?, counts: self.rail_counts(scope).await? })
    }
}

impl<'a> Tenants<'a> {
    pub(crate) fn platform(&self) -> &'a Platform {
        self.platform
    }

    pub(crate) fn scope(&self) -> &'a PlatformScope {
        self.scope
    }
}

impl Tenants<'_> {
    /// By name; `text` is part of name or title, empty = all.
    pub async fn list(&self, text: &str, after: &Cursor) -> Result<Page<TenantOverview>, Problem> {
        self.scope.permit(Action::PlatformTenantsRead)?;
        self.platform.store().tenants(text, after).await.doing("reading the tenants")
    }

    /// How many there are.
    pub async fn count(&self) -> Result<u64, Problem> {
        self.scope.permit(Action::PlatformTenantsRead)?;
        self.platform.store().count_tenants().await.doing("counting the tenants")
    }

    pub async fn get(&self, name: &str) -> Result<TenantOverview, Problem> {
        self.scope.permit(Action::PlatformTenantsRead)?;
        let tenant = self.known(name).await?;
        let holding = self.platform.store().holding(&tenant.name).await.doing("reading what the tenant holds")?;
        Ok(TenantOverview { tenant, holding })
    }

    async fn known(&self, name: &str) -> Result<Tenant, Problem> {
        self.scope.permit(Action::PlatformTenantsRead)?;
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        self.platform.store().tenant(&parsed).await.doing("reading the tenant")?.ok_or_else(|| not_found(name))
    }

    /// By name.
    pub async fn members(&self, tenant: &Tenant, after: &Cursor) -> Result<Page<Member>, Problem> {
        self.scope.permit(Action::PlatformTenantsRead)?;
        self.platform.members_of(&tenant.name, "", after).await.doing("reading the members")
    }

    /// None for somebody who does not belong to it.
    pub async fn member(&self, name: &str, person: PersonId) -> Result<Option<Member>, Problem> {
        let tenant = self.known(name).await?.name;
        self.platform.member_of(&tenant, person).await.doing("reading the member")
    }

    pub async fn create(&self, new: NewTenant) -> Result<Tenant, Problem> {
        let permit = self.scope.permit(Action::PlatformTenantsWrite)?;
        let mut wrong = new.quota.check();
        let name: Option<Name> = match new.name.parse() {
            Ok(name) => Some(name),
            Err(bad) => {
                wrong.push(bad.in_field("name"));
                None
            }
        };
        let title = if new.title.trim().is_empty() { new.name.clone() } else { new.title.trim().to_owned() };
        if title.chars().count() > Tenant::TITLE_CHARS {
            wrong.push(FieldProblem::new("title", format!("At most {} characters.", Tenant::TITLE_CHARS)));
        }
        if let Some(sentence) = name.as_ref().and_then(|name| self.platform.location().refuses(name)) {
            wrong.push(FieldProblem::new("name", sentence));
        }
        let Some(name) = name.filter(|_| wrong.is_empty()) else { return Err(Problem::invalid(wrong)) };
        let mut tx = Change::begin(self.platform, &permit).await?;
        let tenant = Tenant { name, title, state: TenantState::Active, quota: new.quota, created_at: tx.at() };
        let doing = "creating the tenant";
        if !tx.insert_tenant(&tenant).await.doing(doing)? {
            return Err(Problem::field("name", format!("The tenant “{}” exists already.", tenant.name)));
        }
        let mut entry = tx.entry_about(&tenant.name, "tenant", &tenant.name, &tenant.name);
        entry.detail = Detail::TenantCreated { quota: tenant.quota.clone() };
        tx.commit(entry).await.doing(doing)?;
        Ok(tenant)
    }

    pub async fn set_quota(&self, name: &str, quota: Quota) -> Result<Tenant, Problem> {
        let wrong = quota.check();
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        self.change(name, |tenant| {
            tenant.quota = quota.clone();
            Ok(Detail::QuotaSet { quota })
        })
        .await
    }

    /// How its models may be called.
    pub async fn call_rules(&self, name: &str) -> Result<CallRules, Problem> {
        self.scope.permit(Action::PlatformTenantsRead)?;
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let doing = "reading how a tenant may be called";
        self.platform.store().tenant(&parsed).await.doing(doing)?.ok_or_else(|| not_found(name))?;
        self.platform.store().call_rules(&parsed).await.doing(doing)
    }

    pub async fn set_call_rules(&self, name: &str, rules: CallRules) -> Result<(), Problem> {
        let permit = self.scope.permit(Action::PlatformTenantsWrite)?;
        let wrong = rules.check();
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let doing = "changing how a tenant may be called";
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let mut tx = Change::begin(self.platform, &permit).await?;
        let tenant = tx.tenant(&parsed).await.doing(doing)?.ok_or_else(|| not_found(name))?;
        not_being_deleted(&tenant)?;
        tx.set_call_rules(&tenant.name, &rules).await.doing(doing)?;
        let mut entry = tx.entry_about(&tenant.name, "tenant", &tenant.name, &tenant.name);
        entry.detail = Detail::CallRulesSet { rules };
        tx.commit(entry).await.doing(doing)
    }

    /// Groups of the identity provider that it is bound to by name.
    pub async fn groups(&self, tenant: &Tenant) -> Result<Vec<GroupRole>, Problem> {
        self.scope.permit(Action::PlatformTenantsRead)?;
        self.platform.store().tenant_groups(&tenant.name).await.doing("reading the groups of a tenant")
    }

    /// In the place of those before; they count when a person is confirmed next.
    pub async fn set_groups(&self, name: &str, groups: Vec<GroupRole>) -> Result<(), Problem> {
        let permit = self.scope.permit(Action::PlatformTenantsWrite)?;
        let wrong = tenant_groups::check(&groups);
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let doing = "binding a tenant to groups";
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let mut tx = Change::begin(self.platform, &permit).await?;
        let tenant = tx.tenant(&parsed).await.doing(doing)?.ok_or_else(|| not_found(name))?;
        not_being_deleted(&tenant)?;
        tx.set_tenant_groups(&tenant.name, &groups).await.doing(doing)?;
        let mut entry = tx.entry_about(&tenant.name, "tenant", &tenant.name, &tenant.name);
        entry.detail = Detail::GroupsBound { groups };
        tx.commit(entry).await.doing(doing)
    }

    /// Nothing new starts, model servers end and keys stop answering; what is stored stays, and runs under way go on to their end.
    pub async fn suspend(&self, name: &str) -> Result<Tenant, Problem> {
        self.set_state(name, TenantState::Suspended, Detail::TenantSuspended).await
    }

    pub async fn resume(&self, name: &str) -> Result<Tenant, Problem> {
        self.set_state(name, TenantState::Active, Detail::TenantResumed).await
    }

    async fn set_state(&self, name: &str, state: TenantState, detail: Detail) -> Result<Tenant, Problem> {
        self.change(name, |tenant| {
            if tenant.state == state {
                return Err(Problem::conflict(format!("The tenant “{}” is already {}.", tenant.name, state.word())));
            }
            tenant.state = state;
            Ok(detail)
        })
        .await
    }

    async fn change(&self, name: &str, how: impl FnOnce(&mut Tenant) -> Result<Detail, Problem>) -> Result<Tenant, Problem> {
        let permit = self.scope.permit(Action::PlatformTenantsWrite)?;
        let doing = "changing the tenant";
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let mut tx = Change::begin(self.platform, &permit).await?;
        let mut tenant = tx.tenant(&parsed).await.doing(doing)?.ok_or_else(|| not_found(name))?;
        not_being_deleted(&tenant)?;
        let detail = how(&mut tenant)?;
        tx.update_tenant(&tenant).await.doing(doing)?;
        let mut entry = tx.entry_about(&tenant.name, "tenant", &tenant.name, &tenant.name);
        entry.detail = detail;
        tx.commit(entry).await.doing(doing)?;
        Ok(tenant)
    }
}

/// Nothing more fits. What a run under way publishes is kept even beyond the quota: its work is not thrown away.
pub(crate) fn storage_used_up(tenant: &Name, stored: u64, quota: u64) -> Problem {
    let sentence = format!("The storage of the tenant “{tenant}” is used up: {} of {}.", bytes(stored), bytes(quota));
    Problem::new(ProblemKind::QuotaExceeded, sentence).next("Ask the platform admin for more storage.")
}

/// What is on its way out is not changed any more: nobody would see it, and nothing brings it back.
pub(crate) fn not_being_deleted(tenant: &Tenant) -> Result<(), Problem> {
    match tenant.state {
        TenantState::Deleting => Err(Problem::conflict(format!("The tenant “{}” is being deleted.", tenant.name))),
        TenantState::Active | TenantState::Suspended => Ok(()),
    }
}

fn not_found(name: &str) -> Problem {
    Problem::not_found(format!("The tenant “{}”", shortened(name)))
}
