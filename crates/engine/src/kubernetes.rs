//! Tasks as objects of a Kubernetes cluster: a batch task is a Job, a server a Deployment with a Service, in the namespace of its tenant.
//!
//! - Names and a hash in an annotation tell what is ours: what is asked twice is found and adopted.
//! - The cluster keeps everything; what is in memory here (in which namespace a task is) only saves a question.
//! - Tasks are found in the namespaces of tenants, one by one: no right is needed to look into those of others.
//! - A Job has one pod, which Kubernetes never tries again: controllers decide. Pods of a server are started again by the cluster; a server has
//!   ended when none of them runs that has not failed.
//! - A task that is asked to end is ended by the means of a deadline, so that pod, exit code and log stay until it is removed.
//!
//! Only this folder knows the kube client.

mod account;
mod apply;
mod cluster;
mod config_map;
mod drift;
mod ending;
#[cfg(test)]
mod golden_tests;
mod job;
mod kueue;
mod log;
mod names;
mod namespaces;
mod nodes;
mod objects;
mod observe;
mod options;
mod place;
mod placement;
mod pod;
mod quantity;
mod rights;
mod rolling;
mod secret;
mod server;
mod tenant;
mod term;
mod wanted;
mod watch;
mod weights_cache;

pub use objects::Objects;
pub use options::{Account, Images, Options, PullPolicy};
pub use placement::{BadToleration, Placement, Toleration};
pub use rights::{
    Diagnosis, IN_PLATFORM, IN_TENANTS, IN_THE_CLUSTER, IN_THE_CLUSTER_OF_OTHERS, READ_IN_TENANTS, READ_IN_THE_CLUSTER, Right,
};
pub use watch::Watch;
pub use weights_cache::WeightsCache;

use crate::{Cursor, Error, Holds, Observation, Output, PendingCause, Place, TaskState};
use domain::{causes, name::Name};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, Event, Node, Pod, Secret},
    },
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use observe::{Circumstances, Found};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Until an API server that does not take a connection is away.
const CONNECT: Duration = Duration::from_secs(10);
/// Until one that says nothing in answer is away. A webhook that it asks first may take 30 s.
const SILENCE: Duration = Duration::from_secs(35);

/// Cheap to clone.
#[derive(Clone)]
pub struct KubernetesEngine {
    client: Client,
    /// For watches, which may say nothing for long.
    watching: Client,
    options: Arc<Options>,
    /// Host and port of the API server.
    api_server: String,
    /// In whose hands it is; `None` outside of any leadership.
    term: Option<i64>,
    /// Namespaces of tasks that were seen.
    places: Arc<Mutex<HashMap<String, String>>>,
    /// What each tenant was last given: a namespace that somebody deletes comes back with its limits.
    tenants: Arc<Mutex<HashMap<Name, Place>>>,
    kueue: Arc<kueue::Seen>,
}

impl fmt::Debug for KubernetesEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesEngine").field("options", &self.options).field("term", &self.term).finish_non_exhaustive()
    }
}

