//! Queues of Kueue, where the cluster has it: in which one the Jobs of a tenant wait, why and how long, and what it never gives.
//!
//! Kueue suspends a Job, lets it begin when its queue has room, and may suspend it again; it then also changes where its pods may go. All of
//! that is Kueue's: a Job is found by its name and compared by its hash, never by its fields.

use super::{
    KubernetesEngine, failed, is_not_found,
    names::JOB_UID,
    observe::{self, Found},
    place::resource,
    pod::{GPU, MIG},
};
use crate::{Error, PendingCause};
use domain::{name::Name, queue::QueueLimits};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

const GROUP: &str = "kueue.x-k8s.io";
/// Told by Kueue itself, beside its objects, and not everywhere.
const VISIBILITY: &str = "visibility.kueue.x-k8s.io";
/// Versions whose objects are read, the best first.
const KNOWN: [&str; 2] = ["v1beta2", "v1beta1"];
/// The queue that Kueue itself takes for Jobs that name none.
const DEFAULT: &str = "default";
/// How long an answer is good: whether there is Kueue at all...
const SERVED: Duration = Duration::from_secs(60);
/// ... and what a queue gives.
const LIMITS: Duration = Duration::from_secs(20);

/// Saves questions.
#[derive(Debug, Default)]
pub struct Seen {
    served: Mutex<Option<(Instant, Served)>>,
    /// By namespace.
    limits: Mutex<HashMap<String, (Instant, Option<QueueLimits>)>>,
}

/// The versions in which the API server has it; `None` = not at all.
#[derive(Clone, Debug, Default)]
struct Served {
    queues: Option<String>,
    places: Option<String>,
}

impl KubernetesEngine {
    async fn kueue(&self) -> Result<Served, Error> {
        let mut last = self.kueue.served.lock().await;
        if let Some((at, served)) = &*last
            && at.elapsed() < SERVED
        {
            return Ok(served.clone());
        }
        let groups = self.client.list_api_groups().await.map_err(failed("asking the cluster what it has"))?.groups;
        let version = |name: &str| {
            let group = groups.iter().find(|g| g.name == name)?;
            let known = KNOWN.iter().find(|known| group.versions.iter().any(|v| v.version == **known));
            known.map(|v| (*v).to_owned())
        };
        let served = Served { queues: version(GROUP), places: version(VISIBILITY) };
        *last = Some((Instant::now(), served.clone()));
        Ok(served)
    }

    /// The queue in which the Jobs of this namespace wait; `None` = in none. Where there are several, and none that is meant, nothing begins:
    /// it would count against nobody's quota.
    pub(super) async fn queue_of(&self, namespace: &str) -> Result<Option<String>, Error> {
        let queues = self.queues(namespace).await?;
        let names: Vec<String> = queues.iter().map(ResourceExt::name_any).collect();
        chosen(&names).map(|name| name.map(str::to_owned)).map_err(|names| Error::Cluster {
            doing: "choosing a queue".into(),
            said: format!(
                "the namespace {namespace} has several queues ({}) and none is named {DEFAULT}: ask the platform admin to name one so, or \
                 to leave only one",
                names.join(", ")
            ),
        })
    }

    async fn queues(&self, namespace: &str) -> Result<Vec<DynamicObject>, Error> {
        let Some(version) = self.kueue().await?.queues else { return Ok(Vec::new()) };
        let api = self.of_kueue(&version, "LocalQueue", namespace);
        none_where_closed(api.list(&ListParams::default()).await.map(|list| list.items), "looking for queues")
            .map(Option::unwrap_or_default)
    }

