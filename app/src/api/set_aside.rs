//! Calls that the database refused to record, as the platform's administrators see them.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{page::Page, usage::SetAside};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetAsidePage {
    /// Oldest first; the file holds all.
    pub calls: Page<SetAside>,
    pub total: u64,
    pub write_refused: Option<String>,
}

/// `after`: see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "admin/usage", output = Wire)]
pub async fn get_set_aside(#[server(default)] after: String) -> Result<SetAsidePage, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let aside = platform.calls_set_aside(&scope);
    let (calls, total) = (aside.list(&Cursor::from_text(after)).await?, aside.count().await?);
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