impl KubernetesEngine {
    /// Reads how the cluster is reached; asks it nothing yet. Needs a Tokio runtime, and a default provider of cryptography for rustls.
    pub async fn new(options: Options) -> Result<Self, Error> {
        let doing = "reading how the cluster is reached";
        let config = match &options.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|e| said(doing, &e))?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(|e| said(doing, &e))?
            }
            None => Config::incluster().map_err(|e| said(doing, &e))?,
        };
        Self::with(config, options)
    }

    /// For a process that asks the cluster for nothing: it has no account there, and reaches nobody.
    pub fn without_account(options: Options) -> Result<Self, Error> {
        let nowhere = "https://kubernetes.invalid".parse().map_err(|e| said("leaving the cluster alone", &e))?;
        Self::with(Config::new(nowhere), options)
    }

    fn with(config: Config, options: Options) -> Result<Self, Error> {
        // None by default: an API server that falls silent, or a network that swallows what it says, would hold a round for ever.
        let client = |silence: Duration| {
            let mut config = config.clone();
            (config.connect_timeout, config.read_timeout) = (Some(CONNECT), Some(silence));
            Client::try_from(config).map_err(failed("reading how the cluster is reached"))
        };
        let (client, watching) = (client(SILENCE)?, client(watch::SILENCE)?);
        let url = &config.cluster_url;
        let api_server = format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or(443));
        let (places, tenants, kueue) = Default::default();
        Ok(Self { client, watching, options: Arc::new(options), api_server, term: None, places, tenants, kueue })
    }

    pub fn in_term(&self, term: i64) -> Self {
        Self { term: Some(term), ..self.clone() }
    }

    pub async fn begin_term(&self) -> Result<(), Error> {
        self.may_write().await
    }

    pub async fn observe(&self, name: &str) -> Result<Option<Observation>, Error> {
        names::check(name)?;
        let Some(found) = self.find(name).await? else { return Ok(None) };
        let pods = self.pods(found.namespace(), name).await?;
        self.observation(&found, &pods).await.map(Some)
    }

    pub async fn list(&self, prefix: &str) -> Result<Vec<Observation>, Error> {
        let mut out = Vec::new();
        let namespaces = self.namespaces().await?;
        let mut looks =
            futures::stream::iter(namespaces).map(|namespace| self.list_in(namespace, prefix)).buffer_unordered(namespaces::AT_A_TIME);
        while let Some(found) = looks.try_next().await? {
            out.extend(found);
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    async fn list_in(&self, namespace: String, prefix: &str) -> Result<Vec<Observation>, Error> {
        let all = ListParams::default().labels(&names::all());
        let (jobs, servers, pods) = (self.api::<Job>(&namespace), self.api::<Deployment>(&namespace), self.api::<Pod>(&namespace));
        let (jobs, servers, pods) = match tokio::try_join!(jobs.list(&all), servers.list(&all), pods.list(&all)) {
            Ok(lists) => lists,
            Err(e) if self.is_absent(&namespace, &e).await => return Ok(Vec::new()),
            Err(e) => return Err(failed(format!("listing the tasks in {namespace}"))(e)),
        };
        let mut of_task: HashMap<String, Vec<Pod>> = HashMap::new();
        for pod in pods {
            if let Some(task) = label(&pod.metadata, names::TASK) {
                of_task.entry(task).or_default().push(pod);
            }
        }
        let jobs = jobs.into_iter().map(|j| Found::Job(Box::new(j)));
        let servers = servers.into_iter().map(|s| Found::Server(Box::new(s)));
        let mut out = Vec::new();
        for found in jobs.chain(servers).filter(|f| f.name().starts_with(prefix)) {
            self.remember(found.name(), &namespace);
            let pods = of_task.remove(found.name()).unwrap_or_default();
            out.push(found.observation(&pods, &Circumstances::of_now()));
        }
        Ok(out)
    }

    pub async fn output(&self, name: &str, from: &Cursor, limit: usize) -> Result<Output, Error> {
        names::check(name)?;
        let found = self.find(name).await?.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let pods = self.pods(found.namespace(), name).await?;
        let api = self.api(found.namespace());
        match &found {
            Found::Job(_) => log::read(&api, name, found.pod(&pods), from, limit).await,
            Found::Server(_) => log::read_each(&api, name, &found.pods(&pods), from, limit).await,
        }
    }

    pub async fn put_file(&self, name: &str, file: &str, contents: &[u8]) -> Result<(), Error> {
        names::check(name)?;
        if file == config_map::SPEC || !file.strip_suffix(".json").is_some_and(crate::is_task_name) {
            return Err(Error::BadName(file.to_owned()));
        }
        let doing = || failed(format!("writing {file} of {name}"));
        let text = std::str::from_utf8(contents).map_err(|e| said(format!("writing {file} of {name}"), &e))?;
        let found = self.find(name).await?.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        self.may_write().await?;
        let patch = Patch::Merge(json!({ "data": { file: text } }));
        self.api::<ConfigMap>(found.namespace()).patch(name, &by_us(), &patch).await.map_err(doing())?;
        // The node looks at a pod that changed at once, and at its files then; without it a minute may pass.
        let mark = blake3::hash(contents).to_hex();
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { (names::FILES): &mark[..16] } } }));
        let pods = self.pods(found.namespace(), name).await?;
        for pod in found.pods(&pods).into_iter().filter_map(|p| p.metadata.name.as_deref()) {
            match self.api::<Pod>(found.namespace()).patch(pod, &by_us(), &patch).await {
                Err(e) if !is_not_found(&e) => return Err(doing()(e)),
                _ => {}
            }
        }
        Ok(())
    }

    pub async fn put_secret(&self, tenant: &Name, name: &str, secret: &str) -> Result<(), Error> {
        names::check(name)?;
        self.may_write().await?;
        self.ensure_namespace(tenant).await?;
        let object = secret::secret(tenant, name, secret, &self.options);
        self.put::<Secret>(tenant, &names::secret(name), &object, &format!("keeping the secret {name}")).await
    }

    /// Makes an object, or puts it right, in the namespace of a tenant, which is made where it is not there.
    async fn put<K>(&self, tenant: &Name, name: &str, object: &Value, doing: &str) -> Result<(), Error>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let api = self.api::<K>(&self.options.namespace(tenant));
        let patch = Patch::Apply(object);
        match api.patch(name, &applied(), &patch).await {
            Err(e) if is_not_found(&e) => self.prepare_tenant(tenant).await?,
            done => return done.map(drop).map_err(failed(doing)),
        }
        api.patch(name, &applied(), &patch).await.map(drop).map_err(failed(doing))
    }

    pub async fn remove_secret(&self, tenant: &Name, name: &str) -> Result<(), Error> {
        names::check(name)?;
        self.may_write().await?;
        let namespace = self.options.namespace(tenant);
        match self.api::<Secret>(&namespace).delete(&names::secret(name), &DeleteParams::default()).await {
            Err(e) if self.is_absent(&namespace, &e).await => Ok(()),
            done => gone(done, format!("forgetting the secret {name}")),
        }
    }

    pub fn watch(&self) -> Result<Watch, Error> {
        Ok(Watch::begin(&self.watching, self.options.clone()))
    }

    pub fn belongs_to(&self, name: &str, tenant: &Name) {
        self.remember(name, &self.options.namespace(tenant));
    }

    /// Every node of a cluster holds its containers to their limits.
    pub fn holds(&self) -> Holds {
        Holds { memory: Ok(()) }
    }

    /// How we reach it: `10.0.0.1:6443`.
    pub fn api_server(&self) -> &str {
        &self.api_server
    }

    /// Whether the policies of a tenant let its pods reach this address.
    pub fn lets_reach(&self, address: IpAddr) -> bool {
        tenant::lets_reach(&self.options, address)
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn remember(&self, name: &str, namespace: &str) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), namespace.to_owned());
    }

    fn forget(&self, name: &str) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The namespace of a task that was seen or told of.
    fn place(&self, name: &str) -> Option<String> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The object that a task is. Where it was once, or was said to be, is the only place: its name is made of ids of one tenant.
    /// By its name, not by our labels: somebody may have taken them away, and a task that works would count as gone.
    async fn find(&self, name: &str) -> Result<Option<Found>, Error> {
        if let Some(namespace) = self.place(name) {
            return self.find_in(&namespace, name).await;
        }
        let namespaces = self.namespaces().await?;
        let look = |namespace: String| async move { self.find_in(&namespace, name).await };
        let mut looks = futures::stream::iter(namespaces).map(look).buffer_unordered(namespaces::AT_A_TIME);
        // One namespace that is closed to us hides no task that is in another.
        let mut refused = Ok(None);
        while let Some(found) = looks.next().await {
            match found {
                Ok(None) => {}
                Ok(Some(found)) => {
                    self.remember(name, found.namespace());
                    return Ok(Some(found));
                }
                Err(e) => refused = Err(e),
            }
        }
        refused
    }

    async fn find_in(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        let doing = || failed(format!("looking at {name}"));
        match self.api::<Job>(namespace).get_opt(name).await {
            Ok(Some(job)) => return Ok(Some(Found::Job(Box::new(job)))),
            Ok(None) => {}
            Err(e) if self.is_absent(namespace, &e).await => return Ok(None),
            Err(e) => return Err(doing()(e)),
        }
        let server = self.api::<Deployment>(namespace).get_opt(name).await.map_err(doing())?;
        Ok(server.map(|s| Found::Server(Box::new(s))))
    }

    async fn pods(&self, namespace: &str, name: &str) -> Result<Vec<Pod>, Error> {
        let labels = ListParams::default().labels(&names::of_task(name));
        let pods = self.api::<Pod>(namespace).list(&labels).await.map_err(failed(format!("looking at the pods of {name}")))?;
        Ok(pods.items)
    }

    /// Most tasks tell by themselves how they are; only of one that waits or vanished more is asked.
    async fn observation(&self, found: &Found, pods: &[Pod]) -> Result<Observation, Error> {
        let mut seen = found.observation(pods, &Circumstances::of_now());
        let tells = match &seen.state {
            TaskState::Running { .. } | TaskState::Pending(PendingCause::Secret { .. }) => true,
            TaskState::Ended(_) => found.pod(pods).is_some() || found.is_stopped(),
            TaskState::Pending(_) => false,
        };
        if !tells {
            let circumstances = self.circumstances(found, found.waiting(pods)).await?;
            seen = found.observation(pods, &circumstances);
        }
        if !observe::is_short(&seen) {
            return Ok(seen);
        }
        let of_tenant = ListParams::default().labels(&names::all());
        let doing = failed(format!("looking for who has what {} waits for", seen.name));
        let pods = self.api::<Pod>(found.namespace()).list(&of_tenant).await.map_err(doing)?;
        Ok(observe::holders_in(seen, &pods.items))
    }

    async fn circumstances(&self, found: &Found, pod: Option<&Pod>) -> Result<Circumstances, Error> {
        if found.is_in_queue() {
            return Ok(Circumstances { queued: self.cause_in_queue(found).await?, ..Circumstances::of_now() });
        }
        let object = pod.and_then(|p| p.metadata.name.as_deref()).unwrap_or(found.name());
        let of_it = ListParams::default().fields(&format!("involvedObject.name={object}"));
        let events = self.api::<Event>(found.namespace()).list(&of_it).await.map_err(failed(format!("reading the events of {object}")))?;
        let mut events = events.items;
        events.sort_by_key(|e| e.last_timestamp.as_ref().map(|t| t.0).or(e.event_time.as_ref().map(|t| t.0)));
        let nodes = self.nodes().await?;
        Ok(Circumstances { events, nodes, ..Circumstances::of_now() })
    }

    /// Empty where we may not look at nodes: then the words of the scheduler have to do.
    async fn nodes(&self) -> Result<Vec<Node>, Error> {
        match Api::<Node>::all(self.client.clone()).list(&ListParams::default()).await {
            Ok(nodes) => Ok(nodes.items),
            Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Vec::new()),
            Err(e) => Err(failed("looking at the nodes")(e)),
        }
    }
}

