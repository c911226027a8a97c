//! What was used: by day, model, key, member; and the latest calls.

use super::{AppError, Wire};
use domain::{
    page::Page,
    usage::{Call, UsageBy, UsageLine},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// Ranges that can be chosen, in days.
pub const RANGES: [u32; 4] = [1, 7, 14, 30];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsagePage {
    pub by: UsageBy,
    pub days: u32,
    /// Every day of the range, oldest first, also those without a call.
    pub per_day: Vec<UsageLine>,
    /// Broken down by `by`: days newest first, anything else most requests first.
    pub lines: Page<UsageLine>,
    /// Newest first.
    pub calls: Page<CallLine>,
    /// One sees one's own calls only, and why.
    pub own_only: Option<String>,
}

/// A call with the names of what it used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallLine {
    pub call: Call,
    /// The key's label, or “playground”.
    pub through: String,
}

/// `after`: of the calls, `lines`: of the breakdown; see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "usage/get", output = Wire)]
pub async fn usage_get(
    tenant: String,
    by: String,
    days: u32,
    #[server(default)] after: String,
    #[server(default)] lines: String,
) -> Result<UsagePage, AppError> {
    use domain::{page::Cursor, policy::Action};
    let (platform, scope) = super::scope(&tenant).await?;
    let by = UsageBy::from_word(&by).unwrap_or(UsageBy::Key);
    let days = if RANGES.contains(&days) { days } else { 14 };
    let usage = platform.usage(&scope);
    let per_day = usage.days(days).await?;
    let lines = match by {
        UsageBy::Day => Page { rows: per_day.iter().rev().cloned().collect(), next: None },
        by => usage.table(by, days, &Cursor::from_text(lines)).await?,
    };
    let calls = usage.calls(&Cursor::from_text(after)).await?;
    let mut keys: Vec<_> = calls.rows.iter().filter_map(|call| call.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let labels = platform.keys(&scope).labels(&keys).await?;
    let calls = calls.map(|call| CallLine {
        through: match call.key {
            None => "playground".to_owned(),
            Some(id) => labels.get(&id).cloned().unwrap_or_else(|| "a key".to_owned()),
        },
        call,
    });
    Ok(UsagePage { by, days, per_day, lines, calls, own_only: scope.why_not(Action::UsageRead) })
}
