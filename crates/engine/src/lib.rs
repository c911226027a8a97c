//! Where work runs. The engine takes a [`Task`] (what a step needs), makes it so, and tells what it sees ([`Observation`]).
//! It knows nothing of users, runs or databases. Names come from the caller's ids, so whatever is asked twice happens once:
//! `apply` of a name that exists with the same hash changes nothing, and a restarted portal finds its tasks by name.
//!
//! What every engine owes is written down as tests that run against any: `tests/contract/`.

pub mod kubernetes;
pub mod local;
mod observation;
mod task;
mod tenant;

pub use observation::{Amount, Cursor, End, Holds, Observation, Output, PendingCause, Replica, ReplicaState, Shortage, TaskState};
pub use task::{Resources, Runtime, SecretRef, Task, TaskKind};
pub use tenant::Place;

use domain::{cluster::Cluster, name::Name, queue::QueueLimits, serving::ServingSettings, supply::Machines, tenant_objects::TenantObject};
use std::{net::IpAddr, time::Duration};
pub(crate) use task::is_task_name;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("task {name} already exists with other contents")]
    Different { name: String },
    #[error("task {0} does not exist")]
    Unknown(String),
    #[error("“{0}” is not a task name")]
    BadName(String),
    /// A cursor of another engine, or of none.
    #[error("the output of {0} cannot be read on from this place")]
    BadCursor(String),
    /// The caller's term is over: somebody with a later one works here by now. Nothing was done.
    #[error("term {mine} is over, term {current} has begun")]
    Outdated { mine: i64, current: i64 },
    /// The cluster's API server says no: asked again, it says the same.
    #[error("{doing}: {said}")]
    Cluster { doing: String, said: String },
    /// The cluster's API server does not answer, or not now. Nothing is known of what was asked for: ask again.
    #[error("{doing}: {said}")]
    Away { doing: String, said: String },
    #[error("{doing}: {source}")]
    Io { doing: String, source: std::io::Error },
}

/// The engines, behind one set of calls.
#[derive(Clone)]
pub enum Engine {
    Local(local::LocalEngine),
    Kubernetes(kubernetes::KubernetesEngine),
}

/// Names of tasks in which something changed; see [`Engine::watch`].
pub enum Watch {
    Local(Box<local::Watch>),
    Kubernetes(kubernetes::Watch),
}

