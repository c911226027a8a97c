//! What keeps a task from starting, as typed causes; and secrets, which are one of them.

use crate::world::World;
use domain::compute::Compute;
use engine::{Amount, End, PendingCause, Place, Resources, Runtime, SecretRef, Task, TaskState};
use std::time::Duration;

const SECRET: &str = "correct-horse-battery-staple";

pub async fn a_task_that_fits_nowhere_waits_and_says_what_is_missing(world: &World) {
    let resources = Resources { memory: Some(1 << 55), ..Resources::default() };
    world.engine.apply(&Task { resources, ..world.job("job-1", "echo ran") }).await.unwrap();
    let too_small = |name| world.until(name, |o| matches!(o.state, TaskState::Pending(PendingCause::NoNodeFits { .. })));
    let seen = too_small("job-1").await.state;
    assert!(
        matches!(&seen, TaskState::Pending(PendingCause::NoNodeFits { needs: Amount::Memory { bytes }, .. }) if *bytes == 1 << 55),
        "{seen:?}"
    );
    let resources = Resources { gpus: 1, gpu_product: Some("no such card".into()), ..Resources::default() };
    world.engine.apply(&Task { resources, ..world.job("job-2", "echo ran") }).await.unwrap();
    let seen = too_small("job-2").await.state;
    assert!(matches!(&seen, TaskState::Pending(PendingCause::NoNodeFits { has: Amount::Gpus { count: 0, .. }, .. })), "{seen:?}");
    let runtime = Runtime::Image("registry.invalid/no-such-image:1".into());
    world.engine.apply(&Task { runtime, ..world.job("job-3", "echo ran") }).await.unwrap();
    let seen = world.until("job-3", |o| matches!(o.state, TaskState::Pending(PendingCause::Image { .. }))).await;
    assert_eq!(seen.replicas, []);
    for name in ["job-1", "job-2", "job-3"] {
        assert_eq!(world.said(name).await, "");
    }
}

fn with_secret(world: &World, name: &str, script: &str) -> Task {
    Task { secrets: vec![SecretRef { name: "hub".into(), file: "token".into() }], ..world.job(name, script) }
}

pub async fn a_task_waits_for_its_secret_and_starts_when_it_is_there(world: &World) {
    let task = with_secret(world, "job-1", "wc -c < $ATELIER_SECRETS/token");
    world.engine.apply(&task).await.unwrap();
    let waits = TaskState::Pending(PendingCause::Secret { secret: "hub".into() });
    assert_eq!(world.until("job-1", |o| matches!(o.state, TaskState::Pending(_))).await.state, waits);
    world.engine.put_secret(&task.tenant, "hub", SECRET).await.unwrap();
    world.engine.apply(&task).await.unwrap();
    assert_eq!(world.end("job-1").await, End::Exited { status: 0 });
    assert_eq!(world.said("job-1").await.trim(), SECRET.len().to_string());
}

pub async fn a_waiting_task_can_be_stopped_and_never_starts(world: &World) {
    let task = with_secret(world, "job-1", "echo ran");
    world.engine.apply(&task).await.unwrap();
    world.engine.stop("job-1", Duration::ZERO).await.unwrap();
    world.engine.put_secret(&task.tenant, "hub", SECRET).await.unwrap();
    world.engine.apply(&task).await.unwrap();
    world.end("job-1").await;
    assert_eq!(world.said("job-1").await, "");
}

pub async fn a_secret_reaches_its_task_and_nothing_else(world: &World) {
    let script = "read -r secret < $ATELIER_SECRETS/token; [ ${#secret} = 28 ] && echo got it; env; echo others: $(ls -lL $ATELIER_SECRETS/token | cut -c8-10); sleep 60";
    let task = with_secret(world, "job-1", script);
    world.engine.put_secret(&task.tenant, "hub", SECRET).await.unwrap();
    let hash = task.hash();
    world.engine.apply(&task).await.unwrap();
    world.until_it_says("job-1", "others: ---").await;
    let said = world.said("job-1").await;
    assert!(said.contains("got it"), "{said}");
    assert!(!said.contains(SECRET), "its environment holds the secret: {said}");
    let others = (world.seen_by_others)();
    assert!(others.contains("job-1"), "nothing is looked at: {others}");
    assert!(!others.contains(SECRET), "others see the secret: {others}");
    let seen = world.engine.observe("job-1").await.unwrap();
    assert!(!format!("{seen:?}{task:?}").contains(SECRET));
    // Another secret under the same name is the same task.
    world.engine.put_secret(&task.tenant, "hub", "another").await.unwrap();
    assert_eq!(seen.unwrap().hash, hash);
    world.engine.apply(&task).await.unwrap();
    world.engine.remove("job-1").await.unwrap();
    world.engine.remove_secret(&task.tenant, "hub").await.unwrap();
    world.engine.remove_secret(&task.tenant, "hub").await.unwrap();
    world.engine.apply(&task).await.unwrap();
    assert!(matches!(world.engine.observe("job-1").await.unwrap().unwrap().state, TaskState::Pending(PendingCause::Secret { .. })));
}

