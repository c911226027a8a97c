//! Objects as a real cluster had them, cut to what is read.

use super::*;
use crate::{Amount, ReplicaState, Shortage};
use k8s_openapi::api::core::v1::{Event, Node};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(super) fn typed<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

pub(super) fn job(annotations: Value, spec: Value, conditions: Value) -> Found {
    let mut annotations = annotations;
    annotations[HASH] = json!("abc");
    Found::Job(Box::new(typed(json!({
        "metadata": { "name": "job-1", "namespace": "atelier-acme", "uid": "u1", "annotations": annotations },
        "spec": spec, "status": { "conditions": conditions },
    }))))
}

pub(super) fn a_job() -> Found {
    job(json!({}), json!({ "template": {} }), json!([]))
}

pub(super) fn a_stopped_job() -> Found {
    job(json!({ STOPPED: "true" }), json!({ "template": {} }), json!([]))
}

pub(super) fn pod(status: Value) -> Pod {
    typed(json!({
        "metadata": { "name": "job-1-x", "creationTimestamp": "2026-11-22T07:30:00Z", "ownerReferences": [owner("u1")] },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "main", "resources": { "requests": { "memory": "64Gi", "nvidia.com/gpu": "2" } } }] },
        "status": status,
    }))
}

fn owner(uid: &str) -> Value {
    json!({ "apiVersion": "batch/v1", "kind": "Job", "name": "job-1", "uid": uid })
}

pub(super) fn main_container(state: Value) -> Value {
    json!([{ "name": "main", "image": "trainer:1", "imageID": "", "ready": false, "restartCount": 0, "state": state }])
}

fn terminated(code: i32, reason: &str) -> Value {
    main_container(json!({ "terminated": { "exitCode": code, "reason": reason, "finishedAt": "2026-11-22T07:31:00Z" } }))
}

pub(super) fn state(found: &Found, pod: Option<Pod>, circumstances: &Circumstances) -> TaskState {
    found.observation(&pod.into_iter().collect::<Vec<_>>(), circumstances).state
}

fn end(found: &Found, status: Value) -> End {
    match state(found, Some(pod(status)), &Circumstances::default()) {
        TaskState::Ended(end) => end,
        other => panic!("{other:?}"),
    }
}

