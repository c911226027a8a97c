//! Making a task, once.

use super::{
    KubernetesEngine, by_us, config_map, failed, job, names, nodes,
    observe::{self, Found},
    pod, server, typed,
};
use crate::{Error, SecretRef, Task, TaskKind, is_task_name};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Secret, Service},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api,
    api::{Patch, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt::Debug;

impl KubernetesEngine {
    /// First what the pod reads, then what makes the pod: whoever is killed in between has made nothing that runs.
    pub async fn apply(&self, task: &Task) -> Result<(), Error> {
        names::check(&task.name)?;
        if let Some(bad) = task.secrets.iter().flat_map(|s| [&s.name, &s.file]).find(|n| !is_task_name(n)) {
            return Err(Error::BadName(bad.chars().take(80).collect()));
        }
        let namespace = self.options.namespace(&task.tenant);
        self.may_write().await?;
        self.ensure_namespace(&task.tenant).await?;
        if let Some(found) = self.find_in(&namespace, &task.name).await? {
            return self.again(task, &found).await;
        }
        let doing = format!("starting {}", task.name);
        let waits_for = self.missing(&namespace, &task.secrets).await?;
        let products = self.products(task).await?;
        let files = config_map::config_map(task, &self.options);
        self.put::<ConfigMap>(&task.tenant, &task.name, &files, &doing).await?;
        let made = match task.kind {
            TaskKind::Batch => {
                if task.nodes() > 1 {
                    let (service, policy) = (nodes::service(task, &self.options), nodes::policy(task, &self.options));
                    self.put::<Service>(&task.tenant, &task.name, &service, &doing).await?;
                    self.put::<NetworkPolicy>(&task.tenant, &task.name, &policy, &doing).await?;
                }
                let queue = self.queue_of(&namespace).await?;
                let object = job::job(task, &self.options, &products, waits_for.as_deref(), queue.as_deref());
                create::<Job>(&self.api(&namespace), object, &doing).await?
            }
            TaskKind::Server => {
                self.keep_budget(task).await?;
                let service = server::service(task, &self.options);
                self.put::<Service>(&task.tenant, &task.name, &service, &doing).await?;
                let object = server::deployment(task, &self.options, &products, waits_for.as_deref());
                create::<Deployment>(&self.api(&namespace), object, &doing).await?
            }
        };
        self.remember(&task.name, &namespace);
        if made {
            return Ok(());
        }
        // Somebody was quicker: is it the same?
        match self.find_in(&namespace, &task.name).await? {
            Some(found) => self.again(task, &found).await,
            None => Ok(()),
        }
    }

    /// It is there already.
    async fn again(&self, task: &Task, found: &Found) -> Result<(), Error> {
        self.remember(&task.name, found.namespace());
        if let Found::Server(now) = found
            && !found.is_stopped()
        {
            return self.change_server(task, found, now).await;
        }
        if found.hash() != task.hash() {
            return Err(Error::Different { name: task.name.clone() });
        }
        if found.waits_for_secret().is_none() || found.is_stopped() {
            return Ok(());
        }
        let namespace = found.namespace();
        let waits_for = self.missing(namespace, &task.secrets).await?;
        let name = &task.name;
        let doing = format!("starting {name}");
        match found {
            Found::Job(_) => {
                let mut patch = json!({ "metadata": { "annotations": { (names::WAITS_FOR_SECRET): waits_for } } });
                // Of one that is in a queue already, only Kueue says when it begins.
                if found.queue().is_none() {
                    let queue = if waits_for.is_none() { self.queue_of(namespace).await? } else { None };
                    patch["spec"] = json!({ "suspend": waits_for.is_some() || queue.is_some() });
                    if let Some(queue) = queue {
                        patch["metadata"]["labels"] = json!({ (names::QUEUE): queue });
                    }
                }
                self.api::<Job>(namespace).patch(name, &by_us(), &Patch::Merge(patch)).await.map(drop).map_err(failed(doing))
            }
            // One that was stopped; the others were changed above.
            Found::Server(_) => Ok(()),
        }
    }

    /// The first that is not there.
    pub(super) async fn missing(&self, namespace: &str, wanted: &[SecretRef]) -> Result<Option<String>, Error> {
        let secrets = self.api::<Secret>(namespace);
        for secret in wanted {
            // Only whether it is there: its text has no business here.
            let seen = secrets.get_metadata_opt(&names::secret(&secret.name)).await;
            if seen.map_err(failed(format!("looking for the secret {}", secret.name)))?.is_none() {
                return Ok(Some(secret.name.clone()));
            }
        }
        Ok(None)
    }

    pub(super) async fn products(&self, task: &Task) -> Result<Vec<String>, Error> {
        match self.options.placement.product(task) {
            Some(product) => {
                let nodes = self.nodes().await?;
                Ok(pod::products_like(product, nodes.iter().filter_map(observe::product).map(str::to_owned)))
            }
            None => Ok(Vec::new()),
        }
    }
}

/// False = it is there already.
async fn create<K>(api: &Api<K>, object: Value, doing: &str) -> Result<bool, Error>
where
    K: Clone + DeserializeOwned + Debug + Serialize,
{
    let params = PostParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PostParams::default() };
    match api.create(&params, &typed(object, doing)?).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(e) => Err(failed(doing)(e)),
    }
}
