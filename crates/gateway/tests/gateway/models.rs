//! Which models a caller sees, and under which name it calls them.

use crate::world::{World, chat, entry, key, name, version};
use serde_json::json;

#[tokio::test]
async fn the_list_shows_the_tenants_own_models_in_openais_shape() {
    let world = World::start().await;
    let list = world.get("/v1/models", &key(2)).await;
    assert_eq!(
        list.json(),
        json!({"object": "list", "data": [
            {"id": "secret", "object": "model", "created": 1_800_000_000, "owned_by": "rival", "parent": "tiny-base", "ready": true}
        ]})
    );
    let under_tenant = world.get("/t/rival/v1/models", &key(2)).await;
    assert_eq!(under_tenant.text, list.text);
    let one = world.get("/v1/models/secret", &key(2)).await;
    assert_eq!(one.json(), list.json()["data"][0]);
    assert_eq!(world.get("/v1/models/rival%2Fsecret", &key(2)).await.json()["id"], "rival/secret");
    assert_eq!(world.get("/v1/models/rival/secret", &key(2)).await.json()["id"], "rival/secret");
}

#[tokio::test]
async fn a_key_for_some_models_sees_and_calls_only_those() {
    let mut world = World::start().await;
    world.change(|d| {
        let (digest, mut restricted) = entry(3, "acme");
        restricted.models = Some(vec!["helpdesk".into()]);
        d.keys.insert(digest, restricted);
    });
    let list = world.get("/v1/models", &key(3)).await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(ids, [&json!("helpdesk")]);
    assert_eq!(world.get("/v1/models/tiny-base", &key(3)).await.refused(), (404, "model_not_found".into()));
    for allowed in ["helpdesk", "acme/helpdesk"] {
        assert_eq!(world.post("/v1/chat/completions", &key(3), &chat(allowed)).await.status, 200);
        world.metered().await;
    }
    let refused = world.post("/v1/chat/completions", &key(3), &chat("tiny-base")).await;
    assert_eq!(refused.refused(), (403, "model_not_allowed".into()));
    assert!(refused.message().contains("may call helpdesk"), "{}", refused.message());
    assert_eq!(world.double.hits(), 2);
}

#[tokio::test]
async fn the_model_server_gets_its_own_name_and_the_client_gets_back_the_clients() {
    let world = World::start().await;
    for id in ["helpdesk", "acme/helpdesk"] {
        let mut asked = chat(id);
        asked["temperature"] = json!(0.25);
        asked["unknown_extra"] = json!({"kept": [1, null]});
        let answer = world.chat(&asked).await;
        assert_eq!((answer.status, &answer.json()["model"]), (200, &json!(id)));
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "It says srv-helpdesk.", "only the field is rewritten, not the text");
        assert!(!answer.text.contains("prompt_logprobs") && !answer.text.contains("service_tier"), "{}", answer.text);
        let mut wanted = asked;
        wanted["model"] = json!("srv-helpdesk");
        assert_eq!(world.double.last(), wanted);
    }
    let heard = world.double.headers.lock().unwrap();
    assert!(heard.iter().all(|h| !h.contains_key("authorization")), "the key goes no further than here");
}

#[tokio::test]
async fn both_kinds_of_completion_reach_their_own_path_and_no_other() {
    let mut world = World::start().await;
    let answer = world.post("/t/acme/v1/completions", &key(1), &json!({"model": "helpdesk", "prompt": "The printer is"})).await;
    assert_eq!((answer.status, &answer.json()["choices"][0]["text"]), (200, &json!("It says so.")));
    let call = world.metered().await;
    assert_eq!((call.route.as_str(), call.tenant, call.model_version), ("completions", name("acme"), Some(version())));
    let paths: Vec<_> = world.double.heard.lock().unwrap().iter().map(|h| h.0.clone()).collect();
    assert_eq!(paths, ["/v1/completions"]);
}
