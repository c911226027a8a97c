//! Artefacts in a real S3 store (Garage): buckets and keys of tenants, who gets them, and what is said while there are none.

use crate::house::{House, Store, until};
use domain::{
    artefacts::{ArtefactStore, StoreKey},
    filter::AuditFilter,
    problem::{Outage, ProblemKind},
    reason::store_key::NoStoreKey,
    run::{Reason, Run},
    time::{MINUTE, Timestamp},
};
use platform::{access::PlatformScope, tenants::NewTenant};
use storage::{GarageAdmin, Patience, Storage};
use testing::garage::{self, Garage, Key, REGION};

const SHORT: Patience = Patience { repeats: 1, ..Patience::PORTAL };

fn location(garage: &Garage) -> ArtefactStore {
    ArtefactStore::S3 {
        endpoint: garage.endpoint.clone(),
        region: REGION.into(),
        bucket_prefix: "house-".into(),
        path_style: true,
        ca: None,
    }
}

fn key((access_key_id, secret_access_key): Key) -> StoreKey {
    StoreKey { access_key_id, secret_access_key }
}

/// With the platform's bucket, in which the base model is registered before any controller runs. `makes`: whether the portal may use
/// Garage's admin API.
async fn house(garage: &Garage, admin: Option<GarageAdmin>, database: Option<String>) -> House {
    let portal = garage.key("portal");
    garage.bucket("house-platform");
    garage.allow("house-platform", &portal, &["--read", "--write"]);
    for tenant in ["lumenta", "velkor"].iter().filter(|_| admin.is_none()) {
        garage.bucket(&format!("house-{tenant}"));
        garage.allow(&format!("house-{tenant}"), &portal, &["--read", "--write"]);
    }
    let store = Store { location: location(garage), key: Some(key(portal)), garage: admin };
    House::on(tempfile::tempdir().unwrap(), database, store).await
}

fn admin(garage: &Garage) -> GarageAdmin {
    GarageAdmin::new(&garage.admin, &garage.admin_token, None).unwrap()
}

/// The key that a task of this tenant was given.
async fn given(house: &House, tenant: &str) -> StoreKey {
    let file = house.control_file(&format!("key-{tenant}"));
    let text = until(|| async { std::fs::read_to_string(&file).map_err(|e| e.to_string()) }).await;
    serde_json::from_str(&text).unwrap()
}

fn waits(run: &Run) -> Option<NoStoreKey> {
    run.steps.iter().find_map(|step| match &step.reason {
        Reason::WaitsForStoreKey { why } => Some(why.clone()),
        _ => None,
    })
}

