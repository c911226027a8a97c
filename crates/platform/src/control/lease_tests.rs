//! Who leads, and what one who no longer does can still do: nothing.

use super::*;
use crate::control::{Halt, checkpoints, sweep};
use domain::{artefacts::ArtefactStore, time::Timestamp};
use engine::{Engine, local::LocalEngine};

async fn platform(folder: &std::path::Path) -> Platform {
    let config = crate::Config {
        database_url: "sqlite::memory:".into(),
        store: ArtefactStore::Local { root: folder.join("store").display().to_string() },
        store_key: None,
        garage: None,
        engine: Engine::Local(LocalEngine::new(folder.join("tasks"), "/bin/false".into(), Default::default())),
        task_limits: Default::default(),
        outside_allowed: Default::default(),
        session_hours: crate::SESSION_HOURS,
        session_idle_minutes: crate::SESSION_IDLE_MINUTES,
        confirm_seconds: crate::CONFIRM_SECONDS,
        token_key: crate::sealing::TokenKey::new([7; 32]),
        upload_bytes: crate::UPLOAD_BYTES,
        tenant_group: "atelier/{tenant}/{role}".into(),
        outside_host: None,
    };
    Platform::open(config, || Timestamp(1_000_000)).await.unwrap()
}

#[tokio::test]
async fn a_lease_is_renewed_by_its_holder_and_taken_only_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = platform(folder.path()).await.store().clone();
    let at = |ms: i64| Timestamp(1_000_000 + ms);
    let take = |holder: &'static str, ms: i64| {
        let store = store.clone();
        async move { store.take_lease(LEASE, holder, at(ms), at(ms + LEASE_LASTS)).await.unwrap().map(|f| f.number) }
    };
    assert_eq!(take("a", 0).await, Some(1));
    assert_eq!(take("b", 4_999).await, None);
    assert_eq!(take("a", 4_999).await, Some(1), "a renewal is no new term");
    assert_eq!(take("b", 5_000).await, None, "the lease was renewed");
    assert_eq!(take("b", 9_999).await, Some(2));
    assert_eq!(take("a", 10_000).await, None);
    let fence = Fence { lease: LEASE, holder: "b".into(), number: 2 };
    store.release_lease(&fence, at(10_001)).await.unwrap();
    assert_eq!(take("a", 10_002).await, Some(3), "a lease that was given back need not be waited for");
}

/// Its clock was an hour ahead, and it is gone: by the clock of the others its lease ends in an hour.
#[tokio::test]
async fn a_lease_that_a_clock_of_the_future_took_is_free_once_nobody_renews_it() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    let ahead = platform.now().plus(3600 * SECOND);
    let take = |at: Timestamp| platform.store().take_lease(LEASE, "a", at, at.plus(LEASE_LASTS));
    let first = take(ahead).await.unwrap().unwrap();
    let mut seen = None;
    platform.end_if_left(&mut seen).await.unwrap();

    // As long as it renews, it leads, whatever its clock says.
    seen = seen.map(|(held, since)| (held, since.checked_sub(LEFT).unwrap()));
    take(ahead.plus(SECOND)).await.unwrap().unwrap();
    platform.end_if_left(&mut seen).await.unwrap();
    assert!(Leader::new(&platform, first).begin().await.is_ok());
    let now = platform.now();
    assert_eq!(platform.store().take_lease(LEASE, "b", now, now.plus(LEASE_LASTS)).await.unwrap(), None);

    let mut fence = None;
    let waited = LEFT + 4 * RENEW_EVERY;
    drop(tokio::time::timeout(waited, platform.lead("b", &mut fence)).await);
    assert_eq!(fence.map(|f| (f.holder, f.number)), Some(("b".into(), 2)), "nobody leads {waited:?} after the last renewal");
}

#[tokio::test]
async fn a_leader_whose_lease_is_lost_gets_no_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    let now = platform.now();
    let fence = platform.store().take_lease(LEASE, "a", now, now.plus(LEASE_LASTS)).await.unwrap().unwrap();
    let leader = Leader::new(&platform, fence);
    assert!(leader.begin().await.is_ok());
    // Past its end, but nobody has taken it: what it does is still the only thing that is done.
    let later = now.plus(LEASE_LASTS + 1);
    assert!(leader.begin().await.is_ok());
    platform.store().take_lease(LEASE, "b", later, later.plus(LEASE_LASTS)).await.unwrap().unwrap();
    assert!(matches!(leader.begin().await, Err(Halt::LeaseLost)));
    assert!(matches!(leader.effects().await, Err(Halt::LeaseLost)));
}

