//! What objects of the cluster say about a task. Pure: the objects in, an [`Observation`] out.

mod ended;
mod nodes;
mod pending;
mod queue;
mod quota;
mod replicas;
mod requests;

pub use pending::{Circumstances, product};
pub use queue::{cause as cause_in_queue, limits as limits_of_queue, position as position_in_queue};
pub use quota::{holders_in, is_short};
pub use requests::{amount_of, requests};

use super::names::{HASH, MAIN, QUEUE, STOPPED, WAITS_FOR_SECRET};
use crate::{End, Observation, PendingCause, Replica, TaskState};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

/// The object that a task is.
#[derive(Clone, Debug)]
pub enum Found {
    Job(Box<Job>),
    Server(Box<Deployment>),
}

impl Found {
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Job(job) => &job.metadata,
            Self::Server(server) => &server.metadata,
        }
    }
    pub fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }
    pub fn namespace(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }
    pub fn hash(&self) -> &str {
        annotation(self.meta(), HASH).unwrap_or_default()
    }
    /// Somebody asked it to end.
    pub fn is_stopped(&self) -> bool {
        annotation(self.meta(), STOPPED).is_some()
    }
    pub fn waits_for_secret(&self) -> Option<&str> {
        annotation(self.meta(), WAITS_FOR_SECRET)
    }

    /// The queue of Kueue in which it was put. Kueue holds it back and lets it begin, and may do both again.
    pub fn queue(&self) -> Option<&str> {
        self.meta().labels.as_ref()?.get(QUEUE).map(String::as_str)
    }
    /// Whether it waits there.
    pub fn is_in_queue(&self) -> bool {
        matches!(self, Self::Job(job) if self.queue().is_some() && self.is_held_back(job))
    }

    /// Those of `pods` that belong to this very object: one of an earlier object of the same name may still be ending.
    pub fn pods<'a>(&self, pods: &'a [Pod]) -> Vec<&'a Pod> {
        let mut mine: Vec<&Pod> = match self {
            Self::Job(job) => pods.iter().filter(|p| is_owned_by(p, job.metadata.uid.as_deref())).collect(),
            // Between it and its pods is a ReplicaSet that nobody else needs to know: what is older than the Deployment is not its own.
            Self::Server(server) => {
                let born = server.metadata.creation_timestamp.as_ref();
                pods.iter().filter(|p| p.metadata.creation_timestamp.as_ref() >= born).collect()
            }
        };
        mine.sort_by_key(|p| p.metadata.creation_timestamp.as_ref().map(|t| t.0));
        mine
    }

    /// The pod whose output is this task's: the last that is not going away, or else the last; of several, the first of them.
    pub fn pod<'a>(&self, pods: &'a [Pod]) -> Option<&'a Pod> {
        let mut mine = self.pods(pods);
        if self.nodes() > 1 {
            mine.retain(|p| nodes::index(p) == Some(0));
        }
        mine.iter().rev().find(|p| p.metadata.deletion_timestamp.is_none()).or(mine.last()).copied()
    }

    /// The pod of which to ask what it waits for: the first of several that does not run.
    pub fn waiting<'a>(&self, pods: &'a [Pod]) -> Option<&'a Pod> {
        if self.nodes() == 1 {
            return self.pod(pods);
        }
        nodes::latest(self.pods(pods)).into_values().find(|p| !is_running(p))
    }

    /// How many pods it is at once.
    pub fn nodes(&self) -> u32 {
        match self {
            Self::Job(job) => job.spec.as_ref().and_then(|s| s.completions).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            Self::Server(_) => 1,
        }
    }

    pub fn observation(&self, pods: &[Pod], circumstances: &Circumstances) -> Observation {
        let (state, replicas, wanted) = match self {
            Self::Job(job) if self.nodes() > 1 => (nodes::state(self, job, self.pods(pods), circumstances), Vec::new(), 0),
            Self::Job(job) => (self.job_state(job, self.pod(pods), circumstances), Vec::new(), 0),
            Self::Server(server) => {
                let mine = self.pods(pods);
                let wanted = server.spec.as_ref().and_then(|s| u32::try_from(s.replicas?).ok()).unwrap_or(1);
                (self.server_state(server, &mine, circumstances), self.replicas(server, &mine, circumstances), wanted)
            }
        };
        Observation { name: self.name().to_owned(), hash: self.hash().to_owned(), state, replicas, wanted }
    }

    /// What one waits for that is held back.
    fn held_by(&self, circumstances: &Circumstances) -> PendingCause {
        match (self.queue(), &circumstances.queued) {
            (None, _) => PendingCause::Suspended,
            (Some(_), Some(cause)) => cause.clone(),
            (Some(queue), None) => PendingCause::Queue { position: 0, queue: queue.to_owned(), short: Vec::new(), interrupted: false },
        }
    }

    /// Somebody else has suspended the Job: its pods go away, and come again when it is resumed. One that has finished stays so.
    fn is_held_back(&self, job: &Job) -> bool {
        let finished = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let finished = finished.into_iter().any(|c| c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed"));
        let suspended = job.spec.as_ref().and_then(|s| s.suspend) == Some(true);
        suspended && !finished && !self.is_stopped() && self.waits_for_secret().is_none()
    }

    fn job_state(&self, job: &Job, pod: Option<&Pod>, circumstances: &Circumstances) -> TaskState {
        if self.is_held_back(job) && pod.is_none_or(|p| p.metadata.deletion_timestamp.is_some() && !is_running(p)) {
            return TaskState::Pending(self.held_by(circumstances));
        }
        if let Some(pod) = pod {
            if let Some(end) = ended::of_pod(pod, self.is_stopped(), circumstances.now) {
                return TaskState::Ended(end);
            }
            if let Some(running) = running(pod) {
                return running;
            }
        }
        if let Some(end) = ended::without_pod(job, self.is_stopped(), pod.is_some(), &circumstances.events) {
            return TaskState::Ended(end);
        }
        if let Some(secret) = self.waits_for_secret() {
            return TaskState::Pending(PendingCause::Secret { secret: secret.to_owned() });
        }
        TaskState::Pending(pending::cause(pod, circumstances))
    }

    fn server_state(&self, server: &Deployment, pods: &[&Pod], circumstances: &Circumstances) -> TaskState {
        let staying: Vec<&Pod> = pods.iter().filter(|p| p.metadata.deletion_timestamp.is_none() && !ended::is_over(p)).copied().collect();
        // The cluster starts them again, each by itself: as long as one answers or is on its way, there is a server.
        let ends: Vec<End> = staying.iter().filter_map(|p| replicas::failed(p)).collect();
        if let Some(end) = ends.first().filter(|_| ends.len() == staying.len() && !self.is_stopped()) {
            return TaskState::Ended(end.clone());
        }
        // One that is going away still runs, and holds what it holds.
        let there = pods.iter().filter(|p| !ended::is_given_up(p, circumstances.now));
        if let Some(running) = staying.iter().chain(there).find_map(|p| running(p)) {
            return running;
        }
        if self.is_stopped() {
            return TaskState::Ended(End::Signalled { signal: 15 });
        }
        if let Some(secret) = self.waits_for_secret() {
            return TaskState::Pending(PendingCause::Secret { secret: secret.to_owned() });
        }
        let pod = staying.last().copied();
        TaskState::Pending(match pod {
            None => pending::of_deployment(server).unwrap_or(PendingCause::Starting),
            Some(_) => pending::cause(pod, circumstances),
        })
    }

    fn replicas(&self, server: &Deployment, pods: &[&Pod], circumstances: &Circumstances) -> Vec<Replica> {
        replicas::of_server(server, pods, self.hash(), circumstances)
    }
}

fn is_owned_by(pod: &Pod, uid: Option<&str>) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|o| Some(o.uid.as_str()) == uid)
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Of the container that does the work.
pub fn main_status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|c| c.name == MAIN)
}

pub fn is_running(pod: &Pod) -> bool {
    running(pod).is_some()
}

fn running(pod: &Pod) -> Option<TaskState> {
    let since = main_status(pod)?.state.as_ref()?.running.as_ref()?.started_at.as_ref().map_or(0, millis);
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    Some(TaskState::Running { since, node })
}

fn millis(time: &Time) -> i64 {
    time.0.as_millisecond()
}

#[cfg(test)]
mod lost_tests;
#[cfg(test)]
mod tests;
