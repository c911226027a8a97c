//! The pods of a server, one by one.

use super::{annotation, ended, main_status, millis, pending};
use crate::{End, PendingCause, Replica, ReplicaState, kubernetes::names};
use domain::time::{SECOND, Timestamp};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, PodCondition},
};

/// Those of a server that there are and those that should be; `hash`: of the task as it is now.
pub fn of_server(server: &Deployment, pods: &[&Pod], hash: &str, circumstances: &pending::Circumstances) -> Vec<Replica> {
    let wanted = server.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let mut out: Vec<Replica> = pods.iter().filter_map(|pod| of_pod(pod, hash, circumstances)).collect();
    // A pod that its node has given up is kept by the cluster for long; it says something only while another is missing.
    let ready = out.iter().filter(|r| r.is_ready()).count();
    if i32::try_from(ready).is_ok_and(|ready| ready >= wanted) {
        out.retain(|r| pods.iter().all(|p| p.metadata.name.as_deref() != Some(&r.name) || !ended::is_over(p)));
    }
    let staying = pods.iter().filter(|p| p.metadata.deletion_timestamp.is_none() && !ended::is_over(p)).count();
    if i32::try_from(staying).is_ok_and(|staying| staying < wanted)
        && let Some(cause) = pending::of_deployment(server)
    {
        let state = ReplicaState::Waiting { cause };
        out.push(Replica { state, ..replica(String::new()) });
    }
    out
}

fn of_pod(pod: &Pod, hash: &str, circumstances: &pending::Circumstances) -> Option<Replica> {
    let (state, since) = state(pod, circumstances)?;
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    Some(Replica {
        node,
        since,
        restarts: main_status(pod).and_then(|s| u32::try_from(s.restart_count).ok()).unwrap_or(0),
        outdated: annotation(&pod.metadata, names::HASH) != Some(hash),
        address: address(pod),
        state,
        ..replica(pod.metadata.name.clone().unwrap_or_default())
    })
}

fn replica(name: String) -> Replica {
    Replica {
        name,
        state: ReplicaState::Loading,
        node: String::new(),
        since: None,
        restarts: 0,
        outdated: false,
        address: None,
        adapters: Vec::new(),
    }
}

/// None: it is as good as gone.
fn state(pod: &Pod, circumstances: &pending::Circumstances) -> Option<(ReplicaState, Option<Timestamp>)> {
    let at = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| Timestamp(millis(time));
    let running = super::running(pod).is_some() && !ended::is_given_up(pod, circumstances.now);
    if let Some(over) = &pod.metadata.deletion_timestamp {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        return running.then(|| (ReplicaState::Draining, Some(at(over).plus(-grace * SECOND))));
    }
    if let Some(end) = failed(pod) {
        let status = main_status(pod);
        let terminated = status.and_then(|s| s.state.as_ref()?.terminated.as_ref().or(s.last_state.as_ref()?.terminated.as_ref()));
        return Some((ReplicaState::Failed { end }, terminated.and_then(|t| t.finished_at.as_ref()).map(at)));
    }
    if is_ready(pod) {
        return Some((ReplicaState::Ready, ready_condition(pod).and_then(|c| c.last_transition_time.as_ref()).map(at)));
    }
    if let Some(crate::TaskState::Running { since, .. }) = super::running(pod) {
        return Some((ReplicaState::Loading, Some(Timestamp(since))));
    }
    let cause: PendingCause = pending::cause(Some(pod), circumstances);
    Some((ReplicaState::Waiting { cause }, pod.metadata.creation_timestamp.as_ref().map(at)))
}

/// How it ended, if it has, and has not answered since the cluster started it anew in its place.
pub fn failed(pod: &Pod) -> Option<End> {
    if ended::is_over(pod) {
        return ended::of_pod(pod, false, None);
    }
    if is_ready(pod) || has_answered(pod) {
        return None;
    }
    ended::of_container(pod)
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == "Ready")
}

pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && super::running(pod).is_some() && ready_condition(pod).is_some_and(|c| c.status == "True")
}

/// It is not ready now, but was after its container was started last.
fn has_answered(pod: &Pod) -> bool {
    let Some(crate::TaskState::Running { since, .. }) = super::running(pod) else { return false };
    ready_condition(pod).and_then(|c| c.last_transition_time.as_ref()).is_some_and(|changed| millis(changed) > since)
}

fn address(pod: &Pod) -> Option<String> {
    super::running(pod)?;
    let ip = pod.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())?;
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    Some(format!("http://{host}:{}", names::PORT))
}