pub async fn a_secret_of_another_tenant_is_not_there(world: &World) {
    world.engine.put_secret(&"other".parse().unwrap(), "hub", SECRET).await.unwrap();
    world.engine.apply(&with_secret(world, "job-1", "cat $ATELIER_SECRETS/token")).await.unwrap();
    let seen = world.until("job-1", |o| matches!(o.state, TaskState::Pending(_))).await;
    assert_eq!(seen.state, TaskState::Pending(PendingCause::Secret { secret: "hub".into() }));
    assert!(world.engine.put_secret(&"other".parse().unwrap(), "../hub", SECRET).await.is_err());
}

/// "So much for this tenant and no more", however many start at once; another tenant is not held to it.
pub async fn tasks_of_a_tenant_never_have_more_than_its_quota(world: &World) {
    let place = Place { compute: Compute { memory: Some(100 << 20), ..Compute::default() }, ..Place::of("acme".parse().unwrap()) };
    world.engine.ensure_tenant(&place).await.unwrap();
    let resources = || Resources { memory: Some(64 << 20), ..Resources::default() };
    let tasks = ["job-1", "job-2", "job-3"].map(|name| Task { resources: resources(), ..world.job(name, "echo ran; sleep 600") });
    let all = futures::future::join_all(tasks.iter().map(|task| world.engine.apply(task))).await;
    all.into_iter().for_each(|done| done.unwrap());
    let waits = |o: &engine::Observation| matches!(o.state, TaskState::Pending(PendingCause::Quota { .. }));
    let mut running = Vec::new();
    for task in &tasks {
        let seen = world.until(&task.name, |o| o.state.is_running() || waits(o)).await;
        match seen.state {
            TaskState::Pending(PendingCause::Quota { what, short, .. }) => {
                let bytes = |n: u64| Amount::Memory { bytes: n << 20 };
                assert_eq!((what.as_str(), &short[0].needs, &short[0].most), ("memory", &bytes(64), &bytes(100)));
            }
            _ => running.push(task.name.clone()),
        }
    }
    assert_eq!(running.len(), 1, "{running:?}");
    let waiting: Vec<_> = tasks.iter().filter(|t| t.name != running[0]).collect();
    let holder = running[0].clone();
    let names_holder =
        |o: &engine::Observation| matches!(&o.state, TaskState::Pending(PendingCause::Quota { holders, .. }) if holders.contains(&holder));
    for task in &waiting {
        world.until(&task.name, names_holder).await;
    }
    let other = Task { tenant: "other".parse().unwrap(), resources: resources(), ..world.job("job-4", "sleep 600") };
    world.engine.apply(&other).await.unwrap();
    world.until("job-4", |o| o.state.is_running()).await;

    // What ends makes room for one, and an admin for the other.
    world.engine.remove(&running[0]).await.unwrap();
    world.engine.remove(&waiting[1].name).await.unwrap();
    applied_until_it_runs(world, waiting[0]).await;
    let more = Place { compute: Compute::default(), ..place };
    world.engine.ensure_tenant(&more).await.unwrap();
    applied_until_it_runs(world, waiting[1]).await;
}

/// As the controller does with one that waits.
async fn applied_until_it_runs(world: &World, task: &Task) {
    let end = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        world.engine.apply(task).await.unwrap();
        let seen = world.engine.observe(&task.name).await.unwrap();
        if seen.as_ref().is_some_and(|o| o.state.is_running()) {
            return;
        }
        assert!(std::time::Instant::now() < end, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
