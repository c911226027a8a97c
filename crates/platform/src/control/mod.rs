//! Controllers: they compare rows with what the engine sees, and act, as often as they like, without knowing why they woke.
//!
//! Of several processes one leads, by a lease in the database; every commit of the leader first makes sure, in the same
//! transaction, that the lease is still its own, so a deposed one changes nothing. Jobs need no leader: a claim is enough.

mod checkpoints;
mod ending;
mod endpoint_hearing;
mod endpoints;
mod output;
mod publish;
mod queue;
pub(crate) mod registering;
mod runs;
mod steps;
mod sweep;
pub(crate) mod tasks;
mod work;

use crate::{
    Platform, change,
    problem::Doing,
    store::{Tx, leases::Fence},
};
use domain::{problem::Problem, time::SECOND};
use engine::Engine;
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::{self, JoinSet};

/// The lease that the leading controller holds.
const LEASE: &str = "controller";
/// Milliseconds that a lease holds without being renewed.
const LEASE_LASTS: i64 = 5 * SECOND;
const RENEW_EVERY: Duration = Duration::from_millis(1500);
/// How often rows and engine are compared when nothing wakes the loop.
const EVERY: Duration = Duration::from_millis(300);
/// The longest time without a look for jobs, for what nobody told of.
const LOOK_FOR_JOBS: Duration = Duration::from_secs(600);
/// How long a thing is left alone after an error in it, so that a broken disk does not fill the log.
const AFTER_TROUBLE: Duration = Duration::from_secs(3);

/// Why one comparison ended early. Nothing is lost: the next one starts from the rows again.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Another controller leads by now.
    Deposed,
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
    /// Refuses this leader once a later one has begun; see [`Leader::deeds`].
    engine: Engine,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// Tasks that were asked to stop.
    stopping: HashSet<String>,
    /// The adapters that were last put beside a server.
    adapters: HashMap<String, Vec<u8>>,
}

impl Leader {
    fn new(platform: &Platform, fence: Fence) -> Self {
        let engine = platform.engine().in_term(fence.number);
        Self { platform: platform.clone(), fence, engine, memory: Arc::default() }
    }

    /// A transaction that only the leader gets.
    async fn begin(&self) -> Result<Tx, Halt> {
        change::as_leader(&self.platform, &self.fence).await?.ok_or(Halt::Deposed)
    }

    /// The engine, for deeds: the only way to start, stop, remove or hand over anything. The look at the lease comes right before;
    /// whoever freezes after it and is succeeded meanwhile, is refused by the engine itself, which knows the latest term.
    async fn deeds(&self) -> Result<&Engine, Halt> {
        self.begin().await?;
        Ok(&self.engine)
    }

