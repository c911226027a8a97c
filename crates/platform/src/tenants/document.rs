//! Tenants as documents: each field that is another goes through the same change that a person makes on the tenant's page.

use super::{NewTenant, Tenants};
use crate::{
    problem::Doing,
    put::{Outcome, Put},
};
use domain::{
    audit::Detail,
    call_rules::CallRules,
    name::Name,
    page::{Cursor, Page},
    policy::Action,
    problem::{Problem, ProblemKind},
    resource::{Document, QuotaSpec, Spec, TenantSpec, TenantStatus},
    tenant::{Quota, Tenant, TenantOverview, TenantState},
    tenant_groups::GroupRole,
};

/// What is set of a tenant.
struct Found {
    overview: TenantOverview,
    rules: CallRules,
    groups: Vec<GroupRole>,
}

impl Found {
    fn spec(&self) -> TenantSpec {
        TenantSpec::of(&self.overview.tenant, &self.rules, &self.groups)
    }

    fn document(&self) -> Document<TenantSpec> {
        let TenantOverview { tenant, holding } = &self.overview;
        Document::new(None, &tenant.name, self.spec(), &TenantStatus::of(tenant, holding))
    }
}

impl Tenants<'_> {
    pub async fn document(&self, name: &str) -> Result<Document<TenantSpec>, Problem> {
        Ok(self.found(self.get(name).await?).await?.document())
    }

    /// By name.
    pub async fn documents(&self, after: &Cursor) -> Result<Page<Document<TenantSpec>>, Problem> {
        let page = self.list("", after).await?;
        let mut rows = Vec::with_capacity(page.rows.len());
        for overview in page.rows {
            rows.push(self.found(overview).await?.document());
        }
        Ok(Page { rows, next: page.next })
    }

    async fn found(&self, overview: TenantOverview) -> Result<Found, Problem> {
        let doing = "reading what is set of a tenant";
        let (store, name) = (self.platform().store(), &overview.tenant.name);
        let rules = store.call_rules(name).await.doing(doing)?;
        let groups = store.tenant_groups(name).await.doing(doing)?;
        Ok(Found { overview, rules, groups })
    }

    /// A new tenant, as a document says; one of this name must not be there.
    pub async fn post(&self, name: &Name, spec: TenantSpec) -> Result<Put<TenantSpec>, Problem> {
        self.scope().permit(Action::PlatformTenantsWrite)?;
        match self.get(name.as_str()).await {
            Err(problem) if problem.kind == ProblemKind::NotFound => self.put(name, spec).await,
            Err(problem) => Err(problem),
            Ok(_) => Err(Problem::conflict(format!("The tenant “{name}” exists already.")).next("PUT changes a tenant that is there.")),
        }
    }

    /// Makes or changes the tenant, so that everything that the spec says holds.
    pub async fn put(&self, name: &Name, spec: TenantSpec) -> Result<Put<TenantSpec>, Problem> {
        self.scope().permit(Action::PlatformTenantsWrite)?;
        let wrong = spec.check();
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        let mut outcome = Outcome::Unchanged;
        let overview = match self.get(name.as_str()).await {
            Ok(overview) => overview,
            Err(problem) if problem.kind == ProblemKind::NotFound => {
                outcome = Outcome::Created;
                let title = spec.title.clone().unwrap_or_default();
                let new = NewTenant { name: name.to_string(), title, quota: spec.quota_over(Quota::default()) };
                let tenant = self.create(new).await?;
                TenantOverview { tenant, holding: Default::default() }
            }
            Err(problem) => return Err(problem),
        };
        let now = self.found(overview).await?;
        if spec.differences(&now.spec()).is_empty() {
            return Ok(Put { outcome, document: now.document() });
        }
        // With what it has already, it may be too much all the same.
        let wrong = QuotaSpec::placed(spec.quota_over(now.overview.tenant.quota.clone()).check());
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        if outcome == Outcome::Unchanged {
            outcome = Outcome::Changed;
        }
        self.change_to(&now, &spec).await?;
        Ok(Put { outcome, document: self.document(name.as_str()).await? })
    }

    async fn change_to(&self, now: &Found, spec: &TenantSpec) -> Result<(), Problem> {
        let tenant = &now.overview.tenant;
        let name = tenant.name.as_str();
        if let Some(title) = spec.title.as_deref().map(str::trim).filter(|title| *title != tenant.title) {
            self.set_title(tenant, title).await?;
        }
        let quota = spec.quota_over(tenant.quota.clone());
        if quota != tenant.quota {
            self.set_quota(name, quota).await?;
        }
        let rules = spec.calls_over(now.rules.clone());
        if rules != now.rules {
            self.set_call_rules(name, rules).await?;
        }
        let with_groups = TenantSpec { groups: spec.groups.clone(), ..TenantSpec::default() };
        if !with_groups.differences(&now.spec()).is_empty() {
            self.set_groups(name, spec.groups_over(Vec::new())).await?;
        }
        let suspended = tenant.state == TenantState::Suspended;
        match spec.suspended {
            Some(true) if !suspended => self.suspend(name).await.map(drop),
            Some(false) if suspended => self.resume(name).await.map(drop),
            _ => Ok(()),
        }
    }

    async fn set_title(&self, tenant: &Tenant, title: &str) -> Result<(), Problem> {
        let set = |tenant: &mut Tenant| {
            tenant.title = title.to_owned();
            Ok(Detail::TitleSet { title: title.to_owned() })
        };
        self.change(tenant.name.as_str(), set).await.map(drop)
    }
}
