//! Where one starts: the tenants that one may choose from, and the home of one tenant.

use super::{AppError, Wire};
use domain::{
    dataset::DatasetOverview,
    endpoint::Endpoint,
    key::ApiKey,
    model::ModelOverview,
    people::Whoami,
    run::Run,
    tenant::{Holding, Tenant},
    time::Timestamp,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// Who is signed in, with memberships; `None` when nobody is.
#[server(prefix = "/rpc", endpoint = "whoami", output = Wire)]
pub async fn get_whoami() -> Result<Option<Whoami>, AppError> {
    Ok(super::maybe_caller().map(|c| c.whoami()))
}

/// Somebody who is in no tenant, and the group that would change that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    pub who: Whoami,
    /// As the portal is configured, with `{tenant}` and `{role}`.
    pub needed_group: String,
}

#[server(prefix = "/rpc", endpoint = "no-access", output = Wire)]
pub async fn get_no_access() -> Result<Outside, AppError> {
    let who = super::caller()?.whoami();
    let needed_group = use_context::<super::TenantGroup>().map(|g| g.0).unwrap_or_default();
    Ok(Outside { who, needed_group })
}

/// Everything on a tenant's home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Home {
    pub tenant: Tenant,
    pub holding: Holding,
    /// At work or waiting, newest first.
    pub runs_now: Vec<Run>,
    /// Failed within the last three days, newest first, at most 3.
    pub runs_failed: Vec<Run>,
    pub runs_total: usize,
    pub datasets: Vec<DatasetOverview>,
    /// Newest first.
    pub models: Vec<ModelOverview>,
    pub endpoints: Vec<Endpoint>,
    /// Beside each endpoint: the model version, as `facts v2`, when full weights are what it serves.
    pub full_weights: Vec<Option<String>>,
    /// Service keys that nobody answers for; for those who may name somebody.
    pub unanswered_keys: Vec<ApiKey>,
    pub launch_refused: Option<String>,
    pub upload_refused: Option<String>,
    pub now: Timestamp,
}

#[server(prefix = "/rpc", endpoint = "home", output = Wire)]
pub async fn get_home(tenant: String) -> Result<Home, AppError> {
    use domain::{policy::Action, run::RunState, time::DAY};
    let (platform, scope) = super::scope(&tenant).await?;
    let now = platform.now();
    let runs = platform.runs(&scope).list(Default::default()).await?;
    let mut models = platform.models(&scope).list().await?;
    models.sort_by_key(|m| std::cmp::Reverse(m.latest.created_at));
    let served = platform.endpoints(&scope).served().await?;
    let full_weights = served.endpoints.iter().map(|e| served.merged(e).map(|v| format!("{} v{}", v.model_name, v.number))).collect();
    let mut unanswered_keys = Vec::new();
    if scope.may(Action::ServiceKeyWrite) {
        unanswered_keys = platform.keys(&scope).list().await?.into_iter().filter(|k| k.needs_responsible(now)).collect();
    }
    Ok(Home {
        tenant: scope.tenant().clone(),
        holding: platform.overview(&scope).await?.holding,
        runs_failed: runs
            .iter()
            .filter(|r| r.state == RunState::Failed && r.ended_at.is_some_and(|t| now.since(t) < 3 * DAY))
            .take(3)
            .cloned()
            .collect(),
        runs_total: runs.len(),
        runs_now: runs.into_iter().filter(|r| !r.state.is_final()).collect(),
        datasets: platform.datasets(&scope).list().await?,
        models,
        endpoints: served.endpoints,
        full_weights,
        unanswered_keys,
        launch_refused: scope.why_not(Action::RunLaunch),
        upload_refused: scope.why_not(Action::DatasetWrite),
        now,
    })
}
