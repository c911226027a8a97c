//! The leader's work: keys that commits, the engine and the clock put into a queue, many looked at at once.

use super::{
    Halt, Leader, checkpoints, endpoints, isolation, places, runs, steps, store_keys, sweep, tasks,
    workqueue::{Key, WorkQueue},
};
use crate::{leftovers, problem::Doing};
use domain::{
    event::{Event, Topic},
    ids::{EndpointId, IsolationCheckId, RunId},
    name::Name,
};
use engine::Watch;
use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::broadcast,
    task::{Id, JoinSet},
};

/// Between two full passes while anything is live; and while nothing is, when only what was changed behind our back can be missed.
const FULL_PASS: Duration = Duration::from_secs(60);
const FULL_PASS_AT_REST: Duration = Duration::from_secs(600);
/// After something ended, until what the engine holds of it is removed.
const SWEEP_AFTER: Duration = Duration::from_secs(1);
/// Between two tries to watch the engine.
const WATCH_AGAIN: Duration = Duration::from_secs(5);

/// What came of looking at a key.
#[derive(Default)]
pub(super) struct Looked {
    /// How soon to look again if nothing wakes it; `None` = not before something does.
    pub next: Option<Duration>,
    /// What else is to be looked at now.
    pub found: Vec<Key>,
}

impl Looked {
    pub(super) fn again_after(next: Option<Duration>) -> Self {
        Self { next, found: Vec::new() }
    }
}

pub(super) struct Term {
    pub(super) leader: Leader,
    queue: WorkQueue,
    under_way: JoinSet<Result<Looked, Halt>>,
    /// What each of them is about.
    keys: HashMap<Id, Key>,
    changes: broadcast::Receiver<Arc<Event>>,
    engine: Option<Watch>,
    /// The tenants of what is live, since the engine knows names of tasks only.
    runs: HashMap<RunId, Name>,
    endpoints: HashMap<EndpointId, Name>,
}

impl Term {
    pub(super) fn new(leader: Leader) -> Self {
        let mut queue = WorkQueue::default();
        let now = Instant::now();
        for key in [Key::FullPass, Key::Sweep, Key::Leftovers] {
            queue.add(key, now);
        }
        queue.add(Key::Checkpoints, now + checkpoints::AT_FIRST);
        let changes = leader.platform.listen_to_all();
        Self {
            leader,
            queue,
            under_way: JoinSet::new(),
            keys: HashMap::new(),
            changes,
            engine: None,
            runs: HashMap::new(),
            endpoints: HashMap::new(),
        }
    }

    /// Never ends by itself. May be dropped and called again at any time: what was begun goes on.
    pub(super) async fn work(&mut self) {
        loop {
            while let Some(key) = self.queue.begin(Instant::now()) {
                self.begin(key);
            }
            let due = self.queue.next_due();
            let woken = tokio::select! {
                Some(done) = self.under_way.join_next_with_id() => Woken::Done(done),
                event = self.changes.recv() => Woken::Changed(event),
                names = next_names(&self.leader, &mut self.engine) => Woken::Engine(names),
                () = until(due) => Woken::Due,
            };
            self.take(woken);
        }
    }

    fn take(&mut self, woken: Woken) {
        let now = Instant::now();
        match woken {
            Woken::Due => {}
            Woken::Done(done) => self.ended(done, now),
            Woken::Changed(Ok(event)) => self.changed(&event, now),
            Woken::Changed(Err(_)) => self.queue.add(Key::FullPass, now),
            Woken::Engine(Some(names)) => names.iter().for_each(|name| self.task_changed(name, now)),
            // It begins to watch now: what happened before is looked for.
            Woken::Engine(None) => self.queue.add(Key::FullPass, now),
        }
    }

    fn changed(&mut self, event: &Event, now: Instant) {
        match event.topic {
            Topic::Run => {
                if let Ok(id) = event.object.parse::<RunId>() {
                    self.runs.insert(id, event.tenant.clone());
                    self.queue.add(Key::Run(event.tenant.clone(), id), now);
                }
                self.queue.add(Key::Admission, now);
            }
            Topic::Endpoint => {
                if let Ok(id) = event.object.parse::<EndpointId>() {
                    self.endpoints.insert(id, event.tenant.clone());
                    self.queue.add(Key::Endpoint(event.tenant.clone(), id), now);
                }
            }
            // A tenant that was suspended, resumed, or given another quota; or a check of it.
            Topic::Tenant => {
                if let Ok(id) = event.object.parse::<IsolationCheckId>() {
                    return self.queue.add(Key::Isolation(event.tenant.clone(), id), now);
                }
                self.queue.add(Key::Tenant(event.tenant.clone()), now);
                self.queue.add(Key::FullPass, now);
            }
            Topic::RunLive | Topic::DatasetVersion | Topic::ModelVersion | Topic::Key => {}
        }
    }

    fn task_changed(&mut self, name: &str, now: Instant) {
        if let Some(id) = tasks::run_of(name)
            && let Some(tenant) = self.runs.get(&id)
        {
            self.queue.add(Key::Run(tenant.clone(), id), now);
        } else if let Some((id, _)) = tasks::endpoint_of(name)
            && let Some(tenant) = self.endpoints.get(&id)
        {
            self.queue.add(Key::Endpoint(tenant.clone(), id), now);
        }
    }

