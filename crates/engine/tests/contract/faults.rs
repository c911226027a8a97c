//! What others do to the objects of a task, and a way to the API server that breaks off: on a cluster only.

use crate::{cluster, cut};
use engine::{Cursor, End, Error, PendingCause, TaskState};
use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const LONG: &str = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until nothing is left of the pods of a task.
async fn until_no_pod(others: &cluster::Others, task: &str) {
    let end = Instant::now() + PATIENCE;
    while !others.pods(task).is_empty() {
        assert!(Instant::now() < end, "{:?}", others.pods(task));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_job_that_somebody_deleted_is_gone_and_nothing_comes_by_itself() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    world.engine.apply(&world.job("job-1", LONG)).await.unwrap();
    world.until_it_says("job-1", "ready").await;
    others.kubectl(&["delete", "job", "job-1", "--wait=true"]);
    assert_eq!(world.engine.observe("job-1").await.unwrap(), None);
    assert!(matches!(world.engine.output("job-1", &Cursor::start(), 100).await, Err(Error::Unknown(_))));
    assert_eq!(world.engine.list("job-").await.unwrap(), []);
    // A stop that comes late is of a task that was to end.
    world.engine.stop("job-1", Duration::from_secs(20)).await.unwrap();
    until_no_pod(&others, "job-1").await;
    world.engine.remove("job-1").await.unwrap();
    assert!(!others.kubectl(&["get", "configmaps", "-o", "name"]).contains("job-1"));
}

#[tokio::test]
async fn a_pod_that_somebody_deleted_has_ended_its_task_and_no_other_takes_its_place() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let task = world.job("job-1", &LONG.replace("exit 0", "exit 143"));
    world.engine.apply(&task).await.unwrap();
    world.until_it_says("job-1", "ready").await;
    let pods = others.pods("job-1");
    others.kubectl(&["delete", &pods[0], "--wait=false"]);
    assert_eq!(world.end("job-1").await, End::Removed);
    // Also when nothing of the pod is left, and whoever asks knows nothing of before.
    until_no_pod(&others, "job-1").await;
    let another = others.another_engine().await;
    assert_eq!(another.observe("job-1").await.unwrap().map(|o| o.state), Some(TaskState::Ended(End::Removed)));
    another.apply(&task).await.unwrap();
    assert_eq!(others.pods("job-1"), [] as [String; 0], "it was started a second time");
}

#[tokio::test]
async fn a_job_that_somebody_changed_is_still_the_same_task_and_is_not_doubled() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let task = world.job("job-1", LONG);
    world.engine.apply(&task).await.unwrap();
    world.until_it_says("job-1", "ready").await;
    others.kubectl(&["label", "job", "job-1", "atelier.dev/task-", "app.kubernetes.io/managed-by-"]);
    others.kubectl(&["annotate", "job", "job-1", "atelier.dev/hash=other", "--overwrite"]);
    others.kubectl(&["patch", "job", "job-1", "--type=merge", "-p", r#"{"spec":{"parallelism":3}}"#]);
    let another = others.another_engine().await;
    let seen = another.observe("job-1").await.unwrap().expect("it works, and is not found");
    assert!(seen.state.is_running(), "{seen:?}");
    assert!(matches!(another.apply(&task).await, Err(Error::Different { .. })), "it is not what was asked for");
    assert_eq!(others.pods("job-1").len(), 1);
    another.stop("job-1", Duration::from_secs(20)).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 0 });
    assert_eq!(world.said("job-1").await, "ready\nasked\n");
}

#[tokio::test]
async fn a_job_that_somebody_suspended_waits_and_goes_on_when_it_is_resumed() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    world.engine.apply(&world.job("job-1", LONG)).await.unwrap();
    world.until_it_says("job-1", "ready").await;
    others.kubectl(&["patch", "job", "job-1", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]);
    world.until("job-1", |o| o.state == TaskState::Pending(PendingCause::Suspended)).await;
    until_no_pod(&others, "job-1").await;
    assert_eq!(world.engine.observe("job-1").await.unwrap().unwrap().state, TaskState::Pending(PendingCause::Suspended));
    others.kubectl(&["patch", "job", "job-1", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    world.until_it_says("job-1", "ready").await;
    assert_eq!(others.pods("job-1").len(), 1);
    world.engine.remove("job-1").await.unwrap();
}

#[tokio::test]
async fn a_log_that_is_cut_off_again_and_again_is_read_whole_and_nothing_twice() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let lines = 20_000;
    let script = format!("i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done; echo done; sleep 60");
    world.engine.apply(&world.job("job-1", &script)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, cuts) = cut::way(others.kubeconfig(), folder.path(), Duration::from_millis(500)).await;
    let engine = others.engine_by_way_of(kubeconfig).await;
    let (mut cursor, mut read) = (Cursor::start(), Vec::new());
    let end = Instant::now() + PATIENCE;
    while !read.ends_with(b"done\n") {
        match engine.output("job-1", &cursor, 4 << 10).await {
            Ok(output) => {
                read.extend(output.bytes);
                // As the portal does: stored, and read again by whoever leads then.
                cursor = Cursor::from_text(output.next.as_str());
            }
            Err(Error::Away { .. }) => {}
            Err(e) => panic!("{e}"),
        }
        assert!(Instant::now() < end, "{} bytes after {cuts:?} cuts", read.len());
    }
    let expected: String = (1..=lines).map(|n| format!("line {n}\n")).collect::<String>() + "done\n";
    assert!(String::from_utf8(read).unwrap() == expected, "lines are missing or doubled after {cuts:?} cuts");
    assert!(cuts.load(Ordering::Relaxed) > 1, "it was read without a cut");
    world.engine.remove("job-1").await.unwrap();
}

#[tokio::test]
async fn a_watch_whose_connections_end_goes_on_naming_what_changes() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, cuts) = cut::way(others.kubeconfig(), folder.path(), Duration::from_millis(1500)).await;
    let mut watch = others.engine_by_way_of(kubeconfig).await.watch().unwrap();
    for n in 1..=3 {
        let name = format!("job-{n}");
        world.engine.apply(&world.job(&name, "exit 0")).await.unwrap();
        world.end(&name).await;
        let named = async {
            let mut all = BTreeSet::new();
            while !all.contains(&name) {
                // Trouble is told, and the next call goes on.
                all.extend(watch.next().await.unwrap_or_default());
            }
        };
        tokio::time::timeout(PATIENCE, named).await.unwrap_or_else(|_| panic!("{name} was never named"));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(cuts.load(Ordering::Relaxed) > 2, "the watch was never cut off");
}
