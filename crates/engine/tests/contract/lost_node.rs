//! A node that is removed, and one that falls silent: on a cluster only. The node is an object that no kubelet stands behind, with a resource
//! that no other node has, so that a task which asks for that resource is bound to it. What the kubelet would say of the pod, the test says.

use crate::{
    cluster::{self, Others},
    world::World,
};
use engine::{End, Engine, Observation, Resources, Task, TaskState};
use serde_json::{Value, json};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

/// For what the controllers of the cluster do at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Until the end of a task whose node was removed is told: the cluster waits 40 s before it believes that a node is gone for good, and looks
/// every 20 s.
const REMOVED: Duration = Duration::from_secs(90);
/// Until the end of a task whose pod has to go and whose node says nothing is told: 1 s of grace, and the minute in which an answer may come.
const SILENT: Duration = Duration::from_secs(75);

/// Goes with the test.
struct Pretended<'o> {
    others: &'o Others,
    name: String,
    /// Also the key of its taint.
    resource: String,
}

impl<'o> Pretended<'o> {
    /// With room for one pod that asks for its resource.
    fn join(others: &'o Others, what: &str) -> Self {
        // Behind the real one in every list.
        let me = Self {
            others,
            name: format!("zz-{what}-{}", std::process::id()),
            resource: format!("atelier.dev/{what}-{}", std::process::id()),
        };
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": me.name },
            "spec": { "taints": [{ "key": me.resource, "value": "pretended", "effect": "NoSchedule" }] },
        });
        others.create(&node);
        let amounts = json!({ "cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi", "pods": "2", (&me.resource): "1" });
        let ready = json!({ "type": "Ready", "status": "True", "reason": "Pretended", "message": "", "lastHeartbeatTime": now(), "lastTransitionTime": now() });
        me.patch_status(&me.name, &json!({ "conditions": [ready], "capacity": amounts, "allocatable": amounts }));
        me
    }

    fn patch_status(&self, node: &str, status: &Value) {
        let patch = json!({ "status": status }).to_string();
        self.others.kubectl(&["patch", "node", node, "--subresource=status", "--type=merge", "-p", &patch]);
    }

    /// The same portal with leave to this node, and its resource in the place of GPUs.
    async fn engine(&self) -> Engine {
        let toleration = format!("{}=pretended:NoSchedule", self.resource).parse().unwrap();
        self.others
            .engine_placed(|placement| {
                placement.gpu_resource = self.resource.clone();
                placement.tolerations = vec![toleration];
            })
            .await
    }

    /// What its kubelet would say once the task's container runs. Returns the pod.
    async fn runs(&self, task: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let of_task = format!("atelier.dev/task={task}");
        let bound = ["get", "pods", "-l", &of_task, "-o", "jsonpath={.items[*].metadata.name} {.items[*].spec.nodeName}"];
        let pod = loop {
            let seen = self.others.kubectl(&bound);
            if let Some((pod, _)) = seen.split_once(' ').filter(|(_, node)| *node == self.name) {
                break pod.to_owned();
            }
            assert!(Instant::now() < end, "{task} is not bound to {} within {PATIENCE:?}: {seen:?}", self.name);
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let main = json!({ "name": "main", "image": "pretended", "imageID": "pretended", "ready": true, "started": true, "restartCount": 0,
            "state": { "running": { "startedAt": now() } } });
        let status = json!({ "status": { "phase": "Running", "startTime": now(), "containerStatuses": [main] } }).to_string();
        self.others.kubectl(&["patch", "pod", &pod, "--subresource=status", "--type=merge", "-p", &status]);
        pod
    }

    fn is_removed(&self) {
        self.others.kubectl(&["delete", "node", &self.name, "--wait=false"]);
    }

    /// Offers its resource on the real node, which so takes the next try.
    fn is_replaced_by_the_real_one(&self) -> OnTheRealOne<'_> {
        let name = self.others.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
        assert!(!name.starts_with("zz-"), "there is no real node: {name}");
        self.patch_status(&name, &json!({ "capacity": { (&self.resource): "1" }, "allocatable": { (&self.resource): "1" } }));
        OnTheRealOne { node: self, name }
    }
}

impl Drop for Pretended<'_> {
    fn drop(&mut self) {
        let _ = self.others.command(&["delete", "node", &self.name, "--ignore-not-found", "--wait=false"]).stdout(Stdio::null()).status();
    }
}

struct OnTheRealOne<'n> {
    node: &'n Pretended<'n>,
    name: String,
}

impl Drop for OnTheRealOne<'_> {
    fn drop(&mut self) {
        let nothing = json!({ (&self.node.resource): null });
        let patch = json!({ "status": { "capacity": nothing, "allocatable": nothing } }).to_string();
        let patch = ["patch", "node", &self.name, "--subresource=status", "--type=merge", "-p", &patch];
        let _ = self.node.others.command(&patch).stdout(Stdio::null()).status();
    }
}

