//! What the platform's administrators do: tenants with their quotas, base models.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{
    base_model::BaseModel,
    call_rules::CallRules,
    compute::Compute,
    deletion::{Deletion, WillGo},
    ids::PersonId,
    key::Limits,
    page::Page,
    people::Member,
    problem::{FieldProblem, Problem},
    size::GB,
    tenant::{Quota, TenantOverview},
    tenant_groups::GroupRole,
    time::Timestamp,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantList {
    /// By name.
    pub tenants: Page<TenantOverview>,
    /// Without the filter.
    pub total: u64,
    pub write_refused: Option<String>,
}

/// `text` is part of name or title; `after`: see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "admin/tenants", output = Wire)]
pub async fn list_tenants(#[server(default)] text: String, #[server(default)] after: String) -> Result<TenantList, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let tenants = platform.tenants(&scope);
    Ok(TenantList {
        tenants: tenants.list(&text, &Cursor::from_text(after)).await?,
        total: tenants.count().await?,
        write_refused: scope.why_not(domain::policy::Action::PlatformTenantsWrite),
    })
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantPage {
    pub overview: TenantOverview,
    /// By name.
    pub members: Page<Member>,
    /// The member that a question on the page is about.
    pub asked: Option<Member>,
    pub calls: CallRules,
    /// Of the identity provider, that it is bound to by name.
    pub groups: Vec<GroupRole>,
    /// What would go with it; only where that was asked for.
    pub will_go: Option<WillGo>,
    /// How far its deletion has come; absent where nobody asked for it.
    pub deletion: Option<Deletion>,
    pub me: PersonId,
    pub now: Timestamp,
    pub write_refused: Option<String>,
    pub end_refused: Option<String>,
}

#[server(prefix = "/rpc", endpoint = "admin/tenant", output = Wire)]
pub async fn tenant_get(
    name: String,
    #[server(default)] after: String,
    #[server(default)] asked: String,
    #[server(default)] delete: String,
) -> Result<TenantPage, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let tenants = platform.tenants(&scope);
    let overview = tenants.get(&name).await?;
    let calls = tenants.call_rules(&name).await?;
    let groups = tenants.groups(&overview.tenant).await?;
    let deletion = tenants.deletion(&overview.tenant).await?;
    let will_go = if delete.is_empty() { None } else { Some(tenants.will_go(&overview).await?) };
    let asked = match asked.parse() {
        Ok(person) => tenants.member(&name, person).await?,
        Err(_) => None,
    };
    let members = tenants.members(&overview.tenant, &Cursor::from_text(after)).await?;
    let gone = deletion.is_some().then(|| "The tenant is being deleted.".to_owned());
    Ok(TenantPage {
        overview,
        members,
        asked,
        calls,
        groups,
        will_go,
        deletion,
        me: super::caller()?.person.id,
        now: platform.now(),
        write_refused: scope.why_not(domain::policy::Action::PlatformTenantsWrite).or(gone),
        end_refused: scope.why_not(domain::policy::Action::PlatformPeopleEnd),
    })
}

/// Ends the sessions of a member of the tenant, and the person's own keys in every tenant.
#[server(prefix = "/rpc", endpoint = "admin/member-end", output = Wire)]
pub async fn admin_member_end(name: String, person: String) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    scope.permit(domain::policy::Action::PlatformPeopleEnd)?;
    platform.end_access(&scope, &name, super::members::read(&person)?).await?;
    super::redirect(&crate::links::admin_tenant(&name));
    Ok(())
}

/// A quota as the forms send it: text, storage in GB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaForm {
    #[serde(default)]
    pub concurrent_runs: String,
    #[serde(default)]
    pub storage_gb: String,
    #[serde(default)]
    pub endpoints: String,
    /// Of the machines; empty = no limit.
    #[serde(default)]
    pub gpus: String,
    #[serde(default)]
    pub mig: String,
    #[serde(default)]
    pub cpu: String,
    #[serde(default)]
    pub memory_gb: String,
    #[serde(default)]
    pub disk_gb: String,
}