fn waits(pod: Option<Pod>, circumstances: &Circumstances) -> PendingCause {
    match state(&a_job(), pod, circumstances) {
        TaskState::Pending(cause) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_way_to_end_is_told_apart() {
    let failed = |containers: Value| json!({ "phase": "Failed", "containerStatuses": containers });
    assert_eq!(end(&a_job(), json!({ "phase": "Succeeded", "containerStatuses": terminated(0, "Completed") })), End::Exited { status: 0 });
    assert_eq!(end(&a_job(), failed(terminated(7, "Error"))), End::Exited { status: 7 });
    assert_eq!(end(&a_job(), failed(terminated(134, "Error"))), End::Signalled { signal: 6 });
    assert_eq!(end(&a_job(), failed(terminated(137, "OOMKilled"))), End::OutOfMemory);
    assert_eq!(end(&a_job(), failed(terminated(0, "OOMKilled"))), End::Exited { status: 0 }, "it ended well in spite of it");
    let late = json!({ "phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": terminated(5, "Error") });
    assert_eq!(end(&a_job(), late.clone()), End::Deadline);
    assert_eq!(end(&a_stopped_job(), late), End::Exited { status: 5 }, "a stop uses the same means");
    let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." });
    assert_eq!(end(&a_job(), evicted), End::Evicted { why: "The node was low on resource: memory.".into() });
    let taken = |reason| {
        json!({ "phase": "Failed", "containerStatuses": terminated(137, "Error"),
                "conditions": [{ "type": "DisruptionTarget", "status": "True", "reason": reason, "message": "for node-1" }] })
    };
    assert_eq!(end(&a_job(), taken("EvictionByEvictionAPI")), End::Evicted { why: "for node-1".into() });
    assert_eq!(end(&a_job(), taken("DeletionByTaintManager")), End::NodeLost);
    assert_eq!(end(&a_job(), failed(terminated(137, "ContainerStatusUnknown"))), End::NodeLost);
    let program = json!({ "phase": "Failed", "initContainerStatuses": [{ "name": "program", "image": "", "imageID": "", "ready": false,
        "restartCount": 0, "state": { "terminated": { "exitCode": 3 } } }] });
    assert_eq!(end(&a_job(), program), End::Exited { status: 3 }, "what brings the program failed");
}

#[test]
fn a_pod_that_somebody_deleted_while_it_worked_was_removed() {
    let mut deleted = pod(json!({ "phase": "Failed", "containerStatuses": terminated(143, "Error") }));
    deleted.metadata.deletion_timestamp = Some(typed(json!("2026-11-22T07:31:10Z")));
    deleted.metadata.deletion_grace_period_seconds = Some(20);
    assert_eq!(state(&a_job(), Some(deleted.clone()), &Circumstances::default()), TaskState::Ended(End::Removed));
    assert_eq!(state(&a_stopped_job(), Some(deleted.clone()), &Circumstances::default()), TaskState::Ended(End::Signalled { signal: 15 }));
    deleted.metadata.deletion_timestamp = Some(typed(json!("2026-11-22T08:00:00Z")));
    assert_eq!(
        state(&a_job(), Some(deleted), &Circumstances::default()),
        TaskState::Ended(End::Signalled { signal: 15 }),
        "it had ended long before"
    );
}

#[test]
fn a_job_that_somebody_suspended_waits_and_its_pod_that_went_has_not_ended_it() {
    let held = job(json!({}), json!({ "template": {}, "suspend": true }), json!([]));
    let mut going = pod(json!({ "phase": "Failed", "containerStatuses": terminated(143, "Error") }));
    going.metadata.deletion_timestamp = Some(typed(json!("2026-11-22T07:31:10Z")));
    for pod in [None, Some(going)] {
        assert_eq!(state(&held, pod, &Circumstances::default()), TaskState::Pending(PendingCause::Suspended));
    }
    let over = pod(json!({ "phase": "Failed", "containerStatuses": terminated(7, "Error") }));
    assert_eq!(state(&held, Some(over), &Circumstances::default()), TaskState::Ended(End::Exited { status: 7 }), "it had ended before");
}

#[test]
fn a_job_remembers_how_it_ended_when_its_pod_is_gone() {
    let failed = |annotations: Value, reason: &str| {
        job(annotations, json!({ "template": {} }), json!([{ "type": "Failed", "status": "True", "reason": reason }]))
    };
    let nothing = Circumstances::default();
    assert_eq!(state(&failed(json!({}), "BackoffLimitExceeded"), None, &nothing), TaskState::Ended(End::Removed));
    assert_eq!(state(&failed(json!({}), "PodFailurePolicy"), None, &nothing), TaskState::Ended(End::NodeLost));
    let events: Vec<Event> =
        typed(json!([{ "metadata": {}, "involvedObject": {}, "reason": "Preempted", "message": "by a pod of higher priority" }]));
    let told = Circumstances { events, ..Circumstances::default() };
    assert_eq!(
        state(&failed(json!({}), "PodFailurePolicy"), None, &told),
        TaskState::Ended(End::Evicted { why: "by a pod of higher priority".into() })
    );
    assert_eq!(
        state(&failed(json!({ STOPPED: "true" }), "BackoffLimitExceeded"), None, &nothing),
        TaskState::Ended(End::Signalled { signal: 15 })
    );
    let suspended = job(json!({ STOPPED: "true", WAITS_FOR_SECRET: "hub" }), json!({ "template": {}, "suspend": true }), json!([]));
    assert_eq!(state(&suspended, None, &nothing), TaskState::Ended(End::Signalled { signal: 15 }), "stopped before it started");
}

#[test]
fn a_running_pod_says_where_and_since_when_and_one_of_an_earlier_job_does_not_count() {
    let running = pod(
        json!({ "phase": "Running", "containerStatuses": main_container(json!({ "running": { "startedAt": "2026-11-22T07:30:05Z" } })) }),
    );
    let seen = state(&a_job(), Some(running.clone()), &Circumstances::default());
    assert_eq!(seen, TaskState::Running { since: 1_795_332_605_000, node: "node-1".into() });
    let mut earlier = running;
    earlier.metadata.owner_references = Some(vec![typed(owner("u0"))]);
    assert_eq!(state(&a_job(), Some(earlier), &Circumstances::default()), TaskState::Pending(PendingCause::Starting));
}

fn event(reason: &str, message: &str) -> Circumstances {
    Circumstances {
        events: typed(json!([{ "metadata": {}, "involvedObject": {}, "reason": reason, "message": message }])),
        ..Circumstances::default()
    }
}

fn short_of_memory(needs: u64, used: u64, most: u64) -> PendingCause {
    let gib = |n: u64| Amount::Memory { bytes: n << 30 };
    let short = vec![Shortage { needs: gib(needs), used: gib(used), most: gib(most) }];
    PendingCause::Quota { what: "memory".into(), short, holders: Vec::new() }
}

#[test]
fn the_tasks_that_have_what_is_short_are_named_and_no_others() {
    let pod = |task: &str, phase: &str, requests: Value| -> Pod {
        typed(json!({ "metadata": { "labels": { "atelier.dev/task": task } }, "status": { "phase": phase },
            "spec": { "containers": [{ "name": "main", "resources": { "requests": requests } }] } }))
    };
    let gpu = || json!({ "nvidia.com/gpu": "1", "memory": "1Gi" });
    let pods = [
        pod("run-2-train", "Running", gpu()),
        pod("ep-1-1", "Pending", gpu()),
        pod("ep-1-1", "Pending", gpu()),
        pod("run-0-train", "Succeeded", gpu()),
        pod("run-3-train", "Running", json!({ "memory": "1Gi" })),
        pod("run-1-train", "Pending", gpu()),
    ];
    let cause = PendingCause::Quota { what: "gpus".into(), short: Vec::new(), holders: Vec::new() };
    let PendingCause::Quota { holders, .. } = quota::with_holders(cause, "run-1-train", &pods) else { panic!() };
    assert_eq!(holders, ["ep-1-1", "run-2-train"]);
}

#[test]
fn what_the_api_server_refuses_is_told_by_the_events_of_the_job() {
    let quota = "Error creating: pods \"job-1-x\" is forbidden: exceeded quota: atelier, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2";
    let gpus = |count| Amount::Gpus { count, product: None };
    let short = vec![Shortage { needs: gpus(2), used: gpus(2), most: gpus(2) }];
    assert_eq!(waits(None, &event("FailedCreate", quota)), PendingCause::Quota { what: "gpus".into(), short, holders: Vec::new() });
    let mig = "pods \"x\" is forbidden: exceeded quota: q, requested: requests.nvidia.com/mig-1g.10gb=1, used: requests.nvidia.com/mig-1g.10gb=4, limited: requests.nvidia.com/mig-1g.10gb=4";
    assert!(waits(None, &event("FailedCreate", mig)).said().starts_with("Waits for 1 GPU (MIG 1g.10gb): the tenant has 4 GPUs (MIG"));
    let new = "Error creating: pods \"x\" is forbidden: status unknown for quota: atelier, resources: requests.cpu";
    assert_eq!(waits(None, &event("FailedCreate", new)), PendingCause::Starting);
    let both = "Error creating: pods \"x\" is forbidden: exceeded quota: q, requested: limits.memory=8Gi,requests.memory=8Gi, used: limits.memory=8Gi,requests.memory=8Gi, limited: limits.memory=10Gi,requests.memory=10Gi";
    assert_eq!(waits(None, &event("FailedCreate", both)), short_of_memory(8, 8, 10));
    let security = "Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true";
    let PendingCause::Admission { why } = waits(None, &event("FailedCreate", security)) else { panic!() };
    assert_eq!(why, "violates PodSecurity \"restricted:latest\": runAsNonRoot != true");
    assert_eq!(waits(None, &Circumstances::default()), PendingCause::Starting);
}

fn unscheduled(message: &str) -> Pod {
    let mut pod = pod(
        json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message }] }),
    );
    let affinity = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-H200"] }] }] } } });
    pod.spec.as_mut().unwrap().affinity = Some(typed(affinity));
    pod
}

