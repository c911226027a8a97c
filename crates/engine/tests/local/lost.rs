//! What became of a task that nobody watched: ended, lost, or mistaken for another process.

use crate::house::{House, is_running, job, kill, wait_until_gone};
use engine::{End, Resources, Task, TaskState};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

#[tokio::test]
async fn how_it_ended_is_known_to_a_portal_that_did_not_see_it() {
    let house = House::new("sleep 0.1; exit 3");
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.wait_for_end("job-1").await, TaskState::Ended(End::Exited { status: 3 }));
    let house = House::new("kill -SEGV $$");
    house.engine().apply(&job("job-2")).await.unwrap();
    assert_eq!(house.wait_for_end("job-2").await, TaskState::Ended(End::Signalled { signal: libc::SIGSEGV }));
}

#[tokio::test]
async fn a_killed_supervisor_means_lost_and_takes_the_command_with_it() {
    let house = House::new("sleep 60 & echo $$ $!; wait");
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "\n").await;
    let pids: Vec<i32> = house.file("job-1", "output").unwrap().split_whitespace().map(|p| p.parse().unwrap()).collect();
    assert!(pids.iter().all(|p| is_running(*p)));
    kill(house.supervisor_of("job-1"));
    wait_until_gone(pids[0]).await;
    house.wait_for("job-1", |s| *s == TaskState::Ended(End::Removed)).await;
    // The grandchild is found by its session.
    wait_until_gone(pids[1]).await;
    // Lost is not forgotten: it is not started again.
    house.engine().apply(&job("job-1")).await.unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Removed)));
}

#[tokio::test]
async fn a_process_with_the_number_of_a_lost_task_is_not_taken_for_it() {
    let house = House::new("sleep 60");
    house.engine().apply(&job("job-1")).await.unwrap();
    let supervisor = house.supervisor_of("job-1");
    let path = house.root().join("job-1/started.json");
    let real = std::fs::read_to_string(&path).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&real).unwrap();
    other["start_time"] = 1.into();
    std::fs::write(&path, other.to_string()).unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Removed)));
    house.engine().stop("job-1", Duration::ZERO).await.unwrap();
    assert!(is_running(supervisor), "a stranger was signalled");
    std::fs::write(&path, real).unwrap();
    house.engine().remove("job-1").await.unwrap();
    assert!(!is_running(supervisor));
}

#[tokio::test]
async fn after_a_restart_of_the_machine_a_process_of_the_same_number_is_not_taken_for_the_task() {
    let answers = tempfile::tempdir().unwrap();
    let answer = answers.path().join("here");
    let house = House::new(&format!("trap 'echo here > {}' USR1; echo $$; while :; do sleep 0.05; done", answer.display()));
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "\n").await;
    let command: i32 = house.file("job-1", "output").unwrap().trim().parse().unwrap();
    let supervisor = house.supervisor_of("job-1");
    // All is as it was but for the machine, which has started anew: number and start time say nothing then.
    let path = house.root().join("job-1/started.json");
    let mut before: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    before["boot"] = "before the restart".into();
    std::fs::write(&path, before.to_string()).unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::NodeLost)));
    house.engine().stop("job-1", Duration::ZERO).await.unwrap();
    house.engine().remove("job-1").await.unwrap();
    // Nobody has touched the stranger's session: it still answers.
    let until = Instant::now() + Duration::from_secs(30);
    while !answer.exists() {
        let _ = std::process::Command::new("kill").args(["-USR1", &command.to_string()]).stderr(std::process::Stdio::null()).status();
        assert!(is_running(supervisor) && is_running(command), "a stranger was killed");
        assert!(Instant::now() < until, "the stranger does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill(supervisor);
    kill(command);
}

#[tokio::test]
async fn the_control_group_of_a_task_goes_with_it_also_when_its_supervisor_was_killed() {
    let house = House::new("echo ready; sleep 60");
    let engine = house.engine();
    if let Err(why) = engine.holds().memory {
        return testing::skip(&format!("memory limits: {why}"));
    }
    let limited = |name: &str| Task { resources: Resources { memory: Some(1 << 28), ..Resources::default() }, ..job(name) };
    for (name, killed) in [("job-1", false), ("job-2", true)] {
        engine.apply(&limited(name)).await.unwrap();
        house.wait_for_output(name, "ready").await;
        let group: serde_json::Value = serde_json::from_str(&house.file(name, "group.json").unwrap()).unwrap();
        let group = PathBuf::from(group["path"].as_str().unwrap());
        assert!(!std::fs::read_to_string(group.join("cgroup.procs")).unwrap().is_empty(), "the command is not in its group");
        if killed {
            kill(house.supervisor_of(name));
            house.wait_for(name, |s| s.end().is_some()).await;
        } else {
            engine.stop(name, Duration::ZERO).await.unwrap();
            house.wait_for_end(name).await;
            assert!(!group.exists(), "a group was left behind");
        }
        engine.remove(name).await.unwrap();
        assert!(!group.exists(), "a group was left behind");
    }
}