impl QuotaForm {
    /// The quota, or every field that cannot be read.
    pub fn read(&self) -> Result<Quota, Problem> {
        let mut wrong = Vec::new();
        let mut whole = |field: &str, text: &str, works: &str| {
            text.trim().parse::<u32>().unwrap_or_else(|_| {
                let sentence = format!("“{}” cannot be used. It must be a whole number between 0 and {}.", text.trim(), Quota::MOST);
                wrong.push(FieldProblem::new(field, sentence).suggesting(works));
                0
            })
        };
        let concurrent_runs = whole("concurrent_runs", &self.concurrent_runs, "1");
        let endpoints = whole("endpoints", &self.endpoints, "2");
        let gb = self.storage_gb.trim().replace(',', ".").parse::<f64>().ok().filter(|gb| gb.is_finite() && *gb >= 0.0 && *gb <= 8e9);
        if gb.is_none() {
            wrong.push(FieldProblem::new("storage_gb", "Enter the storage quota in GB.").suggesting("20"));
        }
        let compute = self.compute().unwrap_or_else(|mut more| {
            wrong.append(&mut more);
            Compute::default()
        });
        let quota = Quota { concurrent_runs, endpoints, storage_bytes: (gb.unwrap_or_default() * GB as f64) as u64, compute };
        wrong.extend(quota.check());
        if wrong.is_empty() { Ok(quota) } else { Err(Problem::invalid(wrong)) }
    }

    fn compute(&self) -> Result<Compute, Vec<FieldProblem>> {
        let mut wrong = Vec::new();
        let mut whole = |field: &str, text: &str| {
            let text = text.trim();
            let read = if text.is_empty() { None } else { text.parse::<u32>().ok() };
            if read.is_none() && !text.is_empty() {
                let sentence = format!("“{text}” is not a whole number. Leave it empty for no limit.");
                wrong.push(FieldProblem::new(field, sentence));
            }
            read
        };
        let (gpus, cpu) = (whole("gpus", &self.gpus), whole("cpu", &self.cpu));
        let mut gigabytes = |field: &str, text: &str| {
            let text = text.trim().replace(',', ".");
            let read = text.parse::<f64>().ok().filter(|gb| gb.is_finite() && *gb >= 0.0 && *gb <= 8e9);
            if read.is_none() && !text.is_empty() {
                wrong.push(FieldProblem::new(field, "Enter a number of GB, or leave it empty for no limit."));
            }
            read.map(|gb| (gb * GB as f64) as u64)
        };
        let (memory, disk) = (gigabytes("memory_gb", &self.memory_gb), gigabytes("disk_gb", &self.disk_gb));
        let mig = Compute::read_mig(&self.mig).unwrap_or_else(|mut more| {
            wrong.append(&mut more);
            Default::default()
        });
        if wrong.is_empty() { Ok(Compute { gpus, mig, cpu, memory, disk }) } else { Err(wrong) }
    }
}

/// Creates a tenant and goes to its page.
#[server(prefix = "/rpc", endpoint = "admin/tenant-create", output = Wire)]
pub async fn tenant_create(name: String, title: String, quota: QuotaForm) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    let new = platform::tenants::NewTenant { name: name.trim().to_owned(), title: title.trim().to_owned(), quota: quota.read()? };
    let tenant = platform.tenants(&scope).create(new).await?;
    super::redirect(&crate::links::admin_tenant(&tenant.name));
    Ok(())
}

#[server(prefix = "/rpc", endpoint = "admin/tenant-quota", output = Wire)]
pub async fn tenant_quota(name: String, quota: QuotaForm) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    platform.tenants(&scope).set_quota(&name, quota.read()?).await?;
    Ok(())
}

/// How a tenant's models may be called, as the form sends it: text, an origin a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsForm {
    #[serde(default)]
    pub requests_per_minute: String,
    #[serde(default)]
    pub tokens_per_minute: String,
    #[serde(default)]
    pub concurrent_calls: String,
    #[serde(default)]
    pub concurrent_calls_per_member: String,
    #[serde(default)]
    pub concurrent_calls_per_key: String,
    #[serde(default)]
    pub answers_per_call: String,
    #[serde(default)]
    pub origins: String,
}