async fn the_whole_way(garage: &Garage, house: House) {
    let controller = house.controller("a");
    let scope = house.owner().await;
    let tenants = PlatformScope::command_line();
    let made = async || {
        let filter = AuditFilter { action: Some("tenant.store_key".into()), limit: 100, ..AuditFilter::default() };
        house.platform.platform_audit(&tenants).page(filter).await.unwrap().rows
    };
    // The buckets are there as soon as the controller has looked: an upload before that is refused with a sentence.
    until(|| async { if made().await.len() == 2 { Ok(()) } else { Err(garage.told(&["bucket", "list"])) } }).await;
    house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 42).await;
    let lumentas = given(&house, "lumenta").await;
    let own = Storage::open(&location(garage), Some(&lumentas), SHORT).unwrap();
    own.probe("t/lumenta").await.unwrap();
    own.can_list("base-models").await.unwrap();
    for other in [own.probe("t/velkor").await, own.can_list("t/velkor").await, own.probe("base-models").await] {
        assert_eq!(storage::outage(&other.unwrap_err()), Outage::StoreKeyRefused);
    }
    // This script leaves no weights in a bucket.
    let run = house.run_until(&scope, &run, |run| run.state.is_final()).await;
    assert_eq!(run.failure.as_ref().unwrap().cause.code(), "output_missing");

    let records = made().await;
    assert_eq!(records.len(), 2, "one a tenant, however often it is looked at");
    assert!(records.iter().any(|r| r.entry.detail.said().contains(&lumentas.access_key_id)));
    assert!(records.iter().all(|r| !r.entry.detail.stored().contains(&lumentas.secret_access_key)));

    // A tenant that is created later, and another leader.
    drop(controller);
    let another = house.another().await;
    let _controller = crate::house::controller(another, "b");
    let new = NewTenant { name: "norda".into(), title: String::new(), quota: Default::default() };
    house.platform.tenants(&tenants).create(new).await.unwrap();
    until(|| async {
        let said = garage.told(&["key", "list"]);
        let of = |name: &str| said.lines().filter(|line| line.contains(name)).count();
        if of("house-norda") == 1 && of("house-lumenta") == 1 { Ok(()) } else { Err(said) }
    })
    .await;

    // One that is deleted takes its bucket and its key along.
    house.platform.tenants(&tenants).delete("lumenta", "lumenta").await.unwrap();
    until(|| async {
        let said = garage.told(&["bucket", "list"]) + &garage.told(&["key", "list"]);
        if said.contains("house-lumenta") || !said.contains("house-norda") { Err(said) } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_gets_a_bucket_and_a_key_of_its_own_and_its_tasks_get_the_key() {
    let Some(garage) = garage::start() else { return };
    let house = house(&garage, Some(admin(&garage)), None).await;
    the_whole_way(&garage, house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_gets_a_bucket_and_a_key_of_its_own_and_its_tasks_get_the_key_on_postgres() {
    let Some(garage) = garage::start() else { return };
    let Some(database) = crate::house::postgres::fresh_database().await else { return };
    let house = house(&garage, Some(admin(&garage)), Some(database)).await;
    the_whole_way(&garage, house).await;
}

fn in_three_minutes() -> Timestamp {
    crate::house::now().plus(3 * MINUTE)
}

async fn a_rotation(garage: &Garage, house: House) {
    let controller = house.controller("a");
    let scope = house.owner().await;
    let command_line = PlatformScope::command_line();
    let tenants = house.platform.tenants(&command_line);
    let records = async |action: &str| {
        let filter = AuditFilter { action: Some(action.into()), limit: 100, ..AuditFilter::default() };
        house.platform.platform_audit(&command_line).page(filter).await.unwrap().rows
    };
    until(|| async { if records("tenant.store_key").await.len() == 2 { Ok(()) } else { Err(garage.told(&["key", "list"])) } }).await;
    house.dataset(&scope, "facts", 20).await;
    // This one trains until it is told to go on.
    let run = house.launch(&scope, "facts-1", 200).await;
    let old = given(&house, "lumenta").await;

    // A rotation that was killed when Garage had made the key: the tenant has the one that it had, and the next rotation takes what is there.
    let left = admin(garage).another_key("house-lumenta").await.unwrap();
    let rotated = tenants.rotate_store_key("lumenta").await.unwrap();
    assert_eq!((&rotated.access_key_id, &rotated.replaced), (&left.access_key_id, &old.access_key_id));
    let opens = async |key: &StoreKey| Storage::open(&location(garage), Some(key), SHORT).unwrap().probe("t/lumenta").await.is_ok();
    assert!(opens(&old).await && opens(&left).await, "the new one works before the old one ends");
    assert!(records("tenant.store_key").await.iter().any(|r| r.entry.detail.said().contains(&rotated.replaced)));

    // Another leader, and later: what works with the old key keeps it, and what starts gets the new one.
    drop(controller);
    let controller = crate::house::controller(house.another_by(in_three_minutes).await, "b");
    let secret = house.folder.path().join("tasks/.secrets/lumenta/store");
    until(|| async {
        let text = std::fs::read_to_string(&secret).unwrap_or_default();
        if text.contains(&left.access_key_id) { Ok(()) } else { Err("the engine has the old key".to_owned()) }
    })
    .await;
    assert!(opens(&old).await && house.count("SELECT COUNT(*) FROM store_keys_ending").await == 1);

    std::fs::write(house.control_file("mended"), "").unwrap();
    house.run_until(&scope, &run, |run| run.state.is_final()).await;
    drop(controller);
    let _controller = crate::house::controller(house.another_by(in_three_minutes).await, "c");
    until(|| async { if opens(&old).await { Err(garage.told(&["key", "list"])) } else { Ok(()) } }).await;
    until(|| async { if records("tenant.store_key_ended").await.len() == 1 { Ok(()) } else { Err("no record".to_owned()) } }).await;
    assert!(opens(&left).await && house.count("SELECT COUNT(*) FROM store_keys_ending").await == 0);
    std::fs::remove_file(house.control_file("key-lumenta")).unwrap();
    house.launch(&scope, "facts-2", 42).await;
    assert_eq!(given(&house, "lumenta").await, left);
    let all = records("tenant.").await;
    assert!(all.iter().all(|r| ![&old, &left].iter().any(|k| r.entry.detail.stored().contains(&k.secret_access_key))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_works_before_the_old_one_ends_and_what_works_goes_on_with_the_one_that_it_has() {
    let Some(garage) = garage::start() else { return };
    let house = house(&garage, Some(admin(&garage)), None).await;
    a_rotation(&garage, house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_works_before_the_old_one_ends_and_what_works_goes_on_with_the_one_that_it_has_on_postgres() {
    let Some(garage) = garage::start() else { return };
    let Some(database) = crate::house::postgres::fresh_database().await else { return };
    let house = house(&garage, Some(admin(&garage)), Some(database)).await;
    a_rotation(&garage, house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_cannot_be_made_is_refused_with_the_next_step_and_the_key_stays() {
    let Some(mut garage) = garage::start() else { return };
    let by_hand = house(&garage, None, None).await;
    let command_line = PlatformScope::command_line();
    let refused = by_hand.platform.tenants(&command_line).rotate_store_key("lumenta").await.unwrap_err();
    assert!(refused.next_step.contains("atelier tenant store-key"), "{refused}");
    let house = by_hand.with_garage(admin(&garage)).await;
    let tenants = house.platform.tenants(&command_line);
    let refused = tenants.rotate_store_key("lumenta").await.unwrap_err();
    assert!(refused.sentence.contains("has no key of the store yet"), "{refused}");
    let controller = house.controller("a");
    house.dataset(&house.owner().await, "facts", 20).await;
    house.launch(&house.owner().await, "facts-1", 42).await;
    let key = given(&house, "lumenta").await;
    drop(controller);
    garage.stop();
    let refused = tenants.rotate_store_key("lumenta").await.unwrap_err();
    assert!(refused.kind == ProblemKind::Unavailable && refused.sentence.contains("keeps its key"), "{refused}");
    garage.run();
    Storage::open(&location(&garage), Some(&key), Patience::PORTAL).unwrap().probe("t/lumenta").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_garages_admin_api_a_run_waits_for_the_key_that_an_admin_gives() {
    let Some(garage) = garage::start() else { return };
    let house = house(&garage, None, None).await;
    let _controller = house.controller("a");
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 42).await;
    let run = house.run_until(&scope, &run, |run| waits(run).is_some()).await;
    assert_eq!(waits(&run), Some(NoStoreKey::NotGiven));
    assert!(run.steps.iter().any(|step| step.reason.said().contains("atelier tenant store-key")));

    let admin = PlatformScope::command_line();
    let tenants = house.platform.tenants(&admin);
    let lumentas = garage.key("lumenta");
    // One that does not work is refused with what it lacks, and not stored.
    for (bucket, rights, lacks) in [
        ("house-velkor", &["--read", "--write"][..], "house-lumenta"),
        ("house-lumenta", &["--read"], "read and write"),
        ("house-lumenta", &["--write"], "house-platform"),
    ] {
        garage.allow(bucket, &lumentas, rights);
        let refused = tenants.set_store_key("lumenta", key(lumentas.clone())).await.unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Invalid, "{refused}");
        assert!(refused.sentence.contains(lacks), "{refused}");
    }
    garage.allow("house-platform", &lumentas, &["--read"]);
    tenants.set_store_key("lumenta", key(lumentas.clone())).await.unwrap();
    assert_eq!(given(&house, "lumenta").await, key(lumentas));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_garages_admin_api_is_away_or_refuses_a_run_says_so_and_starts_when_it_is_back() {
    let Some(mut garage) = garage::start() else { return };
    let wrong = GarageAdmin::new(&garage.admin, "not-the-token", None).unwrap();
    // A dataset needs the bucket, so its tenant has one already, and only the key is missing.
    let house = house(&garage, Some(wrong), None).await;
    garage.bucket("house-lumenta");
    let portal =
        garage.told(&["key", "list"]).lines().find(|l| l.contains("portal")).unwrap().split_whitespace().next().unwrap().to_owned();
    garage.allow("house-lumenta", &(portal, String::new()), &["--read", "--write"]);
    let scope = house.owner().await;
    house.dataset(&scope, "facts", 20).await;
    let run = house.launch(&scope, "facts-1", 42).await;
    let controller = house.controller("a");
    house.run_until(&scope, &run, |run| waits(run) == Some(NoStoreKey::MakerRefusesToken)).await;
    drop(controller);

    let house = house.with_garage(admin(&garage)).await;
    garage.stop();
    let _controller = house.controller("b");
    house.run_until(&scope, &run, |run| waits(run) == Some(NoStoreKey::MakerAway)).await;
    garage.run();
    given(&house, "lumenta").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_is_called_like_the_bucket_that_all_share() {
    let Some(garage) = garage::start() else { return };
    let house = house(&garage, None, None).await;
    let admin = PlatformScope::command_line();
    let new = |name: &str| NewTenant { name: name.into(), title: String::new(), quota: Default::default() };
    let refused = house.platform.tenants(&admin).create(new("platform")).await.unwrap_err();
    assert!(refused.sentence.contains("all tenants share"), "{refused}");
    let refused = house.platform.tenants(&admin).create(new(&"a".repeat(60))).await.unwrap_err();
    assert!(refused.sentence.contains("At most 57 characters"), "{refused}");
}
