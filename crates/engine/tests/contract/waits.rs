//! What keeps a task from starting, as typed causes; and secrets, which are one of them.

use crate::world::World;
use engine::{Amount, End, PendingCause, Resources, Runtime, SecretRef, Task, TaskState};
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
    assert_eq!(seen.addresses, []);
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
