//! Jobs in a queue where Kueue's kinds are served and nobody runs it: what it would write, this test writes, in its words. So each of its states
//! stays for as long as it is looked at. That the real one does the same is in `kueue`.

use crate::{
    cluster::{self, Others},
    kueue::{ALONE, Kueue},
    world::World,
};
use engine::{Amount, End, PendingCause, SecretRef, TaskState};
use serde_json::{Value, json};
use std::time::Duration;

const LONG: &str = "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done";

/// Writes that the Workload of a Job is so.
fn says(others: &Others, conditions: Value) {
    let conditions: Vec<Value> = conditions
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .map(|mut c| {
            c["lastTransitionTime"] = json!("2026-11-22T07:30:00Z");
            c
        })
        .collect();
    let patch = json!({ "status": { "conditions": conditions } }).to_string();
    others.kubectl(&["patch", "workload", "job-1", "--subresource=status", "--type=merge", "-p", &patch]);
}

fn suspend(others: &Others, suspend: bool) {
    let flavor = json!({ "template": { "spec": { "nodeSelector": { "kubernetes.io/os": "linux" } } } });
    let mut spec = if suspend { json!({}) } else { flavor };
    spec["suspend"] = json!(suspend);
    others.kubectl(&["patch", "job", "job-1", "--type=merge", "-p", &json!({ "spec": spec }).to_string()]);
}

async fn cause(world: &World) -> PendingCause {
    match world.engine.observe("job-1").await.unwrap().unwrap().state {
        TaskState::Pending(cause) => cause,
        other => panic!("{other:?}"),
    }
}

fn queued(short: Vec<Amount>, interrupted: bool) -> PendingCause {
    PendingCause::Queue { position: 0, queue: "research".into(), short, interrupted }
}

#[tokio::test]
async fn a_job_in_a_queue_is_what_its_workload_says_and_stays_the_same_task() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let _alone = ALONE.lock().await;
    let acme = "acme".parse().unwrap();
    world.engine.put_secret(&acme, "other", "x").await.unwrap();
    let Some(kueue) = Kueue::kinds(&others) else { return };
    kueue.queue(others.namespace());
    let world = World { engine: others.another_engine().await, ..world };
    let limits = world.engine.queue_limits(&acme).await.unwrap().expect("a queue");
    assert_eq!((limits.name.as_str(), limits.cpu, limits.memory, limits.gpus), ("research", Some(64), Some(1 << 30), None));

    // While it waits for its secret, it is in no queue: it would begin without.
    let hub = SecretRef { name: "hub".into(), file: "token".into() };
    let task = engine::Task { secrets: vec![hub], ..world.job("job-1", LONG) };
    world.engine.apply(&task).await.unwrap();
    let held = |what: &str| others.kubectl(&["get", "job", "job-1", "-o", &format!("jsonpath={{{what}}}")]);
    let label = r".metadata.labels.kueue\.x-k8s\.io/queue-name";
    assert_eq!((held(label).as_str(), held(".spec.suspend").as_str()), ("", "true"));
    world.engine.put_secret(&acme, "hub", "t0ken").await.unwrap();
    world.engine.apply(&task).await.unwrap();
    assert_eq!((held(label).as_str(), held(".spec.suspend").as_str()), ("research", "true"));
    assert_eq!(cause(&world).await, queued(Vec::new(), false), "Kueue has not seen it");

    let container = json!({ "name": "main", "image": "none" });
    let uid = held(".metadata.uid");
    others.create(&json!({
        "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload",
        "metadata": { "name": "job-1", "labels": { "kueue.x-k8s.io/job-uid": uid } },
        "spec": { "queueName": "research", "podSets": [
            { "name": "main", "count": 1, "template": { "spec": { "restartPolicy": "Never", "containers": [container] } } },
        ] },
    }));
    let pending = |message: &str| json!({ "type": "QuotaReserved", "status": "False", "reason": "Pending", "message": message });
    let flavors = "couldn't assign flavors to pod set main: insufficient unused quota for memory in flavor small, 512Mi more needed";
    says(&others, json!([pending(flavors)]));
    assert_eq!(cause(&world).await, queued(vec![Amount::Memory { bytes: 512 << 20 }], false));
    let listed = world.engine.list("job-").await.unwrap();
    assert_eq!(listed[0].state, TaskState::Pending(queued(Vec::new(), false)), "nobody has to do something");
    let inactive =
        json!({ "type": "QuotaReserved", "status": "False", "reason": "Inadmissible", "message": "LocalQueue research is inactive" });
    says(&others, json!([inactive]));
    assert!(matches!(cause(&world).await, PendingCause::Admission { why } if why.contains("LocalQueue research is inactive")));

    // Let in: with what the flavor adds, it is no other task, and nobody but Kueue says when it begins.
    suspend(&others, false);
    world.engine.apply(&task).await.unwrap();
    assert_eq!(held(".spec.suspend"), "false");
    // And out again, for something more important.
    let evicted = json!({ "type": "Evicted", "status": "True", "reason": "Preempted", "message": "Preempted to accommodate a workload" });
    says(&others, json!([pending(flavors), evicted]));
    suspend(&others, true);
    let again = queued(vec![Amount::Memory { bytes: 512 << 20 }], true);
    world.until("job-1", |o| o.state == TaskState::Pending(again.clone())).await;
    world.engine.apply(&task).await.unwrap();
    assert_eq!((cause(&world).await, held(".spec.suspend").as_str()), (again, "true"));

    // Stopped while it waits: its turn comes, and it has ended.
    let ended = || async { world.engine.observe("job-1").await.unwrap().unwrap().state };
    world.engine.stop("job-1", Duration::from_secs(20)).await.unwrap();
    let stopped = TaskState::Ended(End::Signalled { signal: 15 });
    world.until("job-1", |o| o.state == stopped).await;
    let before = others.pods("job-1");
    suspend(&others, false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ended().await, stopped);
    assert!(others.pods("job-1").iter().all(|pod| before.contains(pod)), "it began: {:?}", others.pods("job-1"));
    world.engine.remove("job-1").await.unwrap();
}
