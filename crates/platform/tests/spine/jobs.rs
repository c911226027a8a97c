//! Jobs: one holder at a time, tried again, and given up with a reason.

use crate::support::{World, now, rows};
use domain::{
    artefacts,
    dataset::VersionState,
    page::Cursor,
    people::Role,
    reason::dataset::DatasetReason,
    time::{HOUR, Timestamp},
};

crate::on_both_databases!(
    a_job_that_fails_is_tried_again_later,
    a_job_that_always_fails_is_given_up_with_a_reason,
    many_workers_do_each_job_once,
    tenants_take_turns,
    a_judge_that_lost_its_claim_decides_nothing_and_harms_no_file_of_its_successor,
);

fn in_an_hour() -> Timestamp {
    now().plus(HOUR)
}

async fn a_job_that_fails_is_tried_again_later(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let version = world.upload(&scope, "facts", &rows(12)).await.unwrap();
    let path = world.store_folder().join(artefacts::dataset_original(&version.tenant, version.id));
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    assert_eq!(world.platform.run_due_jobs("a").await.unwrap(), 1);
    // Not at once again, and nothing is decided.
    assert_eq!(world.platform.run_due_jobs("a").await.unwrap(), 0);
    assert_eq!(world.platform.datasets(&scope).by_version_id(version.id).await.unwrap().state, VersionState::Checking);
    std::fs::rename(&away, &path).unwrap();
    let later = world.replica(in_an_hour).await;
    assert_eq!(later.run_due_jobs("b").await.unwrap(), 1);
    assert_eq!(world.platform.datasets(&scope).by_version_id(version.id).await.unwrap().state, VersionState::Ready);
    assert_eq!(later.run_due_jobs("b").await.unwrap(), 0);
}

async fn a_job_that_always_fails_is_given_up_with_a_reason(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let version = world.upload(&scope, "facts", &rows(12)).await.unwrap();
    world.execute("UPDATE jobs SET attempts = 8").await.unwrap();
    assert_eq!(world.platform.run_due_jobs("a").await.unwrap(), 1);
    let version = world.platform.datasets(&scope).by_version_id(version.id).await.unwrap();
    assert_eq!(version.state, VersionState::Rejected);
    assert_eq!(version.reason, Some(DatasetReason::CheckGivenUp));
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
            tokio::spawn(async move { platform.run_due_jobs(&format!("worker {i}")).await.unwrap() })
        })
        .collect();
    let mut begun = 0;
    for worker in workers {
        begun += worker.await.unwrap();
    }
    // A worker that comes second to a job may leave with others still waiting; nothing is done twice.
    begun += world.platform.run_due_jobs("last").await.unwrap();
    assert_eq!(begun, 12);
    let list = world.platform.datasets(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows;
    assert!(list.iter().all(|d| d.latest.as_ref().unwrap().state == VersionState::Ready));
}

async fn tenants_take_turns(world: World) {
    for tenant in ["acme", "beta"] {
        world.tenant(tenant).await;
    }
    let (acme, beta) = (world.scope("ann", "acme", Role::Engineer).await, world.scope("bob", "beta", Role::Engineer).await);
    for i in 0..5 {
        world.upload(&acme, &format!("d{i}"), &rows(3)).await.unwrap();
    }
    let late = world.upload(&beta, "late", &rows(3)).await.unwrap();
    for _ in 0..2 {
        assert!(world.platform.run_next_job("a", 1).await.unwrap());
    }
    assert_eq!(world.platform.datasets(&beta).by_version_id(late.id).await.unwrap().state, VersionState::Ready);
    // While one of acme's is being done by this process, it takes no second one of acme.
    world.execute("UPDATE jobs SET claimed_by = 'a', claimed_until = 9999999999999 WHERE id = (SELECT MIN(id) FROM jobs)").await.unwrap();
    assert!(!world.platform.run_next_job("a", 1).await.unwrap());
    assert!(world.platform.run_next_job("a", 2).await.unwrap());
    assert!(world.platform.run_next_job("b", 1).await.unwrap());
}

async fn a_judge_that_lost_its_claim_decides_nothing_and_harms_no_file_of_its_successor(world: World) {
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    // Long enough to lose the claim in the middle.
    let version = world.upload(&scope, "facts", &rows(150_000)).await.unwrap();
    let late = world.platform.clone();
    let late = tokio::spawn(async move { late.run_next_job("late", 1).await.unwrap() });
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while world.execute("UPDATE jobs SET claimed_by = 'thief', claimed_until = 9999999999999 WHERE claimed_by = 'late'").await.unwrap() == 0
    {
        assert!(std::time::Instant::now() < end && !late.is_finished());
    }
    assert!(late.await.unwrap());
    let now = async || world.platform.datasets(&scope).by_version_id(version.id).await.unwrap();
    assert_eq!((now().await.state, now().await.report), (VersionState::Checking, None), "the late judge decided");
    // The successor, and then the late one again, as if it had been frozen in the middle.
    world.execute("UPDATE jobs SET claimed_by = NULL, claimed_until = NULL").await.unwrap();
    assert!(world.platform.run_next_job("next", 1).await.unwrap());
    let ready = now().await;
    let train = world.store_folder().join(artefacts::dataset_train(&ready.tenant, ready.id, ready.judgement.as_deref()));
    let written = std::fs::metadata(&train).unwrap().modified().unwrap();
    assert_eq!(std::fs::read_to_string(&train).unwrap().lines().count() as u64, ready.report.as_ref().unwrap().train_rows);
    world.execute(format!("UPDATE dataset_versions SET state = 'checking' WHERE id = '{}'", version.id)).await.unwrap();
    let again = format!(
        "INSERT INTO jobs (id, kind, tenant, object, payload_json, attempts, run_after) VALUES ('again', 'inspect', 'acme', '{}', 'null', 0, 0)",
        version.id
    );
    world.execute(again).await.unwrap();
    let late = world.platform.clone();
    let late = tokio::spawn(async move { late.run_next_job("late", 1).await.unwrap() });
    while world.execute("UPDATE jobs SET claimed_by = 'thief', claimed_until = 9999999999999 WHERE claimed_by = 'late'").await.unwrap() == 0
    {
        assert!(std::time::Instant::now() < end && !late.is_finished());
    }
    world.execute(format!("UPDATE dataset_versions SET state = 'ready' WHERE id = '{}'", version.id)).await.unwrap();
    late.await.unwrap();
    assert_eq!(now().await, ready);
    assert_eq!(std::fs::metadata(&train).unwrap().modified().unwrap(), written, "a late judge wrote over its successor's file");
}