impl CallsForm {
    pub fn of(rules: &CallRules) -> Self {
        let limit = |limit: Option<u32>| limit.map(|l| l.to_string()).unwrap_or_default();
        Self {
            requests_per_minute: limit(rules.limits.requests_per_minute),
            tokens_per_minute: limit(rules.limits.tokens_per_minute),
            concurrent_calls: rules.concurrent_calls.to_string(),
            concurrent_calls_per_member: rules.concurrent_calls_per_member.to_string(),
            concurrent_calls_per_key: rules.concurrent_calls_per_key.to_string(),
            answers_per_call: rules.answers_per_call.to_string(),
            origins: rules.origins.join("\n"),
        }
    }

    /// The rules, or every field that cannot be read.
    pub fn read(&self) -> Result<CallRules, Problem> {
        let mut wrong = Vec::new();
        let mut number = |field: &str, text: &str| {
            let text = text.trim();
            if text.is_empty() {
                return None;
            }
            let sentence = || format!("“{text}” is not a whole number.");
            text.parse::<u32>().map_err(|_| wrong.push(FieldProblem::new(field, sentence()))).ok()
        };
        let normal = CallRules::default();
        let rules = CallRules {
            limits: Limits {
                requests_per_minute: number("requests_per_minute", &self.requests_per_minute),
                tokens_per_minute: number("tokens_per_minute", &self.tokens_per_minute),
                concurrent_calls: None,
            },
            concurrent_calls: number("concurrent_calls", &self.concurrent_calls).unwrap_or(normal.concurrent_calls),
            concurrent_calls_per_member: number("concurrent_calls_per_member", &self.concurrent_calls_per_member)
                .unwrap_or(normal.concurrent_calls_per_member),
            concurrent_calls_per_key: number("concurrent_calls_per_key", &self.concurrent_calls_per_key)
                .unwrap_or(normal.concurrent_calls_per_key),
            answers_per_call: number("answers_per_call", &self.answers_per_call).unwrap_or(normal.answers_per_call),
            origins: super::entries(&self.origins).map(|o| o.trim_end_matches('/').to_lowercase()).collect(),
        };
        wrong.extend(rules.check());
        if wrong.is_empty() { Ok(rules) } else { Err(Problem::invalid(wrong)) }
    }
}

#[server(prefix = "/rpc", endpoint = "admin/tenant-calls", output = Wire)]
pub async fn tenant_calls(name: String, form: CallsForm) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    platform.tenants(&scope).set_call_rules(&name, form.read()?).await?;
    Ok(())
}

/// `groups`: a group and its role a line, with = between.
#[server(prefix = "/rpc", endpoint = "admin/tenant-groups", output = Wire)]
pub async fn tenant_groups(name: String, #[server(default)] groups: String) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    let tenants = platform.tenants(&scope);
    // Whoever may not change them is not told what is wrong with them.
    scope.permit(domain::policy::Action::PlatformTenantsWrite)?;
    tenants.set_groups(&name, GroupRole::read(&groups).map_err(Problem::invalid)?).await?;
    Ok(())
}

#[server(prefix = "/rpc", endpoint = "admin/tenant-suspend", output = Wire)]
pub async fn tenant_suspend(name: String) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    platform.tenants(&scope).suspend(&name).await?;
    super::redirect(&crate::links::admin_tenant(&name));
    Ok(())
}

#[server(prefix = "/rpc", endpoint = "admin/tenant-resume", output = Wire)]
pub async fn tenant_resume(name: String) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    platform.tenants(&scope).resume(&name).await?;
    super::redirect(&crate::links::admin_tenant(&name));
    Ok(())
}