impl Engine {
    /// The same engine in the hands of one term of leadership; terms are numbers that grow. Whatever changes something through it
    /// is refused with [`Error::Outdated`] once [`Engine::begin_term`] was called with a higher number, however late it comes.
    pub fn in_term(&self, term: i64) -> Self {
        match self {
            Self::Local(e) => Self::Local(e.in_term(term)),
            Self::Kubernetes(e) => Self::Kubernetes(e.in_term(term)),
        }
    }
    /// Ends all earlier terms. To be called before anything else is done in a term.
    pub async fn begin_term(&self) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.begin_term().await,
            Self::Kubernetes(e) => e.begin_term().await,
        }
    }
    /// Makes what a tenant's tasks need around them, or puts it right, and holds what starts from now on to the tenant's limits. Says of
    /// each object how it was found; nothing where the engine has no objects. Of a tenant for which it was never called, tasks run without
    /// limits.
    pub async fn ensure_tenant(&self, place: &Place) -> Result<Vec<TenantObject>, Error> {
        match self {
            // On one machine all tenants run as one user, in folders of their own.
            Self::Local(e) => e.ensure_tenant(place).await.map(|()| Vec::new()),
            Self::Kubernetes(e) => e.ensure_tenant(place).await,
        }
    }
    /// Takes away what [`Engine::ensure_tenant`] made, the tenant's secrets with it; its tasks are removed before. Returns at once: `Some` =
    /// what keeps it, or nothing in words while it only takes its time; ask again. `None` = nothing is left.
    pub async fn remove_tenant(&self, tenant: &Name) -> Result<Option<String>, Error> {
        match self {
            Self::Local(e) => e.remove_tenant(tenant).await.map(|()| None),
            Self::Kubernetes(e) => e.remove_tenant(tenant).await,
        }
    }
    /// Whether there are such objects here, which others can change.
    pub const fn has_tenant_objects(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Kubernetes(_) => true,
        }
    }
    /// The same objects, only looked at; `None` = this engine has none.
    pub async fn tenant_objects(&self, place: &Place) -> Result<Option<Vec<TenantObject>>, Error> {
        match self {
            Self::Local(_) => Ok(None),
            Self::Kubernetes(e) => e.tenant_objects(place).await.map(Some),
        }
    }
    /// What whoever may make them applies, as YAML; `None` = this engine has no such objects.
    pub fn tenant_bundle(&self, place: &Place) -> Result<Option<String>, Error> {
        match self {
            Self::Local(_) => Ok(None),
            Self::Kubernetes(e) => e.tenant_bundle(place).map(Some),
        }
    }
    /// Makes the task run, once: the same name and hash again changes nothing, unless it is [`TaskState::Pending`] and can start now.
    /// A server whose task is another now, or wants another number of replicas, becomes so where the engine [`rolls`](Engine::rolls);
    /// everything else is refused as [`Error::Different`].
    pub async fn apply(&self, task: &Task) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.apply(task).await,
            Self::Kubernetes(e) => e.apply(task).await,
        }
    }
    /// `None` = nothing is known under this name.
    pub async fn observe(&self, name: &str) -> Result<Option<Observation>, Error> {
        match self {
            Self::Local(e) => e.observe(name).await,
            Self::Kubernetes(e) => e.observe(name).await,
        }
    }
    /// Every task whose name starts with `prefix`. What keeps one waiting, [`Engine::observe`] knows better: it looks around.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Observation>, Error> {
        match self {
            Self::Local(e) => e.list(prefix).await,
            Self::Kubernetes(e) => e.list(prefix).await,
        }
    }
    /// Asks the task to end (SIGTERM to `atelier task`, which stops what it started), then kills it after the grace time. Where a batch
    /// task ends itself with its own [`Task::grace`], a longer time is not given.
    /// Returns at once; observe it to see it gone. Of a task that is not there: fine.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.stop(name, grace).await,
            Self::Kubernetes(e) => e.stop(name, grace).await,
        }
    }
    /// Forgets an ended task and what is left of it. Refuses nothing: a running one is killed first.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.remove(name).await,
            Self::Kubernetes(e) => e.remove(name).await,
        }
    }
    /// What the task printed after `from`, at most `limit` bytes and only whole lines.
    pub async fn output(&self, name: &str, from: &Cursor, limit: usize) -> Result<Output, Error> {
        match self {
            Self::Local(e) => e.output(name, from, limit).await,
            Self::Kubernetes(e) => e.output(name, from, limit).await,
        }
    }
    /// Puts a file beside the spec that may change while the task runs (`adapters.json`); replaced atomically.
    pub async fn put_file(&self, name: &str, file: &str, contents: &[u8]) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.put_file(name, file, contents).await,
            Self::Kubernetes(e) => e.put_file(name, file, contents).await,
        }
    }
    /// Gives the engine a secret of a tenant, for tasks that refer to it; replaces an earlier one for tasks that start later.
    pub async fn put_secret(&self, tenant: &Name, name: &str, secret: &str) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.put_secret(tenant, name, secret).await,
            Self::Kubernetes(e) => e.put_secret(tenant, name, secret).await,
        }
    }
    /// Forgets a secret. One that is not there: fine.
    pub async fn remove_secret(&self, tenant: &Name, name: &str) -> Result<(), Error> {
        match self {
            Self::Local(e) => e.remove_secret(tenant, name).await,
            Self::Kubernetes(e) => e.remove_secret(tenant, name).await,
        }
    }
    /// Tells from now on in which tasks something changes, so that nobody has to look all the time. It may name a task in which
    /// nothing changed, and after trouble it names all: what is so says [`Engine::observe`].
    pub fn watch(&self) -> Result<Watch, Error> {
        match self {
            Self::Local(e) => e.watch().map(Box::new).map(Watch::Local),
            Self::Kubernetes(e) => e.watch().map(Watch::Kubernetes),
        }
    }
    /// Says whose a task is, before it is asked for: a cluster then looks in one place only. A task of which nobody said it, and that was not
    /// seen yet, is looked for in all of them.
    pub fn belongs_to(&self, name: &str, tenant: &Name) {
        match self {
            // All tasks of a machine are in one folder.
            Self::Local(_) => {}
            Self::Kubernetes(e) => e.belongs_to(name, tenant),
        }
    }
    /// Whether [`Engine::watch`] names a task that printed something. Where it does not, output has to be looked for.
    pub const fn tells_of_output(&self) -> bool {
        match self {
            Self::Local(_) => true,
            // The API server tells of objects; each log would be a connection of its own.
            Self::Kubernetes(_) => false,
        }
    }
    /// The machines, and who has what of them; `None` = there is this one machine only. A holder is named by its task.
    pub async fn cluster(&self) -> Result<Option<Cluster>, Error> {
        match self {
            Self::Local(_) => Ok(None),
            Self::Kubernetes(e) => e.cluster().await.map(Some),
        }
    }
    /// How large the machines are; `None` = there is this one machine only.
    pub async fn machines(&self) -> Result<Option<Machines>, Error> {
        match self {
            Self::Local(_) => Ok(None),
            Self::Kubernetes(e) => e.machines().await.map(Some),
        }
    }
    /// The most that a batch task of the tenant can ever get of the queue in which it waits; `None` = it waits in none.
    pub async fn queue_limits(&self, tenant: &Name) -> Result<Option<QueueLimits>, Error> {
        match self {
            Self::Local(_) => Ok(None),
            Self::Kubernetes(e) => e.queue_limits(tenant).await,
        }
    }
    /// Whether a task may be spread over several nodes.
    pub const fn spreads(&self) -> bool {
        matches!(self, Self::Kubernetes(_))
    }
    /// The most replicas that a server can have here.
    pub const fn most_replicas(&self) -> u32 {
        match self {
            // One process of a task, on one port; the graphics card of a machine holds a model mostly once.
            Self::Local(_) => 1,
            Self::Kubernetes(_) => ServingSettings::MOST_REPLICAS,
        }
    }
    /// Whether a server that runs is changed replica by replica, while it goes on answering; and whether that a replica is ready means
    /// that it has answered, and not only that it listens.
    pub const fn rolls(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Kubernetes(_) => true,
        }
    }
    /// Host and port of the cluster's API server, as this process reaches it; `None` = there is no cluster.
    pub fn api_server(&self) -> Option<String> {
        match self {
            Self::Local(_) => None,
            Self::Kubernetes(e) => Some(e.api_server().to_owned()),
        }
    }
    /// Whether what was put around a tenant's tasks ([`Engine::ensure_tenant`]) lets them reach this address, where it is enforced.
    pub fn lets_reach(&self, address: IpAddr) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Kubernetes(e) => e.lets_reach(address),
        }
    }
    /// What tasks are really held to where they run.
    pub fn holds(&self) -> Holds {
        match self {
            Self::Local(e) => e.holds(),
            Self::Kubernetes(e) => e.holds(),
        }
    }
}

impl Watch {
    /// Waits for the next change. Names that changed several times meanwhile come once.
    pub async fn next(&mut self) -> Result<std::collections::BTreeSet<String>, Error> {
        match self {
            Self::Local(w) => w.next().await,
            Self::Kubernetes(w) => w.next().await,
        }
    }
}
