//! The cluster that tasks run on, for the platform's admin: its machines, who has what, and what waits for it.

use crate::{Platform, access::PlatformScope, problem::Doing};
use domain::{
    cluster::{Cluster, Waiting},
    page::{Cursor, Page},
    policy::Action,
    problem::Problem,
    reason::endpoint::EndpointReason,
    run::{Reason, RunState},
    tenant::TenantOverview,
};

/// What the page of the cluster shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPage {
    pub cluster: Cluster,
    /// By name: their quotas.
    pub tenants: Page<TenantOverview>,
    pub waiting: Vec<Waiting>,
}

impl Platform {
    /// Whether tasks run on a cluster.
    pub fn has_cluster(&self) -> bool {
        self.engine().has_tenant_objects()
    }

    /// `after`: a place in the list of tenants. `None` = there is no cluster.
    pub async fn cluster(&self, scope: &PlatformScope, after: &Cursor) -> Result<Option<ClusterPage>, Problem> {
        scope.permit(Action::PlatformTenantsRead)?;
        let seen = self.engine().cluster().await.doing("looking at the cluster")?;
        let Some(mut cluster) = seen else { return Ok(None) };
        for holder in cluster.machines.iter_mut().flat_map(|m| &mut m.holders) {
            if let Some(tenant) = &holder.tenant {
                holder.what = self.name_of_task(tenant, &holder.what).await?;
            }
        }
        let tenants = self.store().tenants("", after).await.doing("reading the tenants")?;
        Ok(Some(ClusterPage { cluster, tenants, waiting: self.waiting().await? }))
    }

    /// Runs that have no slot or no machine yet, and endpoints that cannot start.
    async fn waiting(&self) -> Result<Vec<Waiting>, Problem> {
        let store = self.store();
        let mut out = Vec::new();
        for open in store.open_runs().await.doing("reading the runs")? {
            if open.state == RunState::Queued {
                out.push(Waiting { tenant: open.tenant, what: format!("run {}", open.name), why: open.reason.said() });
                continue;
            }
            let Some(run) = store.run(&open.tenant, open.id).await.doing("reading a run")? else { continue };
            if run.doing().is_some_and(|step| matches!(step.reason, Reason::WaitsForMachine { .. })) {
                out.push(Waiting { tenant: open.tenant, what: format!("run {}", open.name), why: run.said() });
            }
        }
        for (tenant, id) in store.open_endpoints().await.doing("reading the endpoints")? {
            let Some(record) = store.endpoint(&tenant, id).await.doing("reading an endpoint")? else { continue };
            let e = record.endpoint;
            if matches!(e.reason, EndpointReason::Pending { .. }) {
                out.push(Waiting { tenant, what: format!("endpoint {}", e.name), why: e.reason.said() });
            }
        }
        Ok(out)
    }
}
