//! Model servers that refuse, fail or are not there.

use crate::{
    double::hangs_up,
    world::{World, chat, name, route},
};
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn refusals_of_vllm_keep_status_and_message_in_openais_shape() {
    let mut world = World::start().await;
    let answer = world.chat(&chat("acme/refuses")).await;
    assert_eq!(answer.refused(), (400, "context_length_exceeded".into()));
    assert_eq!(answer.message(), "This model's maximum context length is 16 tokens. The model `acme/refuses` got more.");
    let call = world.metered().await;
    assert_eq!((call.status, call.error.as_deref(), call.prompt_tokens, call.estimated), (400, Some("context_length_exceeded"), 0, false));

    let answer = world.chat(&chat("refuses-new")).await;
    assert_eq!(answer.refused(), (400, "invalid_request_error".into()));
    let error = json!({"message": "temperature must be non-negative", "type": "invalid_request_error", "param": "temperature", "code": "invalid_request_error"});
    assert_eq!(answer.json()["error"], error);
}

#[tokio::test]
async fn what_is_not_an_answer_is_not_passed_on() {
    let world = World::start().await;
    let crashed = world.chat(&chat("crashes")).await;
    assert_eq!(crashed.refused(), (500, "upstream_error".into()));
    assert!(!crashed.text.contains("traceback"), "{}", crashed.text);
    assert_eq!(world.chat(&chat("garbles")).await.refused(), (502, "upstream_invalid".into()));
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
    let (count, address) = hangs_up().await;
    world.change(|d| {
        d.tenants.get_mut(&name("acme")).unwrap().routes.insert("helpdesk".into(), route(Some(&address), "helpdesk"));
    });
    assert_eq!(world.chat(&chat("helpdesk")).await.refused(), (502, "upstream_died".into()));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(world.metered().await.status, 502);
}
