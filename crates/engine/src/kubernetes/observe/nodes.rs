//! A task whose pods start and end together, one on each of its nodes.

use super::{Circumstances, Found, ended, pending, running};
use crate::{End, PendingCause, TaskState, kubernetes::names};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use std::collections::BTreeMap;

/// The pod's number, from 0.
pub fn index(pod: &Pod) -> Option<u32> {
    pod.metadata.labels.as_ref()?.get(names::INDEX)?.parse().ok()
}

/// The last pod of each number; `pods` from the oldest on.
pub fn latest(pods: Vec<&Pod>) -> BTreeMap<u32, &Pod> {
    pods.into_iter().filter_map(|p| Some((index(p)?, p))).collect()
}

pub fn state(found: &Found, job: &Job, pods: Vec<&Pod>, circumstances: &Circumstances) -> TaskState {
    let (of, any) = (found.nodes(), !pods.is_empty());
    if found.is_held_back(job) && pods.iter().all(|p| p.metadata.deletion_timestamp.is_some() && running(p).is_none()) {
        return TaskState::Pending(found.held_by(circumstances));
    }
    let pods = latest(pods);
    let ends: Vec<(&Pod, End)> =
        pods.values().filter_map(|p| Some((*p, ended::of_pod(p, found.is_stopped(), circumstances.now)?))).collect();
    let at_work: Vec<TaskState> =
        pods.values().filter(|p| !ends.iter().any(|(e, _)| e.metadata.name == p.metadata.name)).filter_map(|p| running(p)).collect();
    let well = ends.iter().filter(|(_, end)| *end == End::Exited { status: 0 }).count();
    let failed = ends.len() > well;
    // One that failed takes the others with it; until they are gone, the task is not.
    if !at_work.is_empty() && (failed || at_work.len() + well >= of as usize) {
        return together(at_work);
    }
    if failed {
        let end = first_cause(ends);
        // The one that the cluster took away may be gone already, and those that are left say only that they missed it.
        let taken = (!end.explains_a_stop() && !found.is_stopped()).then(|| ended::by_policy(job, &circumstances.events)).flatten();
        return TaskState::Ended(taken.unwrap_or(end));
    }
    if well >= of as usize {
        return TaskState::Ended(End::Exited { status: 0 });
    }
    if let Some(end) = ended::without_pod(job, found.is_stopped(), any, &circumstances.events) {
        return TaskState::Ended(end);
    }
    if let Some(secret) = found.waits_for_secret() {
        return TaskState::Pending(PendingCause::Secret { secret: secret.to_owned() });
    }
    // A number without a pod waits for the Job to be allowed one.
    let waits = (0..of).find(|n| pods.get(n).is_none_or(|p| running(p).is_none())).and_then(|n| pods.get(&n).copied());
    let cause = Box::new(pending::cause(waits, circumstances));
    TaskState::Pending(PendingCause::Partly { running: u32::try_from(at_work.len()).unwrap_or(of), of, cause })
}

/// Since the last of them runs, on all of their nodes.
fn together(states: Vec<TaskState>) -> TaskState {
    let mut nodes = Vec::new();
    let mut latest = 0;
    for state in states {
        if let TaskState::Running { since, node } = state {
            latest = latest.max(since);
            nodes.push(node);
        }
    }
    nodes.dedup();
    TaskState::Running { since: latest, node: nodes.join(", ") }
}

/// The end that explains those of the others: the cluster or somebody took one away, or memory ran out; else whichever came first.
fn first_cause(mut ends: Vec<(&Pod, End)>) -> End {
    let over = |pod: &Pod| super::main_status(pod)?.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|t| t.0.as_second());
    let by_itself = |end: &End| matches!(end, End::Exited { status: 1.. } | End::Signalled { .. });
    let first = ends.iter().filter(|(_, end)| by_itself(end)).filter_map(|(pod, _)| over(pod)).min();
    // The Job deletes the others when one has failed, and takes a second to do so.
    let because_of_it = |pod: &Pod| first.is_some_and(|first| ended::asked_to_go(pod).is_some_and(|asked| asked > first));
    let rank = |pod: &Pod, end: &End| match end {
        End::OutOfMemory | End::Evicted { .. } | End::NodeLost | End::Deadline => 0,
        End::Removed if !because_of_it(pod) => 1,
        End::Exited { status: 0 } => 4,
        // Ended because another one was.
        End::Removed | End::Signalled { signal: 15 } => 3,
        End::Exited { .. } | End::Signalled { .. } => 2,
    };
    ends.sort_by_key(|(pod, end)| (rank(pod, end), over(pod)));
    ends.into_iter().next().map_or(End::Removed, |(_, end)| end)
}
