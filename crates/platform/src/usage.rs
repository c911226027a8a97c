//! Usage: one row per call, written for the gateway in batches that may come twice, read as tables.

use crate::{
    Platform,
    access::{PlatformScope, Scope},
    change::{self, Change},
    problem::{Doing, Trouble},
    store,
};
use domain::{
    audit::Detail,
    ids::{KeyId, PersonId},
    name::Name,
    page::{Cursor, Page},
    policy::Action,
    problem::Problem,
    reason::usage::SetAsideReason,
    text::clipped,
    time::{DAY, MINUTE, Timestamp},
    usage::{Call, SetAside, UsageBy, UsageLine},
};
use std::collections::HashMap;

/// Characters that are kept of what the database said.
const LONGEST_REASON: usize = 500;

/// A tenant's usage; without the right to read all of it, a person's own.
pub struct Usage<'a> {
    scope: &'a Scope,
}

impl Platform {
    pub fn usage<'a>(&self, scope: &'a Scope) -> Usage<'a> {
        Usage { scope }
    }

    /// Stores metered calls; returns how many were set aside because the database refused them. The same batch again adds nothing, so
    /// the gateway may repeat what it is not sure of. On an error nothing is lost that is sent again.
    pub async fn record_calls(&self, mut calls: Vec<Call>) -> Result<u64, Problem> {
        // In one order everywhere, so that two batches with the same calls never wait for each other crosswise.
        calls.sort_by(|a, b| (&a.tenant, a.id).cmp(&(&b.tenant, b.id)));
        let mut aside = 0;
        // Halved until the one that is refused stands alone: it stops nobody else's.
        let mut parts = vec![calls.as_slice()];
        while let Some(part) = parts.pop() {
            let refused = match self.insert_calls(part).await {
                Ok(homeless) => {
                    aside += homeless;
                    continue;
                }
                Err(e) if Trouble::of(&e) == Trouble::Refused => e,
                Err(e) => return Err(e).doing("recording calls"),
            };
            match part {
                [call] => {
                    self.set_aside(call, &refused.to_string()).await.doing("setting a call aside")?;
                    aside += 1;
                }
                part => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
        Ok(aside)
    }

    /// All or none. Calls of tenants that do not exist are set aside at once; returns how many.
    async fn insert_calls(&self, calls: &[Call]) -> store::Result<u64> {
        let mut used: HashMap<(&Name, KeyId), Timestamp> = HashMap::new();
        let mut tenants: HashMap<&Name, bool> = HashMap::new();
        let mut homeless = 0;
        let (mut hours, mut first_tokens) = (store::Hours::default(), store::FirstTokens::default());
        let mut tx = change::beside(self, self.now()).await?;
        let mut written = tx.insert_calls(calls).await?;
        for call in calls {
            if let Some(key) = call.key {
                let at = used.entry((&call.tenant, key)).or_insert(call.at);
                *at = (*at).max(call.at);
            }
            // Taken out, so that a call that is in the batch twice counts once.
            if written.remove(&(call.tenant.to_string(), call.id.to_string())) {
                hours.add(call);
                first_tokens.add(call);
                continue;
            }
            // Mostly it came before.
            let known = match tenants.get(&call.tenant) {
                Some(known) => *known,
                // What a tenant that was deleted still called goes with it.
                None => tx.tenant(&call.tenant).await?.is_some() || tx.was_deleted(&call.tenant).await?,
            };
            tenants.insert(&call.tenant, known);
            if !known {
                let reason = SetAsideReason::NoTenant;
                tx.set_call_aside(&SetAside { call: call.clone(), at: tx.at(), reason }).await?;
                homeless += 1;
            }
        }
        // And the keys, for the same reason as the calls.
        let mut used: Vec<_> = used.into_iter().collect();
        used.sort_unstable();
        for ((tenant, key), at) in used {
            tx.touch_key(tenant, key, at, MINUTE).await?;
        }
        tx.add_to_hours(&hours).await?;
        tx.add_first_tokens(&first_tokens).await?;
        tx.commit().await?;
        Ok(homeless)
    }

    async fn set_aside(&self, call: &Call, reason: &str) -> store::Result<()> {
        tracing::error!(call = %call.id, tenant = %call.tenant, reason, "the database refuses this call; it is set aside");
        let mut tx = change::beside(self, self.now()).await?;
        tx.set_call_aside(&SetAside {
            call: call.clone(),
            at: tx.at(),
            reason: SetAsideReason::Refused { error: clipped(reason, LONGEST_REASON) },
        })
        .await?;
        tx.commit().await
    }

    /// Adds up all calls anew, for instance after calls were removed by hand. Returns how many sums there are now. Calls that come
    /// meanwhile wait, and count.
    pub async fn rebuild_usage(&self, scope: &PlatformScope) -> Result<u64, Problem> {
        let permit = scope.permit(Action::PlatformUsageWrite)?;
        let doing = "adding up the calls anew";
        let mut tx = Change::begin(self, &permit).await?;
        let sums = tx.rebuild_hours().await.doing(doing)?;
        let since = tx.at().plus(-store::FIGURES_KEPT);
        tx.rebuild_first_tokens(since).await.doing(doing)?;
        let mut entry = tx.entry("usage", "hours", "sums of calls by hour");
        entry.detail = Detail::UsageRebuilt { sums };
        tx.commit(entry).await.doing(doing)?;
        Ok(sums)
    }

    /// Calls that the database refused, for the platform's administrators.
    pub fn calls_set_aside<'a>(&'a self, scope: &'a PlatformScope) -> CallsSetAside<'a> {
        CallsSetAside { platform: self, scope }
    }
}

/// Calls that are in no usage table, because the database refused them.
pub struct CallsSetAside<'a> {
    platform: &'a Platform,
    scope: &'a PlatformScope,
}

