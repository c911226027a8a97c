//! Where one starts: the tenants that one may choose from, and the home of one tenant.

use super::{
    AppError, Wire,
    home_lines::{ActiveRun, EndpointLine, FailedRun, RecentModel, UnansweredKey},
};
#[cfg(feature = "ssr")]
use domain::page::{PAGE, Page};
use domain::{
    ids::PersonId,
    name::Name,
    page::Cursor,
    people::{PlatformRole, Role, Whoami},
    tenant::{Holding, RailCounts, Tenant},
    time::Timestamp,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// Who is signed in, and a page of the tenants that one may choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub person: PersonId,
    pub name: String,
    pub email: Option<String>,
    pub platform_role: Option<PlatformRole>,
    /// By name.
    pub memberships: Vec<(Name, Role)>,
    /// Where the next page of them begins.
    pub next: Option<Cursor>,
}

/// `None` when nobody is signed in; `after`: of the memberships, see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "whoami", output = Wire)]
pub async fn get_whoami(#[server(default)] after: String) -> Result<Option<Signed>, AppError> {
    const LIST: &str = "one's tenants, by name";
    let Some(caller) = super::maybe_caller() else { return Ok(None) };
    let from: String = Cursor::from_text(after).key(LIST).unwrap_or_default();
    // All of them are known anyway: they are what the person may see.
    let rest = caller.memberships.iter().filter(|(tenant, _)| tenant.as_str() > from.as_str());
    let page = Page::cut(rest.take(PAGE + 1).cloned().collect(), LIST, |(tenant, _)| tenant.clone());
    let person = caller.person;
    Ok(Some(Signed {
        person: person.id,
        name: person.name,
        email: person.email,
        platform_role: person.platform_role,
        memberships: page.rows,
        next: page.next,
    }))
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

/// Runs that need attention, and models, on a tenant's home.
#[cfg(feature = "ssr")]
const FAILED_SHOWN: u32 = 3;
#[cfg(feature = "ssr")]
const MODELS_SHOWN: usize = 4;

/// Everything on a tenant's home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Home {
    pub tenant: Tenant,
    pub holding: Holding,
    /// At work or waiting, newest first: the first page of them.
    pub runs_now: Vec<ActiveRun>,
    /// Failed within the last three days, the last one first, at most 3.
    pub runs_failed: Vec<FailedRun>,
    /// How many there are of each thing.
    pub counts: RailCounts,
    /// The newest version of each model, newest first, at most 4.
    pub models: Vec<RecentModel>,
    /// Newest first: the first page of them.
    pub endpoints: Vec<EndpointLine>,
    pub endpoints_ready: u64,
    /// Service keys that nobody answers for, the first page of them; for those who may name somebody.
    pub unanswered_keys: Vec<UnansweredKey>,
    pub launch_refused: Option<String>,
    pub upload_refused: Option<String>,
    pub now: Timestamp,
}

#[server(prefix = "/rpc", endpoint = "home", output = Wire)]
pub async fn get_home(tenant: String) -> Result<Home, AppError> {
    use domain::filter::{RunFilter, RunStates};
    use domain::{policy::Action, time::DAY};
    let (platform, scope) = super::scope(&tenant).await?;
    let (now, newest) = (platform.now(), Cursor::default());
    let runs = platform.runs(&scope);
    let active = RunFilter { states: RunStates::Active, ..RunFilter::default() };
    let use_case = platform.endpoints(&scope);
    let endpoints = use_case.list(&newest).await?.rows;
    let full_weights = use_case.full_weights(&endpoints).await?;
    let mut unanswered_keys = Vec::new();
    if scope.may(Action::ServiceKeyWrite) {
        unanswered_keys = platform.keys(&scope).unanswered().await?.rows;
    }
    Ok(Home {
        tenant: scope.tenant().clone(),
        holding: platform.holding(&scope).await?,
        counts: super::rail_counts(&platform, &scope).await?,
        runs_failed: runs.failed_since(now.plus(-3 * DAY), FAILED_SHOWN).await?.into_iter().map(FailedRun::from).collect(),
        runs_now: runs.list(&active, &newest).await?.rows.into_iter().map(ActiveRun::from).collect(),
        models: platform.models(&scope).latest(MODELS_SHOWN).await?.into_iter().map(RecentModel::from).collect(),
        endpoints_ready: use_case.counts().await?.ready,
        endpoints: endpoints.iter().zip(full_weights).map(|(e, whole)| EndpointLine::of(e, whole)).collect(),
        unanswered_keys: unanswered_keys.into_iter().map(UnansweredKey::from).collect(),
        launch_refused: scope.why_not(Action::RunLaunch),
        upload_refused: scope.why_not(Action::DatasetWrite),
        now,
    })
}
