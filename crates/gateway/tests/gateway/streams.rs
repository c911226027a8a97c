//! Streams: rewritten chunk by chunk, not held back, not run ahead, ended in order whatever happens.

use crate::{
    double::{COMPLETION_TOKENS, PROMPT_TOKENS},
    world::{Answer, World, streaming, until},
};
use gateway::GatewayConfig;
use http_body_util::BodyExt;
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};

fn impatient() -> GatewayConfig {
    GatewayConfig { idle_timeout: Duration::from_millis(150), first_byte_timeout: Duration::from_millis(150), ..GatewayConfig::default() }
}

#[tokio::test]
async fn usage_is_asked_for_and_hidden_from_a_client_that_did_not() {
    let mut world = World::start().await;
    let answer = world.chat(&streaming("helpdesk")).await;
    assert_eq!(world.double.last()["stream_options"], json!({"include_usage": true, "continuous_usage_stats": true}));
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(answer.spoken(), "One two three");
    assert!(!answer.text.contains("usage"), "{}", answer.text);
    let events = answer.events();
    assert_eq!((events.len(), events.last()), (6, Some(&json!("[DONE]"))));
    assert!(events[..5].iter().all(|e| e["model"] == "helpdesk"), "{}", answer.text);
    let call = world.metered().await;
    assert_eq!((call.prompt_tokens, call.completion_tokens, call.estimated), (PROMPT_TOKENS, COMPLETION_TOKENS, false));
    assert_eq!((call.status, call.error, call.stream, call.finish_reason.as_deref()), (200, None, true, Some("stop")));
    assert!(call.first_token_ms.is_some_and(|f| f <= call.duration_ms));
}

#[tokio::test]
async fn usage_is_shown_to_a_client_that_asked() {
    let mut world = World::start().await;
    let mut body = streaming("helpdesk");
    body["stream_options"] = json!({"include_usage": true});
    let events = world.chat(&body).await.events();
    let usage = &events[events.len() - 2];
    assert_eq!(
        (&usage["choices"], &usage["usage"]["prompt_tokens"], &usage["model"]),
        (&json!([]), &json!(PROMPT_TOKENS), &json!("helpdesk"))
    );
    assert_eq!(world.metered().await.prompt_tokens, PROMPT_TOKENS);
}

#[tokio::test]
async fn a_stream_torn_into_single_bytes_arrives_whole() {
    let mut world = World::start().await;
    let torn = world.chat(&streaming("torn")).await;
    let whole = world.chat(&streaming("helpdesk")).await;
    assert_eq!(torn.text, whole.text.replace("helpdesk", "torn"));
    let calls = world.usage.next_batch(2, Duration::from_millis(20)).await;
    assert!(calls.len() == 2 && calls.iter().all(|c| !c.estimated && c.prompt_tokens == PROMPT_TOKENS), "{calls:?}");
}