impl CallsSetAside<'_> {
    /// Oldest first.
    pub async fn list(&self, after: &Cursor) -> Result<Page<SetAside>, Problem> {
        self.scope.permit(Action::PlatformUsageRead)?;
        self.platform.store().calls_set_aside(after).await.doing("reading the calls that were set aside")
    }

    pub async fn count(&self) -> Result<u64, Problem> {
        self.scope.permit(Action::PlatformUsageRead)?;
        self.platform.store().count_calls_set_aside().await.doing("counting the calls that were set aside")
    }

    /// Tries to store all of them again. Returns how many are in the usage tables now, and how many were refused once more.
    pub async fn try_again(&self) -> Result<(u64, u64), Problem> {
        let permit = self.scope.permit(Action::PlatformUsageWrite)?;
        let doing = "recording calls that were set aside";
        let (mut recorded, mut refused) = (0_u64, 0_u64);
        let mut after = Some(Cursor::default());
        while let Some(from) = after {
            let page = self.platform.store().calls_set_aside(&from).await.doing(doing)?;
            for aside in page.rows {
                // One by one: each is in one of the two tables, whenever this ends.
                if self.platform.record_calls(vec![aside.call.clone()]).await? > 0 {
                    refused += 1;
                    continue;
                }
                let mut tx = change::beside(self.platform, self.platform.now()).await.doing(doing)?;
                tx.delete_call_set_aside(&aside.call).await.doing(doing)?;
                tx.commit().await.doing(doing)?;
                recorded += 1;
            }
            after = page.next;
        }
        let tx = Change::begin(self.platform, &permit).await?;
        let mut entry = tx.entry("usage", "set_aside", "calls that were set aside");
        entry.detail = Detail::SetAsideTried { recorded, refused };
        tx.commit(entry).await.doing(doing)?;
        Ok((recorded, refused))
    }
}

impl Usage<'_> {
    /// The last `days` days, today included (1 to 366), broken down. By day: all of them, as [`Usage::days`]; otherwise a page of those
    /// with calls, the most used first.
    pub async fn table(&self, by: UsageBy, days: u32, after: &Cursor) -> Result<Page<UsageLine>, Problem> {
        if by == UsageBy::Day {
            return Ok(Page { rows: self.days(days).await?, next: None });
        }
        let only = self.whose()?;
        let (first, _) = self.range(days);
        let store = self.scope.platform().store();
        store.usage(self.scope.tenant_name(), by, Timestamp(first * DAY), only, after).await.doing("reading usage")
    }

    /// Calls through these keys in the last `days` days.
    pub async fn of_keys(&self, keys: &[KeyId], days: u32) -> Result<HashMap<KeyId, u64>, Problem> {
        let only = self.whose()?;
        let (first, _) = self.range(days);
        let store = self.scope.platform().store();
        store.requests_by_key(self.scope.tenant_name(), keys, Timestamp(first * DAY), only).await.doing("reading usage")
    }

    /// Numbers of the first and the last day.
    fn range(&self, days: u32) -> (i64, i64) {
        let today = self.scope.platform().now().0.div_euclid(DAY);
        (today - i64::from(days.clamp(1, 366)) + 1, today)
    }

    /// Every one of the last `days` days, today included (1 to 366), oldest first, also those without a call.
    pub async fn days(&self, days: u32) -> Result<Vec<UsageLine>, Problem> {
        let only = self.whose()?;
        let (first, today) = self.range(days);
        let store = self.scope.platform().store();
        let lines = store.usage_by_day(self.scope.tenant_name(), Timestamp(first * DAY), only).await.doing("reading usage")?;
        let mut by_day: HashMap<String, UsageLine> = lines.into_iter().map(|l| (l.group.clone(), l)).collect();
        Ok((first..=today)
            .map(|day| {
                let label = Timestamp(day * DAY).day();
                let line = by_day.remove(&day.to_string()).unwrap_or_default();
                UsageLine { group: label.clone(), label, ..line }
            })
            .collect())
    }

    /// Single calls, newest first.
    pub async fn calls(&self, after: &Cursor) -> Result<Page<Call>, Problem> {
        let only = self.whose()?;
        self.scope.platform().store().calls(self.scope.tenant_name(), only, after).await.doing("reading calls")
    }

    fn whose(&self) -> Result<Option<PersonId>, Problem> {
        if self.scope.may(Action::UsageRead) {
            return Ok(None);
        }
        self.scope.permit(Action::UsageReadOwn)?;
        Ok(Some(self.scope.person().id))
    }
}
