//! Usage: one row per call, written for the gateway in batches that may come twice, read as tables.

use crate::{Platform, access::Scope, problem::Doing};
use domain::{
    ids::{KeyId, PersonId},
    name::Name,
    policy::Action,
    problem::Problem,
    time::{DAY, MINUTE, Timestamp},
    usage::{Call, UsageBy, UsageLine},
};
use std::collections::HashMap;

/// A tenant's usage; without the right to read all of it, a person's own.
pub struct Usage<'a> {
    scope: &'a Scope,
}

impl Platform {
    pub fn usage<'a>(&self, scope: &'a Scope) -> Usage<'a> {
        Usage { scope }
    }

    /// Stores metered calls. The same batch again adds nothing, so the gateway may repeat what it is not sure of.
    pub async fn record_calls(&self, mut calls: Vec<Call>) -> Result<(), Problem> {
        let doing = "recording calls";
        // In one order everywhere, so that two batches with the same calls never wait for each other crosswise.
        calls.sort_by(|a, b| (&a.tenant, a.id).cmp(&(&b.tenant, b.id)));
        let mut used: HashMap<(&Name, KeyId), Timestamp> = HashMap::new();
        for call in &calls {
            if let Some(key) = call.key {
                let at = used.entry((&call.tenant, key)).or_insert(call.at);
                *at = (*at).max(call.at);
            }
        }
        let mut tx = self.store().begin_beside(self.now()).await.doing(doing)?;
        for call in &calls {
            tx.insert_call(call).await.doing(doing)?;
        }
        // And the keys, for the same reason.
        let mut used: Vec<_> = used.into_iter().collect();
        used.sort_unstable();
        for ((tenant, key), at) in used {
            tx.touch_key(tenant, key, at, MINUTE).await.doing(doing)?;
        }
        tx.commit().await.doing(doing)
    }
}

impl Usage<'_> {
    /// The last `days` days, today included (1 to 366). By day: every day, oldest first, also those without a call;
    /// otherwise the most used first.
    pub async fn table(&self, by: UsageBy, days: u32) -> Result<Vec<UsageLine>, Problem> {
        let only = self.whose()?;
        let days = i64::from(days.clamp(1, 366));
        let today = self.scope.platform().now().0.div_euclid(DAY);
        let first = today - days + 1;
        let store = self.scope.platform().store();
        let lines = store.usage(self.scope.tenant_name(), by, Timestamp(first * DAY), only).await.doing("reading usage")?;
        if by != UsageBy::Day {
            return Ok(lines);
        }
        let mut by_day: HashMap<String, UsageLine> = lines.into_iter().map(|l| (l.group.clone(), l)).collect();
        Ok((first..=today)
            .map(|day| {
                let label = Timestamp(day * DAY).day();
                let line = by_day.remove(&day.to_string()).unwrap_or_default();
                UsageLine { group: label.clone(), label, ..line }
            })
            .collect())
    }

    /// Single calls, newest first, 1 to 500, `before` a time.
    pub async fn calls(&self, limit: u32, before: Option<Timestamp>) -> Result<Vec<Call>, Problem> {
        let only = self.whose()?;
        let store = self.scope.platform().store();
        let before = before.unwrap_or(Timestamp(i64::MAX));
        store.calls(self.scope.tenant_name(), only, before, i64::from(limit.clamp(1, 500))).await.doing("reading calls")
    }

    fn whose(&self) -> Result<Option<PersonId>, Problem> {
        if self.scope.may(Action::UsageRead) {
            return Ok(None);
        }
        self.scope.permit(Action::UsageReadOwn)?;
        Ok(Some(self.scope.person().id))
    }
}
