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
    /// Broken down by `by`, most requests first.
    pub lines: Vec<UsageLine>,
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

/// `after`: of the calls, see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "usage/get", output = Wire)]
pub async fn usage_get(tenant: String, by: String, days: u32, #[server(default)] after: String) -> Result<UsagePage, AppError> {
    use domain::{page::Cursor, policy::Action, time::DAY};
    let (platform, scope) = super::scope(&tenant).await?;
    let by = UsageBy::from_word(&by).unwrap_or(UsageBy::Key);
    let days = if RANGES.contains(&days) { days } else { 14 };
    let usage = platform.usage(&scope);
    let known = usage.table(UsageBy::Day, days).await?;
    let now = platform.now();
    let per_day: Vec<UsageLine> = (0..i64::from(days))
        .rev()
        .map(|back| now.plus(-back * DAY).day())
        .map(|day| {
            known.iter().find(|l| l.group == day).cloned().unwrap_or(UsageLine { group: day.clone(), label: day, ..UsageLine::default() })
        })
        .collect();
    let mut lines = if by == UsageBy::Day { per_day.iter().rev().cloned().collect() } else { usage.table(by, days).await? };
    if by != UsageBy::Day {
        lines.sort_by_key(|l| std::cmp::Reverse(l.requests));
    }
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
