//! What people call a task: the engine knows names that were made from ids.

use crate::{Platform, control::tasks, problem::Doing};
use domain::{name::Name, problem::Problem};

impl Platform {
    /// `run facts-6`, `endpoint support`; of what is in no row any more, the task's own name.
    pub(crate) async fn name_of_task(&self, tenant: &Name, task: &str) -> Result<String, Problem> {
        let store = self.store();
        let known = if let Some(id) = tasks::run_of(task) {
            store.run(tenant, id).await.doing("reading a run")?.map(|run| format!("run {}", run.name))
        } else if let Some((id, _)) = tasks::endpoint_of(task) {
            store.endpoint(tenant, id).await.doing("reading an endpoint")?.map(|e| format!("endpoint {}", e.endpoint.name))
        } else {
            tasks::isolation_check_of(task).map(|_| "the check of isolation".to_owned())
        };
        Ok(known.unwrap_or_else(|| task.to_owned()))
    }
}