fn node(product: &str, memory: &str, gpus: &str) -> Node {
    typed(json!({ "metadata": { "labels": { "nvidia.com/gpu.product": product } },
                  "status": { "allocatable": { "cpu": "8", "memory": memory, "nvidia.com/gpu": gpus } } }))
}

#[test]
fn whether_a_machine_is_too_small_or_only_busy_is_seen_from_the_nodes() {
    let message =
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 No preemption victims found.";
    let on = |nodes: Vec<Node>| waits(Some(unscheduled(message)), &Circumstances { nodes, ..Circumstances::default() });
    let gpus = |count| Amount::Gpus { count, product: Some("NVIDIA-H200".into()) };
    assert_eq!(on(vec![node("NVIDIA-L4", "512Gi", "8")]), PendingCause::NoNodeFits { needs: gpus(2), has: gpus(0) });
    assert_eq!(on(vec![node("NVIDIA-H200", "512Gi", "1")]), PendingCause::NoNodeFits { needs: gpus(2), has: gpus(1) });
    let memory = |gib: u64| Amount::Memory { bytes: gib << 30 };
    assert_eq!(on(vec![node("NVIDIA-H200", "32Gi", "8")]), PendingCause::NoNodeFits { needs: memory(64), has: memory(32) });
    assert_eq!(on(vec![node("NVIDIA-H200", "512Gi", "8")]), PendingCause::Busy { needs: gpus(2) });
    assert_eq!(on(Vec::new()), PendingCause::Busy { needs: gpus(2) }, "nodes that we may not see are not too small");
    let tainted = "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: infra}. preemption: no";
    let nodes = vec![node("NVIDIA-H200", "512Gi", "8")];
    let PendingCause::Unschedulable { why } = waits(Some(unscheduled(tainted)), &Circumstances { nodes, ..Circumstances::default() })
    else {
        panic!()
    };
    assert_eq!(why, "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: infra}");
}

