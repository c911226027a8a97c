//! Each way to end, told as such.

use crate::world::World;
use engine::{End, Resources, Task};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub async fn a_status_is_told(world: &World) {
    world.engine.apply(&world.job("job-1", "exit 7")).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 7 });
}

pub async fn a_signal_is_told(world: &World) {
    world.engine.apply(&world.job("job-1", "kill -ABRT $$; sleep 60")).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Signalled { signal: 6 });
}

pub async fn a_task_at_its_memory_limit_is_told_as_out_of_memory(world: &World) {
    if let Err(why) = world.engine.holds().memory {
        return testing::skip(&format!("memory limits: {why}"));
    }
    let resources = Resources { memory: Some(64 << 20), ..Resources::default() };
    // Not without end: where nothing holds it, it ends well, and the test fails.
    let script = "echo ready; exec awk 'BEGIN { s = \"xxxxxxxx\"; while (length(s) < 400000000) s = s s; print length(s) }'";
    let greedy = Task { resources, ..world.job("job-1", script) };
    world.engine.apply(&greedy).await.unwrap();
    assert_eq!(world.end("job-1").await, End::OutOfMemory, "it said: {}", world.said("job-1").await);
    assert_eq!(world.said("job-1").await, "ready\n");
}

pub async fn a_task_within_its_memory_limit_ends_well(world: &World) {
    let resources = Resources { memory: Some(256 << 20), ..Resources::default() };
    world.engine.apply(&Task { resources, ..world.job("job-1", "echo fine") }).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 0 });
}

pub async fn a_task_past_its_deadline_is_asked_then_killed(world: &World) {
    let (deadline, grace) = (Some(world.start + Duration::from_millis(600)), Duration::from_millis(400));
    let stubborn = Task { deadline, grace, ..world.job("job-1", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done") };
    let began = Instant::now();
    world.engine.apply(&stubborn).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Deadline);
    assert!(began.elapsed() >= Duration::from_millis(900), "killed before the grace time was over: {:?}", began.elapsed());
    assert_eq!(world.said("job-1").await, "ready\nasked\n");
}

pub async fn a_task_that_ends_well_when_its_deadline_asks_is_still_late(world: &World) {
    let polite = world.job("job-1", "trap 'echo saved; exit 0' TERM; while :; do sleep 0.05; done");
    world.engine.apply(&Task { deadline: Some(world.start + Duration::from_millis(500)), ..polite }).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Deadline);
    assert_eq!(world.said("job-1").await, "saved\n");
}

pub async fn a_task_before_its_deadline_ends_by_itself(world: &World) {
    world.engine.apply(&Task { deadline: Some(Duration::from_secs(600)), ..world.job("job-1", "exit 3") }).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 3 });
}

pub async fn a_stopped_task_is_not_late(world: &World) {
    let task = world.job("job-1", "trap 'sleep 1; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    world.engine.apply(&Task { deadline: Some(world.start + Duration::from_secs(2)), ..task }).await.unwrap();
    world.until_it_says("job-1", "ready").await;
    world.engine.stop("job-1", Duration::from_secs(30)).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 5 });
}

pub async fn what_is_asked_twice_happens_once(world: &World) {
    let task = world.job("job-1", "echo once");
    for _ in 0..3 {
        world.engine.apply(&task).await.unwrap();
    }
    world.end("job-1").await;
    world.engine.apply(&task).await.unwrap();
    assert_eq!(world.said("job-1").await, "once\n");
    assert_eq!(world.engine.observe("job-1").await.unwrap().unwrap().hash, task.hash());
    let other = Task { resources: Resources { memory: Some(1 << 30), ..Resources::default() }, ..task };
    assert!(matches!(world.engine.apply(&other).await, Err(engine::Error::Different { .. })), "what it may use is part of what it is");
}

pub async fn a_removed_task_is_not_known_any_more(world: &World) {
    world.engine.apply(&world.job("job-1", "echo ready; sleep 60")).await.unwrap();
    world.until_it_says("job-1", "ready").await;
    world.engine.remove("job-1").await.unwrap();
    assert_eq!(world.engine.observe("job-1").await.unwrap(), None);
    assert_eq!(world.engine.list("job-").await.unwrap(), []);
    world.engine.remove("job-1").await.unwrap();
}

pub async fn a_running_task_says_since_when_and_where(world: &World) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let before = now();
    world.engine.apply(&world.job("job-1", "sleep 60")).await.unwrap();
    let seen = world.until("job-1", |o| o.state.is_running()).await;
    let engine::TaskState::Running { since, node } = seen.state else { panic!("it does not run") };
    // A cluster tells whole seconds.
    assert!((before - 1_000..=now()).contains(&since), "{before} {since}");
    assert!(!node.is_empty());
    world.engine.remove("job-1").await.unwrap();
}
