//! Limits that several gateways keep together: what each may use, decided in the database.

use crate::{Platform, problem::Doing};
use domain::{
    limit_shares::{ShareAsk, SharesGiven},
    problem::Problem,
    time::SECOND,
};

/// A gateway that was not heard of for so long has no share any more, in milliseconds: what it used last has left every window of 60 s,
/// and clocks of replicas may differ by a minute. It knows by itself, before that, that it must ask (`gateway::limits`).
const GONE: i64 = 180 * SECOND;

impl Platform {
    /// One round: what `gateway` says of its shares, and what it gets. The name is the process's own, another one at each start.
    pub async fn share_limits(&self, gateway: &str, asks: &[ShareAsk]) -> Result<SharesGiven, Problem> {
        let now = self.now();
        self.store().share_limits(gateway, asks, now, now.plus(-GONE)).await.doing("sharing limits among gateways")
    }
}
