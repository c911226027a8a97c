//! A task over two nodes: on a cluster only. That one machine refuses it is in `waits` of its own tests.

use crate::cluster;
use engine::{Amount, End, PendingCause, Resources, Task, TaskState};

fn over_two(task: Task, cpu_milli: Option<u64>) -> Task {
    Task { resources: Resources { nodes: 2, cpu_milli, ..Resources::default() }, ..task }
}

#[tokio::test]
async fn two_pods_know_their_numbers_and_find_the_first_by_its_name() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let script = "echo $JOB_COMPLETION_INDEX of $ATELIER_NODES; i=0; until python3 -c \"import socket; socket.gethostbyname('$ATELIER_FIRST_NODE')\"; \
                  do i=$((i+1)); [ $i -gt 100 ] && exit 9; sleep 0.3; done; echo found";
    world.engine.apply(&over_two(world.job("job-1", script), None)).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 0 });
    assert!(world.said("job-1").await.starts_with("0 of 2\n"), "{}", world.said("job-1").await);
    assert_eq!(others.pods("job-1").len(), 2);
    world.engine.remove("job-1").await.unwrap();
    let left = others.kubectl(&["get", "jobs,services,networkpolicies,configmaps", "-o", "name"]);
    assert!(!left.contains("job-1"), "{left}");
}

#[tokio::test]
async fn one_that_fails_ends_both_with_its_own_cause() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let script = "[ $JOB_COMPLETION_INDEX = 1 ] && { sleep 1; exit 7; }; trap 'exit 143' TERM; while :; do sleep 0.05; done";
    let task = over_two(world.job("job-1", script), None);
    world.engine.apply(&task).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 7 });
    let before = others.pods("job-1");
    world.engine.apply(&task).await.unwrap();
    assert!(others.pods("job-1").iter().all(|p| before.contains(p)), "another was started: {before:?}, {:?}", others.pods("job-1"));
}

#[tokio::test]
async fn while_one_of_two_has_no_place_both_wait_and_a_stop_ends_both() {
    let Some((world, others)) = cluster::world_and_others().await else { return };
    let cores = others.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].status.allocatable.cpu}"]);
    let milli = cores.strip_suffix('m').map_or_else(|| cores.parse::<u64>().unwrap() * 1000, |m| m.parse().unwrap());
    // One fits beside whatever else asks for little, two never do.
    let task = over_two(world.job("job-1", "echo ran; sleep 60"), Some(milli * 6 / 10));
    world.engine.apply(&task).await.unwrap();
    let partly = |state: &TaskState| {
        matches!(state, TaskState::Pending(PendingCause::Partly { running: 1, of: 2, cause })
            if matches!(**cause, PendingCause::Busy { needs: Amount::Cpu { .. } }))
    };
    let seen = world.until("job-1", |o| partly(&o.state)).await;
    let TaskState::Pending(cause) = seen.state else { panic!() };
    assert!(cause.said().starts_with("1 of 2 pods run. Waits for "), "{}", cause.said());
    world.engine.stop("job-1", std::time::Duration::from_secs(20)).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Signalled { signal: 15 });
}