#[test]
fn images_volumes_and_secrets_that_are_missing_are_told_as_such() {
    let waiting = |reason: &str, message: &str| {
        pod(
            json!({ "phase": "Pending", "containerStatuses": main_container(json!({ "waiting": { "reason": reason, "message": message } })) }),
        )
    };
    let nothing = Circumstances::default();
    assert_eq!(
        waits(Some(waiting("ImagePullBackOff", "Back-off pulling image \"trainer:1\".")), &nothing),
        PendingCause::Image { image: "trainer:1".into(), why: "Back-off pulling image \"trainer:1\"".into() }
    );
    assert_eq!(waits(Some(waiting("ContainerCreating", "")), &nothing), PendingCause::Starting);
    let mount = "MountVolume.SetUp failed for volume \"secrets\" : secret \"atelier-hub\" not found";
    assert_eq!(waits(Some(waiting("ContainerCreating", "")), &event("FailedMount", mount)), PendingCause::Secret { secret: "hub".into() });
    let disk = "MountVolume.SetUp failed for volume \"cache\" : timed out";
    let PendingCause::Volume { volume, .. } = waits(Some(waiting("ContainerCreating", "")), &event("FailedMount", disk)) else { panic!() };
    assert_eq!(volume, "cache");
}

fn server(annotations: Value, conditions: Value) -> Found {
    server_of(1, annotations, conditions)
}

fn server_of(replicas: u32, annotations: Value, conditions: Value) -> Found {
    Found::Server(Box::new(typed(json!({
        "metadata": { "name": "ep-1", "namespace": "atelier-acme", "annotations": annotations, "creationTimestamp": "2026-11-22T07:29:00Z" },
        "spec": { "replicas": replicas, "selector": {}, "template": {} }, "status": { "conditions": conditions },
    }))))
}

fn serving(ready: &str, container: Value) -> Pod {
    let condition = json!([{ "type": "Ready", "status": ready, "lastTransitionTime": "2026-11-22T07:30:00Z" }]);
    pod(json!({ "phase": "Running", "podIP": "10.244.0.7", "conditions": condition, "containerStatuses": container }))
}

fn named(name: &str, mut pod: Pod) -> Pod {
    pod.metadata.name = Some(name.into());
    pod
}

fn runs() -> Value {
    main_container(json!({ "running": { "startedAt": "2026-11-22T07:30:05Z" } }))
}

/// The cluster has started it again once.
fn restarted() -> Value {
    json!([{ "name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 1,
        "state": { "running": { "startedAt": "2026-11-22T07:30:05Z" } }, "lastState": { "terminated": { "exitCode": 1 } } }])
}

fn states(seen: &Observation) -> Vec<&ReplicaState> {
    seen.replicas.iter().map(|r| &r.state).collect()
}

