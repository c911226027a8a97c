//! How a task ended.

use super::{main_status, millis};
use crate::End;
use k8s_openapi::api::{
    batch::v1::{Job, JobCondition},
    core::v1::{ContainerStateTerminated, Event, Pod},
};

/// What the kubelet reports of a container that it did not see end.
const UNSEEN: &str = "ContainerStatusUnknown";
/// Why a Job failed, a pod of which was taken away by the cluster.
const BY_POLICY: &str = "PodFailurePolicy";

/// Milliseconds after its grace time that a pod which is going away may still be there: a node that answers kills at the end of that time,
/// and tells of it within seconds.
const SILENCE: i64 = 60_000;

/// Its node is done with it: no container of it is started again.
pub fn is_over(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|s| matches!(s.phase.as_deref(), Some("Failed" | "Succeeded")))
}

/// Its time to go is long past, and no node says that it went: the node is silent, or there is none. What still runs there, nobody sees. The
/// API server keeps such a pod, as running, until the node comes back or is removed, which may be never.
pub fn is_given_up(pod: &Pod, now: Option<i64>) -> bool {
    let Some(over) = pod.metadata.deletion_timestamp.as_ref() else { return false };
    now.is_some_and(|now| now - millis(over) > SILENCE) && !is_over(pod) && terminated(pod).is_none()
}

/// `stopped`: we asked it to end, by the same means that the cluster uses at a deadline. `now`: see [`super::Circumstances`].
pub fn of_pod(pod: &Pod, stopped: bool, now: Option<i64>) -> Option<End> {
    let status = pod.status.as_ref()?;
    let terminated = terminated(pod);
    if is_given_up(pod, now) {
        return Some(if stopped { End::Signalled { signal: 15 } } else { taken_away(pod).unwrap_or(End::NodeLost) });
    }
    if !is_over(pod) && terminated.is_none() {
        return None;
    }
    if let Some(end) = taken_away(pod) {
        return Some(end);
    }
    let by_itself = terminated.filter(|t| t.reason.as_deref() != Some(UNSEEN));
    match status.reason.as_deref() {
        Some("DeadlineExceeded") if !stopped => return Some(End::Deadline),
        Some("DeadlineExceeded") | None => {}
        Some("NodeLost" | "NodeAffinity") => return Some(End::NodeLost),
        // Refused or ended by the node: `Evicted`, `OutOfcpu`, `Terminated`, `NodeShutdown`...
        Some(reason) => return Some(End::Evicted { why: status.message.clone().unwrap_or_else(|| reason.to_owned()) }),
    }
    match by_itself {
        Some(t) if !stopped && ended_by_deletion(pod, t) => Some(End::Removed),
        Some(t) => Some(exit(t)),
        None if stopped => Some(End::Signalled { signal: 15 }),
        None => Some(init_container(pod).unwrap_or(End::NodeLost)),
    }
}

/// The last end of a server's container, which the cluster starts again where it was.
pub fn of_container(pod: &Pod) -> Option<End> {
    terminated(pod).or_else(|| main_status(pod)?.last_state.as_ref()?.terminated.as_ref()).map(exit)
}

/// A Job whose pod is gone, or that never had one.
pub fn without_pod(job: &Job, stopped: bool, has_pod: bool, events: &[Event]) -> Option<End> {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_ref());
    let failed = conditions.into_iter().flatten().find(|c| is_failed(c));
    // See `stop`: either of them keeps it from ever having a pod.
    let suspended = job.spec.as_ref().is_some_and(|s| s.suspend == Some(true) || s.parallelism == Some(0));
    if stopped && (failed.is_some() || (suspended && !has_pod)) {
        return Some(End::Signalled { signal: 15 });
    }
    let complete = conditions.into_iter().flatten().any(|c| c.type_ == "Complete" && c.status == "True");
    if complete {
        return Some(End::Exited { status: 0 });
    }
    match failed?.reason.as_deref() {
        Some("DeadlineExceeded") => Some(End::Deadline),
        Some(BY_POLICY) => Some(why_gone(events)),
        _ => Some(End::Removed),
    }
}

/// A Job that failed because the cluster took one of its pods away.
pub fn by_policy(job: &Job, events: &[Event]) -> Option<End> {
    let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|c| is_failed(c) && c.reason.as_deref() == Some(BY_POLICY)).map(|_| why_gone(events))
}

fn is_failed(condition: &JobCondition) -> bool {
    condition.status == "True" && matches!(condition.type_.as_str(), "Failed" | "FailureTarget")
}

/// A pod that was taken away is told by events for an hour. One of which nothing is known went with its node.
fn why_gone(events: &[Event]) -> End {
    let last = events.iter().rev().find(|e| matches!(e.reason.as_deref(), Some("Evicted" | "Preempted" | "Preempting")));
    match last {
        Some(event) => End::Evicted { why: event.message.clone().unwrap_or_default() },
        None => End::NodeLost,
    }
}

/// By the condition that the cluster sets before it ends a pod itself.
fn taken_away(pod: &Pod) -> Option<End> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let disrupted = conditions.iter().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    match disrupted.reason.as_deref() {
        Some("DeletionByTaintManager" | "DeletionByPodGC") => Some(End::NodeLost),
        reason => {
            let said = disrupted.message.clone().filter(|m| !m.is_empty());
            let status = pod.status.as_ref().and_then(|s| s.message.clone()).filter(|m| !m.is_empty());
            Some(End::Evicted { why: status.or(said).or_else(|| reason.map(str::to_owned)).unwrap_or_default() })
        }
    }
}

/// The second in which somebody deleted the pod. The time of a deletion is when the grace time is over.
pub fn asked_to_go(pod: &Pod) -> Option<i64> {
    let over = pod.metadata.deletion_timestamp.as_ref()?;
    Some(over.0.as_second() - pod.metadata.deletion_grace_period_seconds.unwrap_or(0))
}

/// Somebody deleted the pod while it worked.
fn ended_by_deletion(pod: &Pod, terminated: &ContainerStateTerminated) -> bool {
    let Some(asked) = asked_to_go(pod) else { return false };
    terminated.finished_at.as_ref().is_none_or(|t| t.0.as_second() >= asked)
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    main_status(pod)?.state.as_ref()?.terminated.as_ref()
}

/// What was to bring the program failed: the work never began.
fn init_container(pod: &Pod) -> Option<End> {
    let statuses = pod.status.as_ref()?.init_container_statuses.as_ref()?;
    let failed = statuses.iter().filter_map(|c| c.state.as_ref()?.terminated.as_ref()).find(|t| t.exit_code != 0);
    failed.map(exit)
}

fn exit(terminated: &ContainerStateTerminated) -> End {
    let status = terminated.exit_code;
    // One that ended well in spite of a process that the kernel took from it, ended well.
    if terminated.reason.as_deref() == Some("OOMKilled") && status != 0 {
        return End::OutOfMemory;
    }
    match status {
        // The way in which runtimes tell a signal; they have no other.
        129..=192 => End::Signalled { signal: status - 128 },
        _ => End::Exited { status },
    }
}
