//! Calls that the database refused to record, as the platform's administrators see them.

use super::{AppError, Wire};
use domain::usage::SetAside;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// How many of them the page shows; the file holds all.
pub const SHOWN: u32 = 100;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetAsidePage {
    /// Oldest first, at most [`SHOWN`].
    pub calls: Vec<SetAside>,
    pub total: u64,
    pub write_refused: Option<String>,
}

#[server(prefix = "/rpc", endpoint = "admin/usage", output = Wire)]
pub async fn get_set_aside() -> Result<SetAsidePage, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let aside = platform.calls_set_aside(&scope);
    let (calls, total) = (aside.list(SHOWN).await?, aside.count().await?);
    Ok(SetAsidePage { calls, total, write_refused: scope.why_not(domain::policy::Action::PlatformUsageWrite) })
}

/// What came of trying again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriedAgain {
    pub recorded: u64,
    pub refused: u64,
}

#[server(prefix = "/rpc", endpoint = "admin/usage-try-again", output = Wire)]
pub async fn try_set_aside_again() -> Result<TriedAgain, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let (recorded, refused) = platform.calls_set_aside(&scope).try_again().await?;
    Ok(TriedAgain { recorded, refused })
}