#[test]
fn a_server_is_where_its_pods_are_and_ready_where_they_are() {
    let seen = |pod: Pod| server(json!({}), json!([])).observation(&[pod], &Circumstances::default());
    let loading = seen(serving("False", runs()));
    assert_eq!((states(&loading), loading.ready()), (vec![&ReplicaState::Loading], Vec::new()));
    let ready = seen(serving("True", runs()));
    assert_eq!((states(&ready), ready.ready()), (vec![&ReplicaState::Ready], vec!["http://10.244.0.7:8000".to_owned()]));
    assert_eq!((ready.wanted, ready.replicas[0].node.as_str(), ready.replicas[0].outdated), (1, "node-1", true), "it carries no hash");
    let mut going = serving("True", runs());
    going.metadata.deletion_timestamp = Some(typed(json!("2026-11-22T07:40:00Z")));
    going.metadata.deletion_grace_period_seconds = Some(120);
    let going = seen(going);
    assert!(going.state.is_running() && going.ready().is_empty(), "it holds what it holds, and takes no calls: {going:?}");
    assert_eq!(states(&going), [&ReplicaState::Draining]);
    let asked: Time = typed(json!("2026-11-22T07:38:00Z"));
    assert_eq!(going.replicas[0].since, Some(domain::time::Timestamp(millis(&asked))), "since it was asked to end");
}

#[test]
fn a_server_has_ended_when_every_process_of_it_has_though_the_cluster_restarts_them() {
    let seen = |pods: &[Pod]| server_of(2, json!({}), json!([])).observation(pods, &Circumstances::default());
    let ended = TaskState::Ended(End::Exited { status: 1 });
    let (failed, other) = (named("a", serving("False", restarted())), named("b", serving("False", restarted())));
    assert_eq!(seen(std::slice::from_ref(&failed)).state, ended);
    assert_eq!(seen(&[failed.clone(), other]).state, ended);
    let beside = seen(&[failed.clone(), named("b", serving("True", runs()))]);
    assert!(beside.state.is_running(), "the other answers: {beside:?}");
    assert_eq!(states(&beside), [&ReplicaState::Failed { end: End::Exited { status: 1 } }, &ReplicaState::Ready]);
    assert!(seen(&[failed, named("b", serving("False", runs()))]).state.is_running(), "the other is on its way");
    // It has answered since, whatever it does now.
    assert!(seen(&[named("a", serving("True", restarted()))]).state.is_running());
    let mut busy = serving("False", restarted());
    busy.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].last_transition_time = Some(typed(json!("2026-11-22T09:00:00Z")));
    assert_eq!(states(&seen(&[busy])), [&ReplicaState::Loading], "one that was ready after its restart has not failed again");
}