    fn ended(&mut self, done: Done, now: Instant) {
        let (id, trouble) = match done {
            Ok((id, Ok(looked))) => {
                let Some(key) = self.keys.remove(&id) else { return };
                for found in looked.found {
                    self.know(&found);
                    self.queue.add(found, now);
                }
                if looked.next.is_none() {
                    self.over(&key, now);
                }
                return self.queue.end(key, looked.next, now);
            }
            Ok((id, Err(Halt::LeaseLost))) => (id, None),
            Ok((id, Err(Halt::Trouble(problem)))) => (id, Some(problem.sentence)),
            Err(broke_off) => (broke_off.id(), Some(broke_off.to_string())),
        };
        let Some(key) = self.keys.remove(&id) else { return };
        if let Some(trouble) = trouble {
            tracing::warn!(what = %key, trouble, "could not be brought forward now");
        }
        self.queue.end_in_trouble(key, now);
    }

    fn know(&mut self, key: &Key) {
        match key {
            Key::Run(tenant, id) => drop(self.runs.insert(*id, tenant.clone())),
            Key::Endpoint(tenant, id) => drop(self.endpoints.insert(*id, tenant.clone())),
            Key::FullPass
            | Key::Admission
            | Key::Isolation(..)
            | Key::Tenant(_)
            | Key::Sweep
            | Key::Leftovers
            | Key::StoreKeys
            | Key::Checkpoints => {}
        }
    }

    /// Nothing more happens to it by itself.
    fn over(&mut self, key: &Key, now: Instant) {
        let forgotten = match key {
            Key::Run(_, id) => self.runs.remove(id).is_some(),
            Key::Endpoint(_, id) => self.endpoints.remove(id).is_some(),
            Key::FullPass
            | Key::Admission
            | Key::Isolation(..)
            | Key::Tenant(_)
            | Key::Sweep
            | Key::Leftovers
            | Key::StoreKeys
            | Key::Checkpoints => false,
        };
        if forgotten {
            self.queue.add(Key::Sweep, now + SWEEP_AFTER);
        }
    }

    fn begin(&mut self, key: Key) {
        let leader = self.leader.clone();
        let id = match key.clone() {
            Key::FullPass => self.spawn(full_pass(leader)),
            Key::Admission => self.spawn(async { runs::admit(leader).await.map(|()| Looked::default()) }),
            Key::Run(tenant, run) => self.spawn(async move { steps::reconcile(leader, tenant, run).await.map(Looked::again_after) }),
            Key::Endpoint(tenant, id) => self.spawn(async move { endpoints::reconcile(leader, tenant, id).await.map(Looked::again_after) }),
            Key::Isolation(tenant, id) => {
                self.spawn(async move { isolation::reconcile(leader, tenant, id).await.map(Looked::again_after) })
            }
            Key::Tenant(name) => self.spawn(async { places::reconcile(leader, name).await.map(Looked::again_after) }),
            Key::Sweep => self.spawn(async { sweep::sweep(leader).await.map(|()| Looked::default()) }),
            Key::Leftovers => self.spawn(async { sweep::leftovers(leader).await.map(|()| Looked::again_after(Some(leftovers::EVERY))) }),
            Key::StoreKeys => self.spawn(async { store_keys::make_missing(leader).await.map(Looked::again_after) }),
            Key::Checkpoints => self.spawn(async { checkpoints::sign(leader).await.map(|next| Looked::again_after(Some(next))) }),
        };
        self.keys.insert(id, key);
    }

    fn spawn(&mut self, work: impl Future<Output = Result<Looked, Halt>> + Send + 'static) -> Id {
        self.under_way.spawn(work).id()
    }
}

type Done = Result<(Id, Result<Looked, Halt>), tokio::task::JoinError>;

enum Woken {
    Due,
    Done(Done),
    Changed(Result<Arc<Event>, broadcast::error::RecvError>),
    /// Tasks in which something changed; `None` = the watch begins.
    Engine(Option<std::collections::BTreeSet<String>>),
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn next_names(leader: &Leader, watch: &mut Option<Watch>) -> Option<std::collections::BTreeSet<String>> {
    loop {
        let trouble = match watch {
            Some(watching) => match watching.next().await {
                Ok(names) => return Some(names),
                Err(e) => e,
            },
            None => match leader.platform.engine().watch() {
                Ok(watching) => {
                    *watch = Some(watching);
                    return None;
                }
                Err(e) => e,
            },
        };
        *watch = None;
        tracing::warn!(error = %trouble, "the engine cannot be watched now; trying again");
        tokio::time::sleep(WATCH_AGAIN).await;
    }
}

/// Everything that is live, and whatever waits for a slot.
async fn full_pass(leader: Leader) -> Result<Looked, Halt> {
    let store = leader.platform.store();
    let mut found = Vec::new();
    for run in store.open_runs().await.doing("reading the runs")? {
        found.push(Key::Run(run.tenant, run.id));
    }
    for (tenant, id) in store.open_endpoints().await.doing("reading the endpoints")? {
        found.push(Key::Endpoint(tenant, id));
    }
    for (tenant, id) in store.open_isolation_checks().await.doing("reading the checks of isolation")? {
        found.push(Key::Isolation(tenant, id));
    }
    found.extend(store.tenants_being_deleted().await.doing("reading the tenants")?.into_iter().map(Key::Tenant));
    // Where nobody can change anything behind our back, there is nothing to look at.
    if leader.platform.engine().has_tenant_objects() {
        found.extend(store.tenant_names().await.doing("reading the tenants")?.into_iter().map(Key::Tenant));
    }
    let next = if found.is_empty() { FULL_PASS_AT_REST } else { FULL_PASS };
    found.extend([Key::Admission, Key::Sweep, Key::StoreKeys]);
    Ok(Looked { next: Some(next), found })
}
