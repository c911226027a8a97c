//! Artefacts in a real S3 store (Garage): buckets and keys of tenants, who gets them, and what is said while there are none.

use crate::house::{House, Store, until};
use domain::{
    artefacts::{ArtefactStore, StoreKey},
    filter::AuditFilter,
    problem::{Outage, ProblemKind},
    reason::store_key::NoStoreKey,
    run::{Reason, Run},
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