/// `confirm`: the tenant's name, typed.
#[server(prefix = "/rpc", endpoint = "admin/tenant-delete", output = Wire)]
pub async fn tenant_delete(name: String, #[server(default)] confirm: String) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    platform.tenants(&scope).delete(&name, &confirm).await?;
    // Where it works on one machine only, the tenant and its page may be gone already.
    super::redirect(&crate::links::admin_tenants());
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseModelList {
    /// By name.
    pub models: Page<BaseModel>,
    pub write_refused: Option<String>,
}

#[server(prefix = "/rpc", endpoint = "admin/base-models", output = Wire)]
pub async fn list_base_models(#[server(default)] after: String) -> Result<BaseModelList, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let models = platform.base_models().list(&super::caller()?, &Default::default(), &Cursor::from_text(after)).await?;
    Ok(BaseModelList { models, write_refused: scope.why_not(domain::policy::Action::PlatformBaseModelsWrite) })
}

/// Registers the files of a folder on the server as a base model; they are copied and hashed afterwards.
#[server(prefix = "/rpc", endpoint = "admin/base-model-register", output = Wire)]
pub async fn base_model_register(folder: String, name: String, licence: String, template: String) -> Result<(), AppError> {
    let (platform, scope) = super::platform_scope()?;
    let text = |s: String| s.trim().to_owned();
    let template = Some(text(template)).filter(|t| !t.is_empty());
    let new = platform::base_models::NewBaseModel { folder: text(folder).into(), name: text(name), licence: text(licence), template };
    platform.base_models().register(&scope, new).await?;
    super::redirect(&crate::links::admin_base_models());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_with_a_point_or_a_comma_and_refused_with_what_works() {
        let form = |gb: &str, runs: &str| QuotaForm {
            concurrent_runs: runs.into(),
            storage_gb: gb.into(),
            endpoints: "2".into(),
            ..QuotaForm::default()
        };
        assert_eq!(form("1,5", "3").read().unwrap().storage_bytes, GB * 3 / 2);
        let refused = form("-1", "x").read().unwrap_err();
        assert_eq!(refused.fields.iter().map(|f| f.suggestion.as_deref()).collect::<Vec<_>>(), [Some("1"), Some("20")]);
    }

    #[test]
    fn the_form_of_a_quota_reads_back_what_it_shows_and_empty_is_no_limit() {
        let compute = Compute {
            gpus: Some(0),
            mig: [("1g.10gb".to_owned(), 4)].into(),
            cpu: Some(96),
            memory: Some(512 * GB),
            disk: Some(GB * 3 / 2),
        };
        let quota = Quota { compute, ..Quota::default() };
        assert_eq!(QuotaForm::of(&quota).read(), Ok(quota));
        assert_eq!(QuotaForm::of(&Quota::default()).read(), Ok(Quota::default()));
        let bad = QuotaForm { gpus: "two".into(), memory_gb: "-1".into(), mig: "1g.10gb".into(), ..QuotaForm::of(&Quota::default()) };
        let fields: Vec<_> = bad.read().unwrap_err().fields.into_iter().map(|f| f.field).collect();
        assert_eq!(fields, ["gpus", "memory_gb", "mig"]);
    }

    #[test]
    fn the_form_of_calls_reads_back_what_it_shows() {
        let rules = CallRules {
            limits: Limits { requests_per_minute: Some(60), ..Limits::default() },
            concurrent_calls_per_key: 3,
            origins: vec!["https://a.org".into(), "http://localhost:3000".into()],
            ..CallRules::default()
        };
        assert_eq!(CallsForm::of(&rules).read(), Ok(rules));
        let slashed = CallsForm { origins: " https://A.org/ , \n".into(), ..CallsForm::default() };
        assert_eq!(slashed.read().unwrap().origins, ["https://a.org"]);
        let wrong =
            CallsForm { concurrent_calls: "many".into(), answers_per_call: "0".into(), origins: "*".into(), ..CallsForm::default() };
        let fields: Vec<_> = wrong.read().unwrap_err().fields.into_iter().map(|f| f.field).collect();
        assert_eq!(fields, ["concurrent_calls", "answers_per_call", "origins"]);
    }
}
