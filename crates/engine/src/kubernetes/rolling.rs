//! Changing a server that is there: another number of pods, or other pods one by one.

use super::{KubernetesEngine, by_us, config_map, failed, gone, names, observe::Found, server, typed};
use crate::{Error, Task};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap, policy::v1::PodDisruptionBudget};
use kube::api::{DeleteParams, Patch, PostParams};
use serde_json::json;

/// So often a Deployment is read again that was changed between reading and writing: its status alone changes with every pod.
const READ_AGAIN: usize = 4;

impl KubernetesEngine {
    /// Makes the Deployment what the task asks for. Nothing happens where it is so.
    pub(super) async fn change_server(&self, task: &Task, found: &Found, now: &Deployment) -> Result<(), Error> {
        if self.changed_as_read(task, found, now).await? {
            return Ok(());
        }
        for _ in 0..READ_AGAIN {
            let found = self.find_in(found.namespace(), &task.name).await?;
            let Some(found) = found.filter(|found| !found.is_stopped()) else { return Ok(()) };
            let Found::Server(now) = &found else { return Ok(()) };
            if self.changed_as_read(task, &found, now).await? {
                return Ok(());
            }
        }
        // Whoever asked looks again anyway.
        Ok(())
    }

    /// `false` = somebody changed it after it was read.
    async fn changed_as_read(&self, task: &Task, found: &Found, now: &Deployment) -> Result<bool, Error> {
        let same = found.hash() == task.hash();
        let replicas = now.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
        let waited = found.waits_for_secret().is_some();
        if same && !waited && u32::try_from(replicas) == Ok(task.replicas) {
            return Ok(true);
        }
        let namespace = found.namespace();
        let waits_for = self.missing(namespace, &task.secrets).await?;
        if waits_for.is_some() && !waited {
            // What runs goes on; it is changed when the new one could start.
            return Ok(true);
        }
        let doing = format!("changing {}", task.name);
        if !same {
            // Before the pods that read it. One of before that is restarted meanwhile reads it too, and becomes what it would be anyway.
            let files = config_map::config_map(task, &self.options);
            let patch = Patch::Merge(json!({ "data": files["data"] }));
            self.api::<ConfigMap>(namespace).patch(&task.name, &by_us(), &patch).await.map_err(failed(&doing))?;
        }
        self.keep_budget(task).await?;
        let products = self.products(task).await?;
        let mut object = server::deployment(task, &self.options, &products, waits_for.as_deref());
        // With the version that was read: what somebody else has changed meanwhile is looked at again.
        object["metadata"]["resourceVersion"] = json!(now.metadata.resource_version);
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PostParams::default() };
        let object: Deployment = typed(object, &doing)?;
        match self.api::<Deployment>(namespace).replace(&task.name, &params, &object).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(false),
            done => done.map(|_| true).map_err(failed(doing)),
        }
    }

    /// A budget for disruptions where there are several pods, and none where there is one.
    pub(super) async fn keep_budget(&self, task: &Task) -> Result<(), Error> {
        let doing = format!("keeping the disruption budget of {}", task.name);
        if task.replicas > 1 {
            let budget = server::disruption_budget(task, &self.options);
            return self.put::<PodDisruptionBudget>(&task.tenant, &task.name, &budget, &doing).await;
        }
        let budgets = self.api::<PodDisruptionBudget>(&self.options.namespace(&task.tenant));
        gone(budgets.delete(&task.name, &DeleteParams::default()).await, doing)
    }
}