/// The lease is somebody else's, who has not touched the engine yet: only the look before the effect prevents it.
#[tokio::test]
async fn a_leader_whose_lease_is_lost_has_no_effect_on_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    let now = platform.now();
    let fence = platform.store().take_lease(LEASE, "a", now, now.plus(LEASE_LASTS)).await.unwrap().unwrap();
    let leader = Leader::new(&platform, fence);
    leader.engine.begin_term().await.unwrap();
    let later = now.plus(LEASE_LASTS + 1);
    platform.store().take_lease(LEASE, "b", later, later.plus(LEASE_LASTS)).await.unwrap().unwrap();
    let before = std::fs::read_dir(folder.path().join("tasks")).unwrap().count();
    assert!(matches!(leader.stop("run-1-train", Duration::ZERO).await, Err(Halt::LeaseLost)));
    assert!(matches!(sweep::remove(&leader, "run-1-train").await, Err(Halt::LeaseLost)));
    assert!(matches!(leader.effects().await, Err(Halt::LeaseLost)));
    assert!(!leader.memory(|m| m.stopping.contains("run-1-train")), "what was not done is not remembered");
    assert_eq!(std::fs::read_dir(folder.path().join("tasks")).unwrap().count(), before);
}

/// The look said yes, then this process was frozen; thawed, it goes on where it was.
#[tokio::test]
async fn a_leader_that_thaws_after_its_successor_has_begun_is_refused_by_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    let now = platform.now();
    let fence = platform.store().take_lease(LEASE, "a", now, now.plus(LEASE_LASTS)).await.unwrap().unwrap();
    let old = platform.begin_term("a", &fence).await.unwrap().leader;
    let hands = old.effects().await.unwrap().clone();
    let later = now.plus(LEASE_LASTS + 1);
    let next = platform.store().take_lease(LEASE, "b", later, later.plus(LEASE_LASTS)).await.unwrap().unwrap();
    assert!(platform.begin_term("b", &next).await.is_some());
    let task = engine::Task {
        tenant: "acme".parse().unwrap(),
        name: "run-1-train".into(),
        kind: engine::TaskKind::Batch,
        runtime: engine::Runtime::Trainer,
        args: Vec::new(),
        spec: String::new(),
        resources: Default::default(),
        secrets: Vec::new(),
        replicas: 1,
        deadline: None,
        grace: Duration::ZERO,
    };
    assert!(matches!(hands.apply(&task).await, Err(engine::Error::Outdated { .. })));
    assert!(matches!(hands.stop("run-1-train", Duration::ZERO).await, Err(engine::Error::Outdated { .. })));
    assert_eq!(platform.engine().list("run-").await.unwrap(), []);
}

#[tokio::test]
async fn a_database_that_was_set_back_goes_on_after_the_terms_that_the_engine_knows() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    platform.engine().in_term(57).begin_term().await.unwrap();
    let now = platform.now();
    let take = || platform.store().take_lease(LEASE, "a", now, now.plus(LEASE_LASTS));
    let fence = take().await.unwrap().unwrap();
    assert!(platform.begin_term("a", &fence).await.is_none());
    let fence = take().await.unwrap().unwrap();
    assert_eq!(fence.number, 58);
    assert!(platform.begin_term("a", &fence).await.is_some());
}

/// Whoever runs it sees that it has ended, and ends the process (`server::supervised`).
#[tokio::test]
async fn a_process_in_which_nobody_reads_changes_any_more_does_not_go_on_as_if_nothing_changed() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    let (events, beside) = (platform.watch_events(std::future::pending()), platform.watch_events(std::future::pending()));
    let controlled = platform.control("a".into(), std::future::pending());
    let ending = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        platform.store().end_reading();
    };
    let all = async { tokio::join!(events, beside, controlled, ending) };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("somebody goes on");
}

#[tokio::test]
async fn the_leader_signs_a_checkpoint_of_the_audit_log_and_the_next_one_in_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    let now = platform.now();
    let fence = platform.store().take_lease(LEASE, "a", now, now.plus(LEASE_LASTS)).await.unwrap().unwrap();
    let next = checkpoints::sign(Leader::new(&platform, fence)).await.unwrap();
    assert_eq!(next, Duration::from_secs(3600));
    let signed = folder.path().join("store").join(domain::artefacts::audit_checkpoints());
    assert_eq!(std::fs::read_dir(signed).unwrap().count(), 1);
}
