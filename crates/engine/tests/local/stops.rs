//! Stopping and ending: with time to end well, with all children, and once and for all.

use crate::house::{House, is_running, job};
use engine::{End, Error, TaskState, local::LocalEngine};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_program_that_is_missing_is_an_error_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LocalEngine::new(folder.path().join("tasks"), folder.path().join("nothing-here"), BTreeMap::new());
    let error = engine.apply(&job("job-1")).await.unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound), "{error}");
    assert_eq!(engine.observe("job-1").await.unwrap(), None);
}

#[tokio::test]
async fn a_stop_gives_the_command_time_to_end_well() {
    let house = House::new("trap 'echo asked; sleep 0.2; echo done; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "ready").await;
    engine.stop("job-1", Duration::from_secs(20)).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 5 }));
    assert_eq!(house.file("job-1", "output").as_deref(), Some("ready\nasked\ndone\n"));
    engine.stop("job-1", Duration::ZERO).await.unwrap();
    engine.stop("job-never-applied", Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn who_does_not_end_is_killed_after_the_grace_time_with_all_children() {
    let house =
        House::new("trap '' TERM; (trap '' TERM; setsid -f true; sleep 60) & echo child $!; echo ready; while :; do sleep 0.05; done");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "ready").await;
    let child: i32 = house.file("job-1", "output").unwrap().lines().next().unwrap().trim_start_matches("child ").parse().unwrap();
    let asked = Instant::now();
    engine.stop("job-1", Duration::from_millis(400)).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(300), "stop returns at once");
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Signalled { signal: libc::SIGKILL }));
    assert!(asked.elapsed() >= Duration::from_millis(400), "killed before the grace time was over");
    assert!(!is_running(child), "a child was left behind");
}

#[tokio::test]
async fn nothing_of_a_command_that_ended_runs_on() {
    let house = House::new("(trap '' HUP; sleep 60) & echo $!");
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 0 }));
    let child: i32 = house.file("job-1", "output").unwrap().trim().parse().unwrap();
    assert!(!is_running(child), "the child of an ended command was left behind");
}

#[tokio::test]
async fn a_task_stopped_before_it_started_never_starts() {
    let house = House::new("echo started");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    house.as_never_started("job-1");
    engine.stop("job-1", Duration::from_secs(1)).await.unwrap();
    engine.apply(&job("job-1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Signalled { signal: libc::SIGTERM })));
    assert_eq!(house.file("job-1", "output"), None);
}

#[tokio::test]
async fn removing_kills_and_forgets() {
    let house = House::new("trap '' TERM; echo $$; while :; do sleep 0.05; done");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "\n").await;
    let pid: i32 = house.file("job-1", "output").unwrap().trim().parse().unwrap();
    engine.remove("job-1").await.unwrap();
    assert!(!is_running(pid));
    assert_eq!(engine.observe("job-1").await.unwrap(), None);
    assert!(!house.root().join("job-1").exists());
    engine.remove("job-1").await.unwrap();
}
