//! Model servers that refuse, fail or are not there.

use crate::{
    double::closes_early,
    world::{World, chat, name, route},
};
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn refusals_of_the_model_server_are_told_in_our_words() {
    let mut world = World::start().await;
    let grammar = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {}}});
    for (model, more, status, code, param) in [
        ("refuses", json!({}), 400, "context_length_exceeded", json!("messages")),
        ("refuses-new", json!({"temperature": -1}), 400, "invalid_request_error", json!("temperature")),
        ("crashes", json!({}), 502, "upstream_error", json!(null)),
        ("locked", json!({}), 502, "upstream_refused", json!(null)),
        ("unloaded", json!({}), 503, "endpoint_not_ready", json!(null)),
        ("busy", json!({}), 503, "upstream_busy", json!(null)),
        ("grammar", json!({"response_format": grammar}), 400, "invalid_grammar", json!("response_format")),
        ("grammar", json!({}), 502, "upstream_error", json!(null)),
        ("tools", json!({"tools": [{"type": "function", "function": {"name": "f"}}]}), 400, "tools_not_supported", json!("tools")),
        ("garbles", json!({}), 502, "upstream_invalid", json!(null)),
    ] {
        let mut body = chat(&format!("acme/{model}"));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = world.chat(&body).await;
        assert_eq!(answer.refused(), (status, code.into()), "{model}");
        assert_eq!(answer.json()["error"]["param"], param, "{model}");
        for inside in ["srv-", "/srv", "/tmp", "--enable", "traceback", "Unauthorized", "BadRequestError"] {
            assert!(!answer.text.contains(inside), "{}", answer.text);
        }
        assert!(!answer.headers.contains_key("www-authenticate"), "{answer:?}");
        let call = world.metered().await;
        assert_eq!((call.status, call.error.as_deref(), call.prompt_tokens, call.estimated), (status, Some(code), 0, false));
    }
    let long = world.chat(&chat("refuses")).await;
    assert!(long.message().contains("the context of “refuses”, 4096 tokens"), "{}", long.message());
    assert_eq!(world.chat(&chat("busy")).await.header("retry-after"), "17", "as the model server said");
}

#[tokio::test]
async fn a_model_server_that_is_not_there_is_a_503_that_says_when_to_come_back() {
    let mut world = World::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.change(|d| {
        d.tenants.get_mut(&name("acme")).unwrap().routes.insert("helpdesk".into(), route(Some(&format!("http://{free}")), "helpdesk"));
    });
    let answer = world.chat(&chat("helpdesk")).await;
    assert_eq!(answer.refused(), (503, "upstream_unreachable".into()));
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(world.metered().await.error.as_deref(), Some("upstream_unreachable"));
}

#[tokio::test]
async fn a_model_server_that_hangs_up_is_tried_once_more_and_no_more() {
    let mut world = World::start().await;
    let (count, address) = closes_early().await;
    world.change(|d| {
        d.tenants.get_mut(&name("acme")).unwrap().routes.insert("helpdesk".into(), route(Some(&address), "helpdesk"));
    });
    assert_eq!(world.chat(&chat("helpdesk")).await.refused(), (502, "upstream_died".into()));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(world.metered().await.status, 502);
}
