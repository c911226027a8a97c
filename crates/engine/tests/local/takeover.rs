//! Others at the same tasks: a leader whose term is over, and the version before.

use crate::house::{House, job};
use engine::{End, Error, Task, TaskState};
use std::time::Duration;

#[tokio::test]
async fn a_leader_whose_term_is_over_can_change_nothing_however_late_it_comes() {
    let house = House::new("exec sleep 60");
    let engine = engine::Engine::Local(house.engine());
    let (old, new) = (engine.in_term(3), engine.in_term(4));
    old.begin_term().await.unwrap();
    old.apply(&job("job-1")).await.unwrap();
    old.put_file("job-1", "adapters.json", b"old").await.unwrap();
    new.begin_term().await.unwrap();
    let refused = [
        old.begin_term().await,
        old.apply(&job("job-2")).await,
        old.put_file("job-1", "adapters.json", b"late").await,
        old.stop("job-1", Duration::ZERO).await,
        old.remove("job-1").await,
    ];
    for (i, result) in refused.into_iter().enumerate() {
        assert!(matches!(result, Err(Error::Outdated { mine: 3, current: 4 })), "{i}: {result:?}");
    }
    assert_eq!(house.file("job-1", "adapters.json").as_deref(), Some("old"));
    assert!(house.state_of("job-1").await.is_some_and(|s| s.is_running()));
    assert_eq!(house.state_of("job-2").await, None);
    assert!(
        std::fs::read_dir(house.root().join("job-1")).unwrap().flatten().all(|e| !e.file_name().to_string_lossy().contains(".adapters"))
    );
    // Looking is free; the new one goes on with what the old one began.
    assert_eq!(old.list("job-").await.unwrap().len(), 1);
    new.put_file("job-1", "adapters.json", b"new").await.unwrap();
    new.remove("job-1").await.unwrap();
}

/// As the version before wrote it: the environment in `task.json`, and neither tenant nor resources.
fn as_the_version_before(house: &House, name: &str) {
    let folder = house.root().join(name);
    let hash = serde_json::from_str::<serde_json::Value>(&house.file(name, "task.json").unwrap()).unwrap()["hash"].clone();
    let task = serde_json::json!({"hash": hash, "task": {
        "name": name, "kind": "job", "args": ["task", "run"], "spec": "{\"n\":1}", "env": {"GREETING": "from before"}
    }});
    std::fs::write(folder.join("task.json"), task.to_string()).unwrap();
    let mut launch: serde_json::Value = serde_json::from_str(&house.file(name, "launch.json").unwrap()).unwrap();
    launch.as_object_mut().unwrap().remove("env");
    std::fs::write(folder.join("launch.json"), launch.to_string()).unwrap();
}

#[tokio::test]
async fn a_task_that_the_version_before_started_is_adopted() {
    let house = House::new("echo started; while [ ! -f go ]; do sleep 0.02; done; exit 4");
    house.engine().apply(&job("job-1")).await.unwrap();
    house.wait_for_output("job-1", "started").await;
    as_the_version_before(&house, "job-1");
    let engine = house.engine();
    assert!(house.state_of("job-1").await.is_some_and(|s| s.is_running()));
    assert_eq!(engine.list("job-").await.unwrap().len(), 1);
    // The same work has another hash by now; whoever asks for it leaves what runs alone.
    let asked = Task { grace: Duration::from_secs(11), ..job("job-1") };
    assert!(matches!(engine.apply(&asked).await, Err(Error::Different { .. })));
    std::fs::write(house.root().join("job-1/go"), "").unwrap();
    house.wait_for_end("job-1").await;
    // Its supervisor knew nothing of reasons.
    std::fs::write(house.root().join("job-1/exit.json"), r#"{"code":4,"signal":null}"#).unwrap();
    assert_eq!(house.state_of("job-1").await, Some(TaskState::Ended(End::Exited { status: 4 })));
}

#[tokio::test]
async fn a_folder_that_the_version_before_made_and_did_not_start_is_started_with_its_environment() {
    let house = House::new("echo $GREETING");
    let engine = house.engine();
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    house.as_never_started("job-1");
    as_the_version_before(&house, "job-1");
    engine.apply(&job("job-1")).await.unwrap();
    house.wait_for_end("job-1").await;
    assert_eq!(house.file("job-1", "output").as_deref(), Some("from before\n"));
}