    fn memory<T>(&self, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks a task to end, once per term. Remembered only when it was asked: a stop that failed is tried again.
    async fn stop(&self, task: &str, grace: Duration) -> Result<(), Halt> {
        if !self.memory(|m| m.stopping.contains(task)) {
            self.deeds().await?.stop(task, grace).await.doing("stopping a process")?;
            self.memory(|m| m.stopping.insert(task.to_owned()));
        }
        Ok(())
    }
}

impl Platform {
    /// Lets the controller of this process look at once, instead of at its next round.
    pub(crate) fn wake(&self) {
        self.inner.wake.notify_one();
    }

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
            let due = match self.work_next(holder, 1).await {
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

    async fn lead(&self, holder: &str, fence: &mut Option<Fence>) {
        let mut term: Option<Term> = None;
        let mut renew_at = Instant::now();
        // Its age counts from here on, also when it can never be asked for.
        self.inner.freshness.lease_seen(self.now());
        loop {
            if Instant::now() >= renew_at {
                renew_at = Instant::now() + RENEW_EVERY;
                let now = self.now();
                let taken = self.store().take_lease(LEASE, holder, now, now.plus(LEASE_LASTS)).await;
                if taken.is_ok() {
                    self.inner.freshness.lease_seen(self.now());
                }
                match taken {
                    Ok(Some(mine)) => {
                        if term.as_ref().is_none_or(|t| t.leader.fence != mine) {
                            term = self.begin_term(holder, &mine).await;
                        }
                        *fence = Some(mine);
                    }
                    Ok(None) => {
                        // Dropping the term ends everything that it had under way.
                        term = None;
                        *fence = None;
                    }
                    // Perhaps the lease is still ours; every commit asks.
                    Err(e) => tracing::warn!(error = %e, "the lease cannot be renewed now"),
                }
            }
            if let Some(term) = &mut term {
                term.round().await;
            }
            tokio::select! {
                () = self.inner.wake.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}

impl Platform {
    /// Ends the terms before this one in the engine; without that nothing is begun. `None` = tried again at the next renewal.
    async fn begin_term(&self, holder: &str, mine: &Fence) -> Option<Term> {
        let leader = Leader::new(self, mine.clone());
        match leader.engine.begin_term().await {
            Ok(()) => {
                tracing::info!(holder, fence = mine.number, "leads the controllers");
                return Some(Term::new(leader));
            }
            // The database is younger than what runs: restored from a backup, or made anew. Its terms go on after the engine's.
            Err(engine::Error::Outdated { current, .. }) => {
                tracing::warn!(fence = mine.number, current, "the engine knows a later term than the database; going on after it");
                if let Err(e) = self.store().raise_fence(mine, current + 1, self.now()).await {
                    tracing::warn!(error = %e, "the lease cannot be changed now");
                }
            }
            Err(e) => tracing::warn!(error = %e, "the engine cannot be taken over now"),
        }
        None
    }
}

/// The leader's work: one comparison per thing at a time, many things at once, so that a large upload holds up nobody.
struct Term {
    leader: Leader,
    under_way: JoinSet<Result<(), Halt>>,
    /// What each of them is about.
    busy: HashMap<task::Id, String>,
    left_alone_until: HashMap<String, Instant>,
}

impl Term {
    fn new(leader: Leader) -> Self {
        Self { leader, under_way: JoinSet::new(), busy: HashMap::new(), left_alone_until: HashMap::new() }
    }

    async fn round(&mut self) {
        while let Some(done) = self.under_way.try_join_next_with_id() {
            let (id, trouble) = match done {
                Ok((id, Ok(()) | Err(Halt::Deposed))) => (id, None),
                Ok((id, Err(Halt::Trouble(problem)))) => (id, Some(problem.sentence)),
                Err(broke_off) => (broke_off.id(), Some(broke_off.to_string())),
            };
            let Some(what) = self.busy.remove(&id) else { continue };
            if let Some(trouble) = trouble {
                tracing::warn!(what, trouble, "could not be brought forward now");
                self.left_alone_until.insert(what, Instant::now() + AFTER_TROUBLE);
            }
        }
        let now = Instant::now();
        self.left_alone_until.retain(|_, until| *until > now);
        let leader = self.leader.clone();
        self.begin("queue".into(), runs::admit(leader.clone()));
        self.begin("sweep".into(), sweep::sweep(leader.clone()));
        self.begin("leftovers".into(), sweep::leftovers(leader.clone()));
        self.begin("checkpoints".into(), checkpoints::sign(leader.clone()));
        match leader.platform.store().open_runs().await {
            Ok(open) => {
                for run in open.into_iter().filter(|r| r.state.is_active()) {
                    self.begin(run.id.to_string(), steps::reconcile(leader.clone(), run.tenant, run.id));
                }
            }
            Err(e) => tracing::warn!(error = %e, "the runs cannot be read now"),
        }
        match leader.platform.store().open_endpoints().await {
            Ok(open) => {
                for (tenant, id) in open {
                    self.begin(id.to_string(), endpoints::reconcile(leader.clone(), tenant, id));
                }
            }
            Err(e) => tracing::warn!(error = %e, "the endpoints cannot be read now"),
        }
    }

    fn begin(&mut self, what: String, work: impl Future<Output = Result<(), Halt>> + Send + 'static) {
        if self.left_alone_until.contains_key(&what) || self.busy.values().any(|busy| *busy == what) {
            return;
        }
        let id = self.under_way.spawn(work).id();
        self.busy.insert(id, what);
    }
}

#[cfg(test)]
mod tests;
