//! Limits over real calls, many at once.

use crate::{
    double::{COMPLETION_TOKENS, PROMPT_TOKENS},
    world::{World, chat, entry, key, limits, name},
};
use domain::key::Limits;
use serde_json::json;
use std::sync::Arc;

async fn fifty_at_once(world: &Arc<World>, body: serde_json::Value, keys: &'static [u8]) -> Vec<u16> {
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let (world, body) = (world.clone(), body.clone());
            tokio::spawn(async move { world.post("/v1/chat/completions", &key(keys[n % keys.len()]), &body).await.status })
        })
        .collect();
    futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|s| **s == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_calls_at_once_exactly_the_limit_goes_through() {
    let world = Arc::new(World::start().await);
    world.limit_key(1, limits(Some(10), None));
    let statuses = fifty_at_once(&world, chat("helpdesk"), &[1]).await;
    assert_eq!((count(&statuses, 200), count(&statuses, 429)), (10, 40));
    assert_eq!(world.double.hits(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_tenants_limit_holds_over_several_keys_at_once() {
    let world = Arc::new(World::start().await);
    world.change(|d| {
        d.keys.extend([entry(7, "acme"), entry(8, "acme")]);
        d.tenants.get_mut(&name("acme")).unwrap().limits = limits(Some(12), None);
    });
    let statuses = fifty_at_once(&world, chat("helpdesk"), &[1, 7, 8]).await;
    assert_eq!((count(&statuses, 200), count(&statuses, 429)), (12, 38));
    let refused = world.chat(&chat("helpdesk")).await;
    assert!(refused.message().contains("12 requests per minute of this tenant"), "{}", refused.message());
    assert_eq!(world.post("/v1/chat/completions", &key(2), &chat("secret")).await.status, 200, "another tenant is not touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_are_reserved_while_calls_run_and_the_unused_ones_return() {
    let world = Arc::new(World::start().await);
    world.limit_key(1, limits(None, Some(1_000)));
    let mut body = chat("slow");
    body["max_tokens"] = json!(100);
    let prompt = body["messages"].to_string().len().div_ceil(4);
    let statuses = fifty_at_once(&world, body.clone(), &[1]).await;
    let fit = 1_000 / (100 + prompt);
    assert_eq!((count(&statuses, 200), count(&statuses, 429)), (fit, 50 - fit), "each may use {} tokens while it runs", 100 + prompt);

    let used = fit * (PROMPT_TOKENS + COMPLETION_TOKENS) as usize;
    let next = world.chat(&body).await;
    assert_eq!(next.status, 200, "the real counts are far below what was reserved");
    assert_eq!(next.header("x-ratelimit-remaining-tokens"), (1_000 - used - 100 - prompt).to_string());
}

#[tokio::test]
async fn tokens_of_a_call_that_failed_return_all() {
    let world = World::start().await;
    world.limit_key(1, limits(None, Some(1_000)));
    let mut body = chat("refuses");
    body["max_tokens"] = json!(900);
    for _ in 0..3 {
        assert_eq!(world.chat(&body).await.status, 400);
    }
    assert_eq!(world.double.hits(), 3);
}

#[tokio::test]
async fn answers_and_refusals_carry_the_headers_that_clients_know() {
    let mut world = World::start().await;
    world.limit_key(1, limits(Some(2), Some(5_000)));
    let mut body = chat("helpdesk");
    body["max_tokens"] = json!(100);
    let prompt = body["messages"].to_string().len().div_ceil(4);
    let answer = world.chat(&body).await;
    assert_eq!((answer.header("x-ratelimit-limit-requests"), answer.header("x-ratelimit-remaining-requests")), ("2", "1"));
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), "5000");
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), (5_000 - 100 - prompt).to_string());
    for reset in ["x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"] {
        assert!(["1m0s", "1m1s"].contains(&answer.header(reset)), "{answer:?}");
    }
    world.metered().await;
    body["stream"] = json!(true);
    assert_eq!(world.chat(&body).await.header("x-ratelimit-remaining-requests"), "0");
    world.metered().await;

    let refused = world.chat(&body).await;
    assert_eq!(refused.refused(), (429, "rate_limit_exceeded".into()));
    assert_eq!(refused.json()["error"]["type"], "requests");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((58..=61).contains(&seconds), "{seconds}");
    assert!(refused.message().contains(&format!("Try again in {seconds} s.")), "{}", refused.message());
    let call = world.metered().await;
    assert_eq!((call.status, call.error.as_deref(), call.prompt_tokens), (429, Some("rate_limit_exceeded"), 0));
    assert_eq!(world.double.hits(), 2);
}

#[tokio::test]
async fn a_call_that_can_never_fit_tells_clients_not_to_repeat_it() {
    let world = World::start().await;
    world.limit_key(1, limits(None, Some(50)));
    let mut body = chat("helpdesk");
    assert_eq!(world.chat(&body).await.status, 200, "without max_tokens it may well be short");
    world.limit_key(1, limits(None, Some(40)));
    body["max_tokens"] = json!(1_000);
    let refused = world.chat(&body).await;
    assert_eq!(refused.refused(), (429, "rate_limit_exceeded".into()));
    assert_eq!(refused.header("x-should-retry"), "false");
    assert!(refused.message().contains("Lower max_tokens"), "{}", refused.message());
}

#[tokio::test]
async fn without_limits_nothing_is_counted_and_no_header_is_sent() {
    let world = World::start().await;
    world.limit_key(1, Limits::default());
    let answer = world.chat(&chat("helpdesk")).await;
    assert!(answer.headers.keys().all(|k| !k.as_str().starts_with("x-ratelimit")), "{answer:?}");
}
