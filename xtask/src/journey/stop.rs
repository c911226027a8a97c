//! So that nothing is left running when the demo ends: runs are cancelled and endpoints stopped, as people would do it.

use super::{People, until};
use crate::{interrupt::say, visitor::Visitor};
use anyhow::Result;
use serde_json::Value;
use std::time::Duration;

pub fn everything(address: &str, people: &People) -> Result<()> {
    let mut open = Vec::new();
    for &(tenant, name) in people.stopping {
        let at = Tenant { name: tenant, person: people.sign_in(address, name)? };
        for (id, name) in at.runs()? {
            say(&format!("  the run {name} of {tenant} is cancelled"));
            // Refused when it has just come to its end; the wait below decides.
            let _ = at.person.send("runs/cancel", &[("tenant", tenant), ("id", &id)]);
        }
        for endpoint in at.endpoints()? {
            // Refused when it is stopping already.
            let _ = at.person.send("endpoints/stop", &[("tenant", tenant), ("endpoint", &endpoint)]);
        }
        open.push(at);
    }
    for at in open {
        until("the runs and endpoints to stop", Duration::from_secs(60), || {
            Ok((at.runs()?.is_empty() && at.endpoints()?.is_empty()).then_some(()))
        })?;
    }
    Ok(())
}

struct Tenant {
    name: &'static str,
    person: Visitor,
}

impl Tenant {
    /// Runs that have not ended: id and name.
    fn runs(&self) -> Result<Vec<(String, String)>> {
        let runs = self.person.list("runs/list", &[("tenant", self.name), ("state", "active"), ("text", "")], "runs")?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Ok(runs.iter().map(|r| (text(&r["id"]), text(&r["name"]))).collect())
    }

    /// Endpoints that have not stopped.
    fn endpoints(&self) -> Result<Vec<String>> {
        let all = self.person.list("endpoints/list", &[("tenant", self.name)], "endpoints")?;
        let all = all.iter().map(|e| &e["endpoint"]).filter(|e| e["state"] != "stopped");
        Ok(all.filter_map(|e| e["name"].as_str().map(str::to_owned)).collect())
    }
}