fn now() -> String {
    let printed = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap().stdout;
    String::from_utf8(printed).unwrap().trim().to_owned()
}

fn asking_for_it(task: Task) -> Task {
    Task { resources: Resources { gpus: 1, ..Resources::default() }, grace: Duration::from_secs(1), ..task }
}

/// Each state once, from now until the first end and a while behind it.
async fn states_until_the_end(engine: &Engine, name: &str, limit: Duration) -> (Vec<TaskState>, Duration) {
    let begin = Instant::now();
    let (mut told, mut ended) = (Vec::<TaskState>::new(), None);
    while ended.is_none_or(|at: Instant| at.elapsed() < Duration::from_secs(5)) {
        let seen: Option<Observation> = engine.observe(name).await.unwrap();
        let state = seen.unwrap_or_else(|| panic!("{name} is not known any more; it was {told:?}")).state;
        if state.end().is_some() && ended.is_none() {
            ended = Some(Instant::now());
        }
        if told.last() != Some(&state) {
            told.push(state);
        }
        assert!(ended.is_some() || begin.elapsed() < limit, "{name} has not ended within {limit:?}; it was {told:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (told, ended.map_or(limit, |at| at - begin))
}

fn is_lost(told: &[TaskState], node: &str) -> bool {
    matches!(told, [TaskState::Running { node: at, .. }, TaskState::Ended(End::NodeLost)] if at == node)
}

/// On the real node, for real.
async fn another_try_runs_elsewhere(world: &World, node: &Pretended<'_>) {
    let _real = node.is_replaced_by_the_real_one();
    world.engine.apply(&asking_for_it(world.job("job-2", "echo ran elsewhere"))).await.unwrap();
    assert_eq!(world.end("job-2").await, End::Exited { status: 0 });
    assert_eq!(world.said("job-2").await, "ran elsewhere\n");
}

#[tokio::test]
async fn a_task_whose_node_is_removed_has_lost_it_and_another_try_runs_elsewhere() {
    let Some((mut world, others)) = cluster::world_and_others().await else { return };
    let node = Pretended::join(&others, "removed");
    world.engine = node.engine().await;
    let task = asking_for_it(world.job("job-1", "echo ran; sleep 600"));
    world.engine.apply(&task).await.unwrap();
    let pod = node.runs("job-1").await;
    world.until("job-1", |o| matches!(&o.state, TaskState::Running { node: at, .. } if *at == node.name)).await;

    node.is_removed();
    let (told, took) = states_until_the_end(&world.engine, "job-1", REMOVED).await;
    println!("told {:.0} s after the node was removed: {told:?}", took.as_secs_f32());
    assert!(is_lost(&told, &node.name), "{told:?}");
    // Also when nothing of the pod is left, and whoever asks knows nothing of before.
    let end = Instant::now() + PATIENCE;
    while others.pods("job-1").iter().any(|p| p.ends_with(&pod)) {
        assert!(Instant::now() < end, "the pod {pod} is still there after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let another = node.engine().await;
    assert_eq!(another.observe("job-1").await.unwrap().map(|o| o.state), Some(TaskState::Ended(End::NodeLost)));
    another.apply(&task).await.unwrap();
    assert_eq!(others.pods("job-1"), [] as [String; 0], "it was started a second time by itself");
    another_try_runs_elsewhere(&world, &node).await;
}

#[tokio::test]
async fn a_task_whose_node_falls_silent_has_lost_it_though_its_pod_never_goes() {
    let Some((mut world, others)) = cluster::world_and_others().await else { return };
    let node = Pretended::join(&others, "silent");
    world.engine = node.engine().await;
    world.engine.apply(&asking_for_it(world.job("job-1", "echo ran; sleep 600"))).await.unwrap();
    let pod = node.runs("job-1").await;
    world.until("job-1", |o| o.state.is_running()).await;

    // As the cluster itself does with a node that has said nothing for minutes.
    others.kubectl(&["taint", "node", &node.name, &format!("{}=gone:NoExecute", node.resource)]);
    let (told, took) = states_until_the_end(&world.engine, "job-1", SILENT).await;
    println!("told {:.0} s after its pod had to go: {told:?}", took.as_secs_f32());
    assert!(is_lost(&told, &node.name), "{told:?}");
    assert!(others.pods("job-1")[0].ends_with(&pod), "it was to stay: {:?}", others.pods("job-1"));
    another_try_runs_elsewhere(&world, &node).await;
    world.engine.remove("job-1").await.unwrap();
    assert_eq!(world.engine.observe("job-1").await.unwrap(), None);
}
