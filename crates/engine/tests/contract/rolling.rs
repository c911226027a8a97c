//! Servers of several replicas, where an engine can do them: on a real cluster.

use crate::world::World;
use engine::{Observation, Task};
use std::time::{Duration, Instant};

/// A server that is ready two seconds after its start, and says this word on both its ports; at SIGTERM it goes on for a while.
fn saying(world: &World, word: &str) -> Task {
    let script = format!(
        "cd $HOME; mkdir served; echo {word} > served/word; python3 -m http.server --directory served $PORT & \
         sleep 2; echo ready > served/ready; trap 'rm served/ready; sleep 2; exit 0' TERM; \
         python3 -m http.server --directory served $READY_PORT & while :; do sleep 0.1; done"
    );
    Task { replicas: 2, ..world.server("ep-1", &script) }
}

fn ready(seen: &Observation) -> usize {
    seen.ready().len()
}

#[tokio::test]
async fn replicas_are_replaced_one_by_one_with_never_fewer_ready_than_wanted() {
    let Some(world) = crate::cluster::world().await else { return };
    let first = saying(&world, "first");
    world.engine.apply(&first).await.unwrap();
    let seen = world.until("ep-1", |o| ready(o) == 2).await;
    assert!(seen.replicas.iter().all(|r| !r.outdated && !r.node.is_empty() && r.since.is_some()), "{seen:?}");
    let objects = (world.seen_by_others)();
    assert!(objects.contains("ep-1"), "{objects}");

    let second = saying(&world, "second");
    world.engine.apply(&second).await.unwrap();
    let (end, mut both) = (Instant::now() + Duration::from_secs(180), false);
    loop {
        let seen = world.engine.observe("ep-1").await.unwrap().unwrap();
        assert!(seen.state.is_running() && ready(&seen) >= 2, "fewer are ready than wanted: {seen:?}");
        both |= seen.replicas.iter().any(|r| r.outdated) && seen.replicas.iter().any(|r| !r.outdated);
        if seen.hash == second.hash() && seen.replicas.iter().all(|r| !r.outdated) && seen.replicas.len() == 2 {
            break;
        }
        assert!(Instant::now() < end, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(both, "old and new were never there together");

    // Scaling replaces nobody.
    let names = |seen: &Observation| seen.replicas.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
    let two = names(&world.engine.observe("ep-1").await.unwrap().unwrap());
    world.engine.apply(&Task { replicas: 3, ..second.clone() }).await.unwrap();
    let three = world.until("ep-1", |o| ready(o) == 3).await;
    assert!(two.iter().all(|name| names(&three).contains(name)), "{two:?} {three:?}");
    world.engine.apply(&Task { replicas: 1, ..second }).await.unwrap();
    world.until("ep-1", |o| ready(o) == 1 && o.replicas.len() == 1 && o.wanted == 1).await;
    world.engine.remove("ep-1").await.unwrap();
}

#[tokio::test]
async fn replicas_that_end_are_started_again_in_their_place() {
    let Some(world) = crate::cluster::world().await else { return };
    // Each ends once: the mark is in the folder that a pod keeps when its container is started again.
    let script = "cd $HOME; [ -d served ] || { mkdir served; echo ready > served/ready; }; \
         python3 -m http.server --directory served $PORT & python3 -m http.server --directory served $READY_PORT & \
         while [ ! -f ${SPEC%/*}/end.json ] || [ -f ended ]; do sleep 0.1; done; touch ended; exit 7";
    world.engine.apply(&Task { replicas: 2, ..world.server("ep-1", script) }).await.unwrap();
    world.until("ep-1", |o| ready(o) == 2).await;
    world.engine.put_file("ep-1", "end.json", b"{}").await.unwrap();
    let again = world.until("ep-1", |o| ready(o) == 2 && o.replicas.iter().all(|r| r.restarts == 1)).await;
    assert!(again.state.is_running(), "{again:?}");
    world.engine.remove("ep-1").await.unwrap();
}
