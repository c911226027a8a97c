//! What the frame of every page shows: who is signed in, where, and how many of each thing there are.

use super::{AppError, Wire};
use domain::{
    ids::PersonId,
    name::Name,
    people::{PlatformRole, Role},
    policy::{self, Action},
    tenant::TenantState,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// Everything that top bar and rail show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    pub who: Account,
    /// Absent outside of a tenant.
    pub tenant: Option<TenantBar>,
    /// Runs and endpoints run on a cluster; only outside of a tenant, where it is shown.
    pub has_cluster: bool,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub person: PersonId,
    pub name: String,
    pub email: Option<String>,
    pub platform_role: Option<PlatformRole>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantBar {
    pub name: Name,
    pub title: String,
    pub state: TenantState,
    /// None for the platform's auditor, who reads without being a member.
    pub role: Option<Role>,
    pub counts: Counts,
}

/// The numbers in the rail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub datasets: u64,
    pub runs: u64,
    pub models: u64,
    pub endpoints: u64,
    pub keys: u64,
}

impl Frame {
    /// Whether this person may do this here; only for what is shown, the server decides again.
    pub fn may(&self, action: Action) -> bool {
        policy::allows(self.tenant.as_ref().and_then(|t| t.role), self.who.platform_role, action)
    }
    /// The sentence beside a button that is off; None when it is on.
    pub fn why_not(&self, action: Action) -> Option<String> {
        (!self.may(action)).then(|| format!("Needs {}.", policy::needed(action)))
    }
}

/// `tenant` is empty outside of a tenant.
#[server(prefix = "/rpc", endpoint = "frame", output = Wire)]
pub async fn get_frame(tenant: String) -> Result<Frame, AppError> {
    let person = super::caller()?.person;
    let who = Account { person: person.id, name: person.name, email: person.email, platform_role: person.platform_role };
    if tenant.is_empty() {
        return Ok(Frame { who, tenant: None, has_cluster: super::platform()?.has_cluster() });
    }
    let (platform, scope) = super::scope(&tenant).await?;
    let counts = super::rail_counts(&platform, &scope).await?;
    let t = scope.tenant();
    Ok(Frame {
        who,
        has_cluster: false,
        tenant: Some(TenantBar {
            name: t.name.clone(),
            title: t.title.clone(),
            state: t.state,
            role: scope.role(),
            counts: Counts {
                datasets: u64::from(counts.datasets),
                runs: u64::from(counts.runs),
                models: u64::from(counts.models),
                endpoints: u64::from(counts.endpoints),
                keys: u64::from(counts.keys),
            },
        }),
    })
}
