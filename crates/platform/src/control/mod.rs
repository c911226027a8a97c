//! Controllers: they compare rows with what the engine sees, and act, as often as they like, without knowing why they woke.
//!
//! Of several processes one leads, by a lease in the database; every commit of the leader first makes sure, in the same
//! transaction, that the lease is still its own, so one that has lost it changes nothing. Jobs need no leader: a claim is enough.

mod checkpoints;
mod deletion;
mod ending;
mod endpoint_output;
mod endpoints;
mod external;
mod failing;
mod holders;
mod isolation;
mod isolation_targets;
mod lease;
mod output;
mod places;
mod publish;
mod queue;
mod runs;
mod server_task;
mod steps;
mod store_keys;
mod sweep;
pub(crate) mod tasks;
mod term;
mod work;
mod workqueue;

use crate::{
    Platform, change,
    problem::Doing,
    store::{Tx, leases::Fence},
};
use domain::{name::Name, problem::Problem, reason::store_key::NoStoreKey};
use engine::{Engine, Place};
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The shortest time between two looks for jobs that are due and that nobody can take.
const EVERY: Duration = Duration::from_millis(300);
/// The longest time without a look for jobs, for what nobody told of.
const LOOK_FOR_JOBS: Duration = Duration::from_secs(600);
/// How long a thing is left alone after an error in it, so that a broken disk does not fill the log.
const AFTER_TROUBLE: Duration = Duration::from_secs(3);

/// Why one comparison ended early. Nothing is lost: the next one starts from the rows again.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Another controller leads by now.
    LeaseLost,
    Trouble(Problem),
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Trouble(problem)
    }
}

/// One term of leadership. Cheap to clone; what it remembers only saves work, and dies with it.
#[derive(Clone)]
pub(crate) struct Leader {
    platform: Platform,
    fence: Fence,
    /// Refuses this leader once a later one has begun; see [`Leader::effects`].
    engine: Engine,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// Tasks that were asked to stop.
    stopping: HashSet<String>,
    /// The adapters that were last put beside a server.
    adapters: HashMap<String, Vec<u8>>,
    /// Why the engine refuses to change a server, as it was said in the endpoint's log.
    refused: HashMap<String, String>,
    /// Why a tenant has no key of the artefact store.
    no_store_key: HashMap<Name, NoStoreKey>,
    /// Its id, once it is known to be there.
    platform_bucket: Option<String>,
    /// What tenants were given where their tasks run, as far as it could be made.
    places: HashMap<Name, Place>,
}

impl Leader {
    fn new(platform: &Platform, fence: Fence) -> Self {
        let engine = platform.engine().in_term(fence.number);
        Self { platform: platform.clone(), fence, engine, memory: Arc::default() }
    }

    /// A transaction that only the leader gets.
    async fn begin(&self) -> Result<Tx, Halt> {
        change::as_leader(&self.platform, &self.fence).await?.ok_or(Halt::LeaseLost)
    }

    /// The same beside the writers' line, for what tasks say in masses: log lines, points of curves, evaluated rows.
    async fn beside(&self) -> Result<Tx, Halt> {
        change::beside_as_leader(&self.platform, &self.fence).await?.ok_or(Halt::LeaseLost)
    }

    /// The engine, for effects: the only way to start, stop, remove or hand over anything. The look at the lease comes right before;
    /// whoever freezes after it and is succeeded meanwhile, is refused by the engine itself, which knows the latest term.
    async fn effects(&self) -> Result<&Engine, Halt> {
        self.begin().await?;
        Ok(&self.engine)
    }

    fn memory<T>(&self, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks a task to end, once per term. Remembered only when it was asked: a stop that failed is tried again.
    async fn stop(&self, task: &str, grace: Duration) -> Result<(), Halt> {
        if !self.memory(|m| m.stopping.contains(task)) {
            self.effects().await?.stop(task, grace).await.doing("stopping a process")?;
            self.memory(|m| m.stopping.insert(task.to_owned()));
        }
        Ok(())
    }
}

impl Platform {
    /// Does jobs, and controls runs and endpoints while it leads, until `shutdown` ends. `holder` names this process in the lease.
    /// Dropping the future at any point is as good as a kill: another one goes on from the rows.
    pub async fn control(&self, holder: String, shutdown: impl Future<Output = ()>) {
        // Two processes of one name, or one that was restarted, are still two holders.
        let holder = format!("{holder}/{}", self.fresh_uuid().simple());
        let mut fence = None;
        tokio::select! {
            () = shutdown => {}
            () = self.work_jobs(&holder) => {}
            () = self.work_jobs(&holder) => {}
            () = self.lead(&holder, &mut fence) => {}
            // What wakes the controllers; stands by where the portal reads already.
            () = self.watch_events(std::future::pending()) => {}
        }
        if let Some(fence) = fence
            && let Err(e) = self.store().release_lease(&fence, self.now()).await
        {
            tracing::warn!(error = %e, "the lease could not be given back; it ends by itself");
        }
    }

    /// Two of these run in a process, each with one tenant's job: a file of 20 GB keeps nobody else waiting.
    async fn work_jobs(&self, holder: &str) {
        let mut revisions = self.store().revisions();
        loop {
            revisions.mark_unchanged();
            let jobs = revisions.borrow().jobs;
            let due = match self.run_next_job(holder, 1).await {
                Ok(true) => continue,
                // What is due already waits for the other hand, and is told when that is free.
                Ok(false) => self.store().next_job_due().await.doing("reading when a job is due"),
                Err(problem) => Err(problem),
            };
            let pause = match due {
                Ok(due) => due
                    .map_or(LOOK_FOR_JOBS, |at| Duration::from_millis(u64::try_from(at.since(self.now())).unwrap_or(0)))
                    .clamp(EVERY, LOOK_FOR_JOBS),
                Err(problem) => {
                    tracing::warn!(%problem, "jobs cannot be taken now");
                    AFTER_TROUBLE
                }
            };
            tokio::select! {
                // The sender is this process's own store, which is still here.
                _ = revisions.wait_for(|now| now.jobs != jobs) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
