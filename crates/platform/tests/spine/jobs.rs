//! Jobs: one holder at a time, tried again, and given up with a reason.

use crate::support::{World, now, rows};
use domain::{
    dataset::VersionState,
    people::Role,
    store_location,
    time::{HOUR, Timestamp},
};

crate::on_both_databases!(
    a_job_that_fails_is_tried_again_later,
    a_job_that_always_fails_is_given_up_with_a_reason,
    many_workers_do_each_job_once
);

fn in_an_hour() -> Timestamp {
    now().plus(HOUR)
}

async fn a_job_that_fails_is_tried_again_later(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let version = world.upload(&scope, "facts", &rows(12)).await.unwrap();
    let path = world.store_folder().join(store_location::dataset_original(&version.tenant, version.id));
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    assert_eq!(world.platform.work_off("a").await.unwrap(), 1);
    // Not at once again, and nothing is decided.
    assert_eq!(world.platform.work_off("a").await.unwrap(), 0);
    assert_eq!(world.platform.datasets(&scope).by_version_id(version.id).await.unwrap().state, VersionState::Checking);
    std::fs::rename(&away, &path).unwrap();
    let later = world.replica(in_an_hour).await;
    assert_eq!(later.work_off("b").await.unwrap(), 1);
    assert_eq!(world.platform.datasets(&scope).by_version_id(version.id).await.unwrap().state, VersionState::Ready);
    assert_eq!(later.work_off("b").await.unwrap(), 0);
}

async fn a_job_that_always_fails_is_given_up_with_a_reason(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let version = world.upload(&scope, "facts", &rows(12)).await.unwrap();
    world.execute("UPDATE jobs SET attempts = 8").await.unwrap();
    assert_eq!(world.platform.work_off("a").await.unwrap(), 1);
    let version = world.platform.datasets(&scope).by_version_id(version.id).await.unwrap();
    assert_eq!(version.state, VersionState::Rejected);
    assert!(version.reason.unwrap().contains("could not be checked"));
}

async fn many_workers_do_each_job_once(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    for i in 0..12 {
        world.upload(&scope, &format!("d{i}"), &rows(3)).await.unwrap();
    }
    let other = world.replica(now).await;
    let workers: Vec<_> = (0..6)
        .map(|i| {
            let platform = if i % 2 == 0 { world.platform.clone() } else { other.clone() };
            tokio::spawn(async move { platform.work_off(&format!("worker {i}")).await.unwrap() })
        })
        .collect();
    let mut begun = 0;
    for worker in workers {
        begun += worker.await.unwrap();
    }
    // A worker that comes second to a job may leave with others still waiting; nothing is done twice.
    begun += world.platform.work_off("last").await.unwrap();
    assert_eq!(begun, 12);
    let list = world.platform.datasets(&scope).list().await.unwrap();
    assert!(list.iter().all(|d| d.latest.as_ref().unwrap().state == VersionState::Ready));
}