    /// Why a Job that is held back waits; `None` = Kueue does not say it.
    pub(super) async fn cause_in_queue(&self, found: &Found) -> Result<Option<PendingCause>, Error> {
        let Served { queues: Some(version), places } = self.kueue().await? else { return Ok(None) };
        let (Some(queue), Some(uid)) = (found.queue(), found.meta().uid.as_deref()) else { return Ok(None) };
        let doing = format!("looking where {} is in the queue", found.name());
        let of_it = ListParams::default().labels(&format!("{JOB_UID}={uid}"));
        let workloads = self.of_kueue(&version, "Workload", found.namespace()).list(&of_it).await.map(|list| list.items);
        let workloads = none_where_closed(workloads, &doing)?.unwrap_or_default();
        let Some(workload) = workloads.into_iter().max_by_key(|w| w.metadata.creation_timestamp.as_ref().map(|t| t.0)) else {
            return Ok(None);
        };
        let mut position = 0;
        if let Some(version) = places {
            let resource = resource(&format!("{VISIBILITY}/{version}"), "LocalQueue");
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), found.namespace(), &resource);
            // A place that nobody can tell is no reason to say nothing.
            if let Ok(pending) = api.get_subresource("pendingworkloads", queue).await {
                position = observe::position_in_queue(&pending.data, &workload.name_any()).unwrap_or(0);
            }
        }
        Ok(Some(observe::cause_in_queue(&json_of(&workload), queue, position)))
    }

    /// See [`crate::Engine::queue_limits`].
    pub async fn queue_limits(&self, tenant: &Name) -> Result<Option<QueueLimits>, Error> {
        let namespace = self.options.namespace(tenant);
        if let Some((at, limits)) = self.kueue.limits.lock().await.get(&namespace)
            && at.elapsed() < LIMITS
        {
            return Ok(limits.clone());
        }
        // Not under the lock: while the API server is silent for one tenant, others read what is known.
        let limits = self.limits_in(&namespace).await?;
        self.kueue.limits.lock().await.insert(namespace, (Instant::now(), limits.clone()));
        Ok(limits)
    }

    async fn limits_in(&self, namespace: &str) -> Result<Option<QueueLimits>, Error> {
        let Some(version) = self.kueue().await?.queues else { return Ok(None) };
        let queues = self.queues(namespace).await?;
        let names: Vec<String> = queues.iter().map(ResourceExt::name_any).collect();
        let Ok(Some(name)) = chosen(&names) else { return Ok(None) };
        let local = queues.iter().find(|q| q.name_any() == name);
        let Some(of) = local.and_then(|q| q.data["spec"]["clusterQueue"].as_str()) else { return Ok(None) };
        let resource = resource(&format!("{GROUP}/{version}"), "ClusterQueue");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let there = none_where_closed(api.get(of).await, &format!("looking at the queue {of}"))?;
        let placement = &self.options.placement;
        let gpu = if placement.gpu_resource.starts_with(MIG) { GPU } else { &placement.gpu_resource };
        Ok(there.map(|there| observe::limits_of_queue(name, &there.data, gpu, MIG)))
    }

    fn of_kueue(&self, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(&format!("{GROUP}/{version}"), kind))
    }
}

fn json_of(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// The one that Kueue would take by itself, or the only one. `Err` = nobody can tell which of these.
fn chosen(names: &[String]) -> Result<Option<&str>, &[String]> {
    match (names.iter().find(|name| *name == DEFAULT), names) {
        (Some(name), _) => Ok(Some(name)),
        (None, []) => Ok(None),
        (None, [one]) => Ok(Some(one)),
        (None, several) => Err(several),
    }
}

/// A portal whose rights are from before there were queues, a namespace that is gone: nothing is known then, and that is no trouble.
fn none_where_closed<T>(answer: Result<T, kube::Error>, doing: &str) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(None),
        Err(e) if is_not_found(&e) => Ok(None),
        Err(e) => Err(failed(doing)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_a_namespace_is_the_default_one_or_the_only_one() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(chosen(&[]), Ok(None));
        assert_eq!(chosen(&names(&["research"])), Ok(Some("research")));
        assert_eq!(chosen(&names(&["a", "default", "b"])), Ok(Some("default")));
        assert_eq!(chosen(&names(&["a", "b"])), Err(&names(&["a", "b"])[..]));
    }
}
