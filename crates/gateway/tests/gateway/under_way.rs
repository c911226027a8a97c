//! Calls at the same time: one key, member or tenant cannot hold the model servers for itself.

use crate::world::{ANNA, NOW, World, chat, entry, key, name, streaming, until};
use domain::{ids::PersonId, time::DAY};
use uuid::Uuid;

#[tokio::test]
async fn a_key_a_member_and_a_tenant_have_only_so_many_calls_under_way() {
    let world = World::start().await;
    world.change(|d| {
        let (digest, other) = entry(3, "acme");
        d.keys.insert(digest, other);
        let (digest, mut others) = entry(4, "acme");
        others.owner = PersonId::from_uuid(Uuid::from_u128(0xb));
        d.keys.insert(digest, others);
    });
    world.rule(|rules| {
        rules.concurrent_calls_per_key = 1;
        rules.concurrent_calls_per_member = 2;
        rules.concurrent_calls = 3;
    });
    let refused = async |credential: String, whose: &str| {
        let refused = world.post("/t/acme/v1/chat/completions", &credential, &chat("helpdesk")).await;
        assert_eq!(refused.refused(), (429, "concurrency_limit_exceeded".into()));
        assert_eq!(refused.header("retry-after"), "1");
        assert!(refused.message().contains(whose) && refused.message().contains("try again"), "{whose}: {}", refused.message());
    };
    let pass = world.pass("acme", ANNA, NOW.plus(DAY));

    let first = world.open(&streaming("endless")).await;
    refused(key(1), "1 calls of this API key").await;
    let mut second = world.request("POST", "/v1/chat/completions", &key(3), streaming("endless").to_string().into());
    second.headers_mut().remove("content-type");
    let second = world.client.request(second).await.unwrap();
    refused(pass.clone(), "2 calls of this member").await;
    let third = world.request("POST", "/v1/chat/completions", &key(4), streaming("endless").to_string().into());
    let third = world.client.request(third).await.unwrap();
    world.change(|d| {
        d.tenants.get_mut(&name("acme")).unwrap().calls.concurrent_calls_per_member = 9;
    });
    refused(pass.clone(), "3 calls of this tenant").await;
    assert_eq!(world.post("/v1/chat/completions", &key(2), &chat("secret")).await.status, 200, "another tenant is not touched");
    assert_eq!(world.get("/v1/models", &key(1)).await.status, 200, "what holds no model server goes on");

    drop((first, second, third));
    until("the streams are closed", || world.double.aborted.load(std::sync::atomic::Ordering::SeqCst)).await;
    let mut status = 429;
    while status == 429 {
        status = world.post("/t/acme/v1/chat/completions", &pass, &chat("helpdesk")).await.status;
    }
    assert_eq!(status, 200, "the places are free again");
}

#[tokio::test]
async fn a_call_that_is_refused_gives_its_place_back() {
    let world = World::start().await;
    world.rule(|rules| rules.concurrent_calls_per_key = 1);
    for _ in 0..3 {
        assert_eq!(world.chat(&chat("refuses")).await.status, 400);
        assert_eq!(world.chat(&chat("nonesuch")).await.status, 404);
        assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
        assert_eq!(world.chat(&streaming("helpdesk")).await.events().len(), 6);
    }
}

#[tokio::test]
async fn the_playground_is_under_the_tenants_limits() {
    let world = World::start().await;
    world.rule(|rules| rules.limits = crate::world::limits(Some(2), None));
    let pass = world.pass("acme", ANNA, NOW.plus(DAY));
    let ask = async || world.post("/t/acme/v1/chat/completions", &pass, &chat("helpdesk")).await;
    assert_eq!((ask().await.status, ask().await.status), (200, 200));
    let refused = ask().await;
    assert_eq!(refused.refused(), (429, "rate_limit_exceeded".into()));
    assert!(refused.message().contains("2 requests per minute of this tenant"), "{}", refused.message());
}

#[tokio::test]
async fn a_key_may_have_fewer_calls_under_way_than_its_tenants_other_keys_and_never_more() {
    let world = World::start().await;
    let own = |most| world.change(|d| d.keys.get_mut(&entry(1, "acme").0).unwrap().limits.concurrent_calls = Some(most));
    world.rule(|rules| rules.concurrent_calls_per_key = 2);
    own(1);
    let first = world.open(&streaming("endless")).await;
    let refused = world.chat(&chat("helpdesk")).await;
    assert_eq!(refused.refused(), (429, "concurrency_limit_exceeded".into()));
    assert!(refused.message().contains("1 calls of this API key"), "{}", refused.message());
    own(9);
    let second = world.open(&streaming("endless")).await;
    let refused = world.chat(&chat("helpdesk")).await;
    assert!(refused.message().contains("2 calls of this API key"), "the tenant's number is the most: {}", refused.message());
    drop((first, second));
}