fn label(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta, key: &str) -> Option<String> {
    meta.labels.as_ref()?.get(key).cloned()
}

/// A patch of single fields.
fn by_us() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// A whole object, of the fields that are ours.
fn applied() -> PatchParams {
    PatchParams::apply(names::FIELD_MANAGER).force().validation_strict()
}

fn is_not_found(e: &kube::Error) -> bool {
    matches!(e, kube::Error::Api(status) if status.is_not_found())
}

/// What was to go and is not there, is gone.
fn gone<T>(result: Result<T, kube::Error>, doing: impl Into<String>) -> Result<(), Error> {
    match result {
        Err(e) if !is_not_found(&e) => Err(failed(doing)(e)),
        _ => Ok(()),
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let doing = doing.into();
    move |e| match e {
        // Its own display has everything twice. 429: too many requests just now.
        kube::Error::Api(status) if status.code < 500 && status.code != 429 => Error::Cluster { doing, said: status.message },
        kube::Error::Api(status) => Error::Away { doing, said: status.message },
        other => Error::Away { doing, said: causes::in_words(&other) },
    }
}

fn said(doing: impl Into<String>, e: &(dyn std::error::Error + 'static)) -> Error {
    Error::Cluster { doing: doing.into(), said: causes::in_words(e) }
}

/// An object that we built as JSON, as the client wants it.
fn typed<K: DeserializeOwned>(object: Value, doing: &str) -> Result<K, Error> {
    serde_json::from_value(object).map_err(|e| said(doing, &e))
}
