//! Asking a task to end, and removing what is left of it.

use super::{
    KubernetesEngine, by_us, failed, gone, names,
    observe::{self, Found},
};
use crate::Error;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::api::{DeleteParams, ListParams, Patch};
use serde_json::json;
use std::time::Duration;

impl KubernetesEngine {
    /// The grace time of a batch task is its own, unless a shorter one is wanted: then its pod is deleted, and its log with it.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), Error> {
        names::check(name)?;
        let Some(found) = self.find(name).await? else { return Ok(()) };
        let pods = self.pods(found.namespace(), name).await?;
        if found.observation(&pods, &observe::Circumstances::of_now()).state.end().is_some() {
            return Ok(());
        }
        self.may_write().await?;
        match &found {
            Found::Job(_) => self.stop_job(&found, &pods, grace).await,
            Found::Server(_) => self.stop_server(&found, &pods, grace).await,
        }
    }

    async fn stop_job(&self, found: &Found, pods: &[Pod], grace: Duration) -> Result<(), Error> {
        let (name, namespace) = (found.name(), found.namespace());
        let doing = || failed(format!("stopping {name}"));
        let running: Vec<&Pod> = found.pods(pods).into_iter().filter(|p| observe::is_running(p)).collect();
        // Of several, those that still wait must never start, and those that run have not begun without them.
        let all_run = running.len() >= found.nodes() as usize;
        // The mark first: whoever sees the pod end, must know that it was asked to.
        let mark = json!({ "annotations": { (names::STOPPED): "true" } });
        let patch = if all_run {
            json!({ "metadata": mark })
        } else {
            // What has not started never will. Kueue lets one begin whose turn it is: without a pod.
            let mut spec = json!({ "suspend": true });
            if found.queue().is_some() {
                spec["parallelism"] = json!(0);
            }
            json!({ "metadata": mark, "spec": spec })
        };
        self.api::<Job>(namespace).patch(name, &by_us(), &Patch::Merge(patch)).await.map_err(doing())?;
        for pod in running.into_iter().filter(|_| all_run) {
            self.stop_pod(name, namespace, pod, grace).await?;
        }
        Ok(())
    }

    async fn stop_pod(&self, name: &str, namespace: &str, pod: &Pod, grace: Duration) -> Result<(), Error> {
        let spec = pod.spec.as_ref();
        let own_grace = spec.and_then(|s| s.termination_grace_period_seconds).and_then(|s| u64::try_from(s).ok()).unwrap_or(30);
        let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
        let pods = self.api::<Pod>(namespace);
        if grace.as_secs() < own_grace {
            return gone(pods.delete(pod_name, &deletion(grace)).await, format!("stopping {name}"));
        }
        // A deadline may be set on a pod that runs, and made shorter. At it the node sends SIGTERM, waits for the grace time, and keeps
        // the pod; a deletion would take exit code and log away.
        let patch = Patch::Merge(json!({ "spec": { "activeDeadlineSeconds": 1 } }));
        gone(pods.patch(pod_name, &by_us(), &patch).await, format!("stopping {name}"))
    }

    async fn stop_server(&self, found: &Found, pods: &[Pod], grace: Duration) -> Result<(), Error> {
        let (name, namespace) = (found.name(), found.namespace());
        let patch = json!({ "metadata": { "annotations": { (names::STOPPED): "true" } }, "spec": { "replicas": 0 } });
        let servers = self.api::<Deployment>(namespace);
        servers.patch(name, &by_us(), &Patch::Merge(patch)).await.map_err(failed(format!("stopping {name}")))?;
        for pod in found.pods(pods).into_iter().filter_map(|p| p.metadata.name.as_deref()) {
            gone(self.api::<Pod>(namespace).delete(pod, &deletion(grace)).await, format!("stopping {name}"))?;
        }
        Ok(())
    }

    /// What makes pods first, then the pods, then what they read. Whoever is killed in between is asked again: the name is still found
    /// by its files.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        names::check(name)?;
        self.may_write().await?;
        let doing = || failed(format!("removing {name}"));
        let labels = ListParams::default().labels(&names::of_task(name));
        let namespaces = match (self.place(name), self.find(name).await?) {
            (_, Some(found)) => vec![found.namespace().to_owned()],
            (Some(namespace), None) => vec![namespace],
            (None, None) => self.namespaces().await?,
        };
        for namespace in namespaces {
            let left = match self.api::<ConfigMap>(&namespace).list_metadata(&labels).await {
                Ok(left) => left,
                Err(e) if self.is_absent(&namespace, &e).await => continue,
                Err(e) => return Err(doing()(e)),
            };
            if left.items.is_empty() && self.find_in(&namespace, name).await?.is_none() {
                continue;
            }
            let background = DeleteParams::background();
            gone(self.api::<Job>(&namespace).delete(name, &background).await, format!("removing {name}"))?;
            gone(self.api::<Deployment>(&namespace).delete(name, &background).await, format!("removing {name}"))?;
            gone(self.api::<PodDisruptionBudget>(&namespace).delete(name, &background).await, format!("removing {name}"))?;
            gone(self.api::<Service>(&namespace).delete(name, &background).await, format!("removing {name}"))?;
            gone(self.api::<NetworkPolicy>(&namespace).delete(name, &background).await, format!("removing {name}"))?;
            self.api::<Pod>(&namespace).delete_collection(&deletion(Duration::ZERO), &labels).await.map_err(doing())?;
            gone(self.api::<ConfigMap>(&namespace).delete(name, &background).await, format!("removing {name}"))?;
        }
        self.forget(name);
        Ok(())
    }
}

/// Never 0: that would forget a pod whose processes may still run.
fn deletion(grace: Duration) -> DeleteParams {
    DeleteParams::default().grace_period(u32::try_from(grace.as_secs()).unwrap_or(u32::MAX).max(1))
}
