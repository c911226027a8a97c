//! Who leads, and what one who no longer does can still do: nothing.

use super::*;
use domain::{store_location::StoreLocation, time::Timestamp};
use engine::{Engine, local::LocalEngine};

async fn platform(folder: &std::path::Path) -> Platform {
    let config = crate::Config {
        database_url: "sqlite::memory:".into(),
        store: StoreLocation::Local { root: folder.join("store").display().to_string() },
        engine: Engine::Local(LocalEngine::new(folder.join("tasks"), "/bin/false".into())),
        task_env: Default::default(),
        session_hours: crate::SESSION_HOURS,
        session_idle_minutes: crate::SESSION_IDLE_MINUTES,
        confirm_seconds: crate::CONFIRM_SECONDS,
        token_key: crate::sealing::TokenKey::new([7; 32]),
        upload_bytes: crate::UPLOAD_BYTES,
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

#[tokio::test]
async fn a_deposed_leader_gets_no_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let platform = platform(folder.path()).await;
    let now = platform.now();
    let fence = platform.store().take_lease(LEASE, "a", now, now.plus(LEASE_LASTS)).await.unwrap().unwrap();
    let leader = Leader { platform: platform.clone(), fence, memory: Arc::default() };
    assert!(leader.begin().await.is_ok());
    // Past its end, but nobody has taken it: what it does is still the only thing that is done.
    let later = now.plus(LEASE_LASTS + 1);
    assert!(leader.begin().await.is_ok());
    platform.store().take_lease(LEASE, "b", later, later.plus(LEASE_LASTS)).await.unwrap().unwrap();
    assert!(matches!(leader.begin().await, Err(Halt::Deposed)));
    assert!(matches!(leader.still_leads().await, Err(Halt::Deposed)));
}
