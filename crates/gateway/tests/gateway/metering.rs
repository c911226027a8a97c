//! Every call is recorded once; what cannot be recorded is not let through.

use crate::{
    double::{COMPLETION_TOKENS, PROMPT_TOKENS},
    world::{ANNA, NOW, World, chat, key, key_id, name, streaming, until, version},
};
use domain::time::DAY;
use gateway::GatewayConfig;
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn a_call_is_recorded_with_who_what_and_how_much() {
    let mut world = World::start().await;
    assert_eq!(world.chat(&chat("acme/helpdesk")).await.status, 200);
    let call = world.metered().await;
    assert_eq!((call.tenant, call.key, call.person, call.at), (name("acme"), Some(key_id(1)), Some(ANNA), NOW));
    assert_eq!((call.model.as_str(), call.model_version, call.route.as_str()), ("acme/helpdesk", Some(version()), "chat/completions"));
    assert_eq!((call.prompt_tokens, call.completion_tokens, call.estimated), (PROMPT_TOKENS, COMPLETION_TOKENS, false));
    assert_eq!((call.status, call.error, call.stream, call.finish_reason.as_deref()), (200, None, false, Some("stop")));
    assert!(call.endpoint.is_some() && call.first_token_ms.is_some());

    let pass = world.pass("acme", ANNA, NOW.plus(DAY));
    assert_eq!(world.post("/t/acme/v1/chat/completions", &pass, &chat("helpdesk")).await.status, 200);
    let call = world.metered().await;
    assert_eq!((call.key, call.person), (None, Some(ANNA)));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_recorded_and_frees_the_model_server() {
    let mut world = World::start().await;
    let request = world.request("POST", "/v1/chat/completions", &key(1), chat("never").to_string().into());
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let waiting = tokio::spawn(async move { client.request(request).await.map(|_| ()) });
    until("the model server has the call", || world.double.hits() == 1).await;
    waiting.abort();
    let _ = waiting.await;
    until("the model server's call is closed", || world.double.aborted.load(Ordering::SeqCst)).await;
    let call = world.metered().await;
    assert_eq!((call.status, call.error.as_deref(), call.estimated), (499, Some("client_closed"), true));
    assert!(call.prompt_tokens > 0 && call.first_token_ms.is_none());
}

#[tokio::test]
async fn an_answer_that_takes_too_long_tells_the_endpoints_limit_and_is_metered_by_what_was_generated() {
    let mut world = World::start().await;
    world.set("never", |settings| settings.answer_seconds = 1);
    let mut body = chat("never");
    body["max_tokens"] = serde_json::json!(7);
    let late = world.chat(&body).await;
    assert_eq!(late.refused(), (504, "answer_timeout".into()));
    assert!(late.message().contains("1 s that the endpoint “front” allows"), "{}", late.message());
    until("the model server's call is closed", || world.double.aborted.load(Ordering::SeqCst)).await;
    let call = world.metered().await;
    assert_eq!((call.status, call.error.as_deref(), call.estimated), (504, Some("answer_timeout"), true));
    assert_eq!(call.completion_tokens, 7, "a second is enough for seven tokens, and more than it asked for were not generated");
    assert!(call.prompt_tokens > 0);
}

#[tokio::test]
async fn when_records_pile_up_calls_are_refused_before_they_are_forwarded() {
    let mut world = World::with(GatewayConfig::default(), 1).await;
    let open = world.open(&streaming("endless")).await;
    let refused = world.chat(&chat("helpdesk")).await;
    assert_eq!(refused.refused(), (503, "metering_unavailable".into()), "the one place is held by the call under way");
    assert_eq!(refused.header("retry-after"), "1");
    drop(open);
    until("the stream is closed", || world.double.aborted.load(Ordering::SeqCst)).await;
    assert_eq!(world.chat(&chat("helpdesk")).await.code(), "metering_unavailable", "recorded, but not taken out yet");
    assert_eq!(world.double.hits(), 1);
    assert_eq!(world.get("/v1/models", &key(1)).await.status, 200, "what is not metered goes on");
    assert_eq!(world.metered().await.status, 499);
    assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
    assert_eq!(world.metered().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_calls_at_once_none_is_lost_and_none_is_doubled() {
    let mut world = World::start().await;
    world.rule(|rules| rules.concurrent_calls_per_key = 200);
    world.rule(|rules| rules.concurrent_calls_per_member = 200);
    let models = ["helpdesk", "refuses", "dies", "nonesuch", "torn"];
    let calls = (0..200).map(|n| {
        let body = if n % 2 == 0 { chat(models[n % 5]) } else { streaming(models[n % 5]) };
        let request = world.request("POST", "/v1/chat/completions", &key(1), body.to_string().into());
        let world = &world;
        async move { world.send(request).await.header("x-request-id").to_owned() }
    });
    let mut sent = futures::future::join_all(calls).await;
    let mut recorded = Vec::new();
    while recorded.len() < 200 {
        let batch = tokio::time::timeout(Duration::from_secs(30), world.usage.next_batch(7, Duration::from_millis(5))).await.unwrap();
        assert!((1..=7).contains(&batch.len()));
        world.usage.confirm();
        recorded.extend(batch.into_iter().map(|c| c.request_id));
    }
    sent.sort();
    recorded.sort();
    assert_eq!(sent, recorded);
    assert!(!world.usage.has_more());
}

#[tokio::test]
async fn a_batch_that_could_not_be_written_comes_again_first() {
    let mut world = World::start().await;
    for _ in 0..3 {
        world.chat(&chat("helpdesk")).await;
    }
    let batch = world.usage.next_batch(2, Duration::ZERO).await;
    let ids: Vec<_> = batch.iter().map(|c| c.id).collect();
    // Not confirmed: the same again.
    assert_eq!(world.usage.next_batch(10, Duration::ZERO).await.iter().map(|c| c.id).collect::<Vec<_>>(), ids);
    world.usage.confirm();
    // A cancelled wait loses nothing either.
    let _ = tokio::time::timeout(Duration::from_millis(20), world.usage.next_batch(10, Duration::from_secs(60))).await;
    assert_eq!(world.usage.next_batch(10, Duration::ZERO).await.len(), 1);
}