#[tokio::test]
async fn each_chunk_is_passed_on_before_the_next_one_exists() {
    let world = World::start().await;
    let mut body = world.open(&streaming("stepwise")).await.into_body();
    for wanted in ["", "One", " two"] {
        world.double.step.notify_one();
        let chunk = tokio::time::timeout(Duration::from_secs(5), body.frame()).await.expect("held back").unwrap().unwrap();
        let text = String::from_utf8(chunk.into_data().unwrap().to_vec()).unwrap();
        assert!(text.contains(&format!(r#""content":"{wanted}""#)), "{text}");
    }
    assert_eq!(world.double.sent.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_model_servers_stream() {
    let world = World::start().await;
    let response = world.open(&streaming("flood")).await;
    let sent = || world.double.sent.load(Ordering::SeqCst);
    let mut before = usize::MAX;
    // Buffers of two loopback connections fill up (some megabytes); then nothing moves any more.
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if sent() == before {
            break;
        }
        before = sent();
    }
    assert!(sent() == before && before < 1_000, "{} chunks of 64 kB were taken without a reader", sent());
    drop(response);
    until("the flood is cut", || world.double.aborted.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call_and_is_metered() {
    let mut world = World::start().await;
    let mut body = world.open(&streaming("endless")).await.into_body();
    for _ in 0..5 {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    until("the model server's stream is closed", || world.double.aborted.load(Ordering::SeqCst)).await;
    let call = world.metered().await;
    assert_eq!((call.status, call.error.as_deref(), call.estimated), (499, Some("client_closed"), false));
    assert!((10..200).contains(&call.completion_tokens), "two a chunk, as the model server counted them: {call:?}");
    assert_eq!(call.prompt_tokens, PROMPT_TOKENS);
}

#[tokio::test]
async fn a_model_server_that_dies_leaves_an_error_as_the_last_event() {
    let mut world = World::start().await;
    for model in ["dies", "ends-early"] {
        let answer = world.chat(&streaming(model)).await;
        let events = answer.events();
        assert_eq!((answer.status, answer.spoken().as_str(), events.len()), (200, "One two", 4), "{}", answer.text);
        assert_eq!(events[3]["error"]["code"], "upstream_died");
        assert_eq!(events[3]["error"].as_object().unwrap().len(), 4);
        let call = world.metered().await;
        assert_eq!((call.status, call.error.as_deref()), (200, Some("upstream_died")));
        assert_eq!((call.completion_tokens, call.estimated), (2, true));
    }
}

#[tokio::test]
async fn an_error_within_a_stream_is_told_in_openais_shape() {
    let mut world = World::start().await;
    let answer = world.chat(&streaming("fails-inside")).await;
    let events = answer.events();
    assert_eq!(events.len(), 2, "{}", answer.text);
    assert_eq!((&events[1]["error"]["type"], &events[1]["error"]["code"]), (&json!("server_error"), &json!("upstream_error")));
    assert!(!answer.text.contains("EngineCore"), "{}", answer.text);
    assert_eq!(world.metered().await.error.as_deref(), Some("upstream_error"));

    let events = world.chat(&streaming("garbles")).await.events();
    assert_eq!(events[1]["error"]["code"], "upstream_invalid");
    assert_eq!(world.metered().await.error.as_deref(), Some("upstream_invalid"));

    assert_eq!(world.chat(&streaming("no-stream")).await.refused(), (502, "upstream_invalid".into()));
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_ended() {
    let mut world = World::with(impatient(), 100).await;
    let answer = world.chat(&streaming("stalls")).await;
    assert_eq!(answer.events()[2]["error"]["code"], "upstream_timeout");
    let call = world.metered().await;
    assert_eq!((call.error.as_deref(), call.completion_tokens, call.estimated), (Some("upstream_timeout"), 1, true));
}

#[tokio::test]
async fn a_model_server_that_does_not_begin_is_given_up() {
    let mut world = World::with(impatient(), 100).await;
    let answer = world.chat(&streaming("silent")).await;
    assert_eq!(answer.refused(), (504, "upstream_timeout".into()));
    assert_eq!(world.metered().await.status, 504);
    until("the call to it is closed", || world.double.aborted.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn every_legal_way_to_write_events_arrives_as_one() {
    let mut world = World::start().await;
    let plain = world.chat(&streaming("helpdesk")).await;
    let counted = world.metered().await;
    for model in ["bare-returns", "two-lines", "marked"] {
        let other = world.chat(&streaming(model)).await;
        assert_eq!(other.events(), Answer { text: plain.text.replace("helpdesk", model), ..plain.clone() }.events(), "{model}");
        let call = world.metered().await;
        assert_eq!((call.error, call.completion_tokens, call.estimated), (None, counted.completion_tokens, false), "{model}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_why_is_told_as_broken() {
    let mut world = World::start().await;
    let events = world.chat(&streaming("unfinished")).await.events();
    assert_eq!(events.last().unwrap()["error"]["code"], "upstream_incomplete", "{events:?}");
    assert!(!events.contains(&json!("[DONE]")), "{events:?}");
    let call = world.metered().await;
    assert_eq!((call.status, call.error.as_deref(), call.finish_reason), (200, Some("upstream_incomplete"), None));
    assert_eq!((call.completion_tokens, call.estimated), (COMPLETION_TOKENS, false));
}

#[tokio::test]
async fn a_client_that_stops_reading_is_dropped_after_the_idle_time() {
    let config = GatewayConfig { idle_timeout: Duration::from_millis(500), ..GatewayConfig::default() };
    let mut world = World::with(config, 100).await;
    let response = world.open(&streaming("flood")).await;
    until("the model server's stream is closed", || world.double.aborted.load(Ordering::SeqCst)).await;
    let call = world.metered().await;
    assert_eq!((call.status, call.error.as_deref()), (499, Some("client_stalled")));
    assert!(response.into_body().collect().await.is_err(), "what is left is not taken for the whole answer");
}

#[tokio::test]
async fn an_answer_that_comes_in_one_piece_has_a_time_of_its_first_token() {
    let mut world = World::start().await;
    assert_eq!(world.chat(&streaming("marked")).await.spoken(), "One two three");
    assert!(world.metered().await.first_token_ms.is_some());
}
