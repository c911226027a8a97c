//! Where one starts: the tenants that one may choose from, and the home of one tenant.

use super::{
    AppError, Wire,
    home_lines::{ActiveRun, FailedRun, RecentModel, ServedModel, UnansweredKey},
};
#[cfg(feature = "ssr")]
use domain::run::Run;
use domain::{
    people::Whoami,
    tenant::{Holding, RailCounts, Tenant},
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
    /// At work or waiting, newest first: the first page of them.
    pub runs_now: Vec<ActiveRun>,
    /// Failed within the last three days, newest first, at most 3.
    pub runs_failed: Vec<FailedRun>,
    /// How many there are of each thing.
    pub counts: RailCounts,
    /// The newest version of each model, newest first, at most 4.
    pub models: Vec<RecentModel>,
    /// Newest first: the first page of them.
    pub endpoints: Vec<ServedModel>,
    pub endpoints_ready: u64,
    /// Service keys that nobody answers for, the first page of them; for those who may name somebody.
    pub unanswered_keys: Vec<UnansweredKey>,
    pub launch_refused: Option<String>,
    pub upload_refused: Option<String>,
    pub now: Timestamp,
}

#[server(prefix = "/rpc", endpoint = "home", output = Wire)]
pub async fn get_home(tenant: String) -> Result<Home, AppError> {
    use domain::{page::Cursor, policy::Action, run::RunState, time::DAY};
    use platform::runs::{RunFilter, RunStates};
    let (platform, scope) = super::scope(&tenant).await?;
    let (now, newest) = (platform.now(), Cursor::default());
    let of = |states| RunFilter { states, ..RunFilter::default() };
    let runs_now = platform.runs(&scope).list(&of(RunStates::Active), &newest).await?.rows;
    let failed = platform.runs(&scope).list(&of(RunStates::Failed), &newest).await?.rows;
    let endpoints = platform.endpoints(&scope);
    let served = endpoints.served_by(endpoints.list(&newest).await?.rows).await?;
    let full_weights = |e| served.merged(e).map(|v| format!("{} v{}", v.model_name, v.number));
    let mut unanswered_keys = Vec::new();
    if scope.may(Action::ServiceKeyWrite) {
        unanswered_keys = platform.keys(&scope).unanswered().await?.rows;
    }
    let holds = platform.overview(&scope).await?;
    let lately = |r: &Run| r.state == RunState::Failed && r.ended_at.is_some_and(|t| now.since(t) < 3 * DAY);
    Ok(Home {
        tenant: scope.tenant().clone(),
        holding: holds.holding,
        counts: holds.counts,
        runs_failed: failed.into_iter().filter(lately).take(3).map(FailedRun::from).collect(),
        runs_now: runs_now.into_iter().map(ActiveRun::from).collect(),
        models: platform.models(&scope).newest_versions(None, true).await?.rows.into_iter().take(4).map(RecentModel::from).collect(),
        endpoints_ready: endpoints.counts().await?.ready,
        endpoints: served.endpoints.iter().map(|e| ServedModel::of(e, full_weights(e))).collect(),
        unanswered_keys: unanswered_keys.into_iter().map(UnansweredKey::from).collect(),
        launch_refused: scope.why_not(Action::RunLaunch),
        upload_refused: scope.why_not(Action::DatasetWrite),
        now,
    })
}