#[test]
fn a_pod_that_its_node_gave_up_is_no_end_of_its_server() {
    let evicted = named("a", pod(json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." })));
    let alone = server(json!({}), json!([])).observation(std::slice::from_ref(&evicted), &Circumstances::default());
    assert_eq!(alone.state, TaskState::Pending(PendingCause::Starting), "the cluster makes another in its place");
    let end = End::Evicted { why: "The node was low on resource: memory.".into() };
    assert_eq!(states(&alone), [&ReplicaState::Failed { end }]);
    let both = server(json!({}), json!([])).observation(&[evicted, named("b", serving("True", runs()))], &Circumstances::default());
    assert_eq!(states(&both), [&ReplicaState::Ready], "and then it is forgotten");
}

#[test]
fn a_pod_of_before_a_change_is_told_by_the_hash_that_it_carries() {
    let with = |name: &str, hash: &str| {
        let mut pod = named(name, serving("True", runs()));
        pod.metadata.annotations = Some([(HASH.to_owned(), hash.to_owned())].into());
        pod
    };
    let seen = server(json!({ HASH: "new" }), json!([])).observation(&[with("a", "old"), with("b", "new")], &Circumstances::default());
    assert_eq!(seen.replicas.iter().map(|r| r.outdated).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_server_without_a_pod_says_why() {
    let state = |found: Found| found.observation(&[], &Circumstances::default()).state;
    let quota = json!([{ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"ep-1-x\" is forbidden: exceeded quota: q, requested: requests.memory=8Gi, used: requests.memory=8Gi, limited: requests.memory=8Gi" }]);
    let cause = short_of_memory(8, 8, 8);
    assert_eq!(state(server(json!({}), quota.clone())), TaskState::Pending(cause.clone()));
    assert_eq!(state(server(json!({}), json!([]))), TaskState::Pending(PendingCause::Starting));
    assert_eq!(state(server(json!({ STOPPED: "true" }), json!([]))), TaskState::Ended(End::Signalled { signal: 15 }));
    let one_of_two = server_of(2, json!({}), quota).observation(&[serving("True", runs())], &Circumstances::default());
    assert_eq!(states(&one_of_two), [&ReplicaState::Ready, &ReplicaState::Waiting { cause }], "the second is not let in");
    let other = typed(json!({ "metadata": { "labels": { "atelier.dev/task": "run-1-train" } },
        "spec": { "containers": [{ "name": "main", "resources": { "requests": { "memory": "8Gi" } } }] } }));
    assert!(is_short(&one_of_two) && one_of_two.state.is_running());
    let named = holders_in(one_of_two, &[other]);
    let ReplicaState::Waiting { cause: PendingCause::Quota { holders, .. } } = &named.replicas[1].state else { panic!() };
    assert_eq!(holders, &["run-1-train"]);
}

/// Of two, with its number.
pub(super) fn pod_of_two(index: u32, status: Value) -> Pod {
    let mut pod = pod(status);
    pod.metadata.name = Some(format!("job-1-{index}-x"));
    pod.metadata.labels = Some([(crate::kubernetes::names::INDEX.to_owned(), index.to_string())].into());
    pod.spec.as_mut().unwrap().node_name = Some(format!("node-{index}"));
    pod
}

pub(super) fn over_two_nodes(pods: Vec<Pod>) -> TaskState {
    let spec = json!({ "template": {}, "completionMode": "Indexed", "completions": 2, "parallelism": 2 });
    job(json!({}), spec, json!([])).observation(&pods, &Circumstances::default()).state
}

pub(super) fn started(at: &str) -> Value {
    json!({ "phase": "Running", "containerStatuses": main_container(json!({ "running": { "startedAt": at } })) })
}

pub(super) fn over(code: i32, reason: &str) -> Value {
    json!({ "phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": terminated(code, reason) })
}

#[test]
fn pods_that_start_together_wait_until_all_have_a_place() {
    let (early, late) = ("2026-11-22T07:30:10Z", "2026-11-22T07:30:20Z");
    let busy = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu." }] });
    let waits = over_two_nodes(vec![pod_of_two(0, started(early)), pod_of_two(1, busy)]);
    let cause = Box::new(PendingCause::Busy { needs: Amount::Gpus { count: 2, product: None } });
    assert_eq!(waits, TaskState::Pending(PendingCause::Partly { running: 1, of: 2, cause }));
    let none = over_two_nodes(Vec::new());
    assert_eq!(none, TaskState::Pending(PendingCause::Partly { running: 0, of: 2, cause: Box::new(PendingCause::Starting) }));
    let both = over_two_nodes(vec![pod_of_two(1, started(late)), pod_of_two(0, started(early))]);
    assert!(matches!(&both, TaskState::Running { node, since } if node == "node-0, node-1" && since % 60_000 == 20_000), "{both:?}");
    let one_is_done = over_two_nodes(vec![pod_of_two(0, started(early)), pod_of_two(1, over(0, "Completed"))]);
    assert!(one_is_done.is_running(), "{one_is_done:?}");
}

#[test]
fn pods_that_start_together_end_together_with_the_cause_that_explains_the_rest() {
    let of = |first: (i32, &str), second: (i32, &str)| {
        over_two_nodes(vec![pod_of_two(0, over(first.0, first.1)), pod_of_two(1, over(second.0, second.1))])
    };
    assert_eq!(of((0, "Completed"), (0, "Completed")), TaskState::Ended(End::Exited { status: 0 }));
    assert_eq!(of((1, "Error"), (137, "OOMKilled")), TaskState::Ended(End::OutOfMemory));
    assert_eq!(of((143, "Error"), (3, "Error")), TaskState::Ended(End::Exited { status: 3 }), "the first was only ended with it");
    let going = over_two_nodes(vec![pod_of_two(0, started("2026-11-22T07:30:10Z")), pod_of_two(1, over(3, "Error"))]);
    assert!(going.is_running(), "one still writes: {going:?}");
}

#[test]
fn the_output_of_pods_that_start_together_is_the_first_ones() {
    let spec = json!({ "template": {}, "completionMode": "Indexed", "completions": 2, "parallelism": 2 });
    let job = job(json!({}), spec, json!([]));
    let pods = [pod_of_two(1, started("2026-11-22T07:30:10Z")), pod_of_two(0, json!({ "phase": "Pending" }))];
    let name = |pod: Option<&Pod>| pod.and_then(|p| p.metadata.name.clone());
    assert_eq!(name(job.pod(&pods)).as_deref(), Some("job-1-0-x"));
    assert_eq!(name(job.waiting(&pods)).as_deref(), Some("job-1-0-x"));
    assert_eq!(name(job.pod(&pods[..1])), None);
}
