//! Limits over real calls, many at once.

use crate::{
    double::{COMPLETION_TOKENS, PROMPT_TOKENS},
    world::{World, chat, entry, key, limits, name, until},
};
use domain::key::Limits;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

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
        d.tenants.get_mut(&name("acme")).unwrap().calls.limits = limits(Some(12), None);
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
    let mut body = chat("held");
    body["max_tokens"] = json!(100);
    let each = 100 + PROMPT_TOKENS as usize;
    let fit = 1_000 / each;
    let refused = Arc::new(AtomicUsize::new(0));
    let calls = (0..50).map(|_| {
        let (world, body, refused) = (world.clone(), body.clone(), refused.clone());
        tokio::spawn(async move {
            let status = world.chat(&body).await.status;
            refused.fetch_add(usize::from(status == 429), Ordering::SeqCst);
            status
        })
    });
    let calls: Vec<_> = calls.collect();
    until("as many run as fit, and every other one was refused", || {
        (world.double.hits(), refused.load(Ordering::SeqCst)) == (fit, 50 - fit)
    })
    .await;
    world.double.gate.open();
    let statuses: Vec<u16> = futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!((count(&statuses, 200), count(&statuses, 429)), (fit, 50 - fit), "each may use {each} tokens while it runs");

    let used = fit * (PROMPT_TOKENS + COMPLETION_TOKENS) as usize;
    let next = world.chat(&body).await;
    assert_eq!(next.status, 200, "the real counts are far below what was reserved");
    assert_eq!(next.header("x-ratelimit-remaining-tokens"), (1_000 - used - each).to_string());
}

/// 64 clients, each calling again and again until nothing fits any more: the sum of what the model server counted.
async fn all_that_64_clients_get(limit: u32, path: &'static str, body: serde_json::Value) -> u64 {
    let world = Arc::new(World::with(gateway::GatewayConfig::default(), 100_000).await);
    world.change(|d| d.tenants.get_mut(&name("acme")).unwrap().calls.limits = limits(None, Some(limit)));
    let clients = (0..64).map(|_| {
        let (world, body) = (world.clone(), body.clone());
        tokio::spawn(async move {
            let mut used = 0;
            for _ in 0..4 {
                let answer = world.post(path, &key(1), &body).await;
                if answer.status == 200 {
                    let usage = answer.json()["usage"].clone();
                    used += usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
                } else {
                    assert_eq!(answer.refused(), (429, "rate_limit_exceeded".into()));
                }
            }
            used
        })
    });
    futures::future::join_all(clients).await.into_iter().map(Result::unwrap).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_clients_never_pass_a_limit_of_tokens_whatever_they_ask_for() {
    let words = "x".repeat(60);
    let message = json!([{"role": "user", "content": words}]);
    for (path, body) in [
        ("/v1/chat/completions", json!({"model": "greedy", "messages": message, "max_tokens": 30})),
        ("/v1/chat/completions", json!({"model": "greedy", "messages": message, "max_tokens": 1, "max_completion_tokens": 30, "n": 3})),
        // The model server goes on to the end of its context unless it is told.
        ("/v1/chat/completions", json!({"model": "greedy", "messages": message})),
        ("/v1/completions", json!({"model": "greedy", "prompt": ["aaaa", "bbbb", "cccc"], "n": 2, "best_of": 4})),
        ("/v1/completions", json!({"model": "greedy", "prompt": [[1, 2, 3], [4, 5]], "max_tokens": 50})),
        // Read for chat only: the model server answers with up to 60.
        ("/v1/completions", json!({"model": "greedy", "prompt": words, "max_tokens": 60, "max_completion_tokens": 1})),
    ] {
        let used = all_that_64_clients_get(2_000, path, body.clone()).await;
        assert!(used <= 2_000, "{used} of 2000 tokens were used by {body}");
        assert!(used > 500, "only {used} of 2000 tokens were used by {body}");
    }
}

#[tokio::test]
async fn a_prompt_that_fits_only_by_its_tokens_is_counted_by_the_models_own_tokenizer() {
    let world = World::start().await;
    world.limit_key(1, limits(None, Some(500)));
    let mut body = chat("helpdesk");
    (body["max_tokens"], body["messages"][0]["content"]) = (json!(50), json!("y".repeat(3_000)));
    assert_eq!(world.chat(&body).await.status, 200);
    assert_eq!((world.double.counted(), world.double.hits()), (1, 1));
    body["max_tokens"] = json!(600);
    let refused = world.chat(&body).await;
    assert_eq!(refused.refused(), (429, "rate_limit_exceeded".into()));
    assert_eq!((world.double.counted(), world.double.hits()), (1, 1), "an answer that cannot fit is no reason to count");
    world.limit_key(1, limits(None, Some(100_000)));
    assert_eq!(world.chat(&body).await.status, 200);
    assert_eq!(world.double.counted(), 1, "what fits by its bytes is not counted");
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
    let answer = world.chat(&body).await;
    assert_eq!((answer.header("x-ratelimit-limit-requests"), answer.header("x-ratelimit-remaining-requests")), ("2", "1"));
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), "5000");
    let remaining: usize = answer.header("x-ratelimit-remaining-tokens").parse().unwrap();
    let bound = 5_000 - 100 - remaining;
    assert!((body.to_string().len()..body.to_string().len() + 2_000).contains(&bound), "the prompt's bytes and its template's: {bound}");
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
    let told = world.double.last()["max_completion_tokens"].clone();
    assert_eq!(told, json!(50 - PROMPT_TOKENS), "and the model server is told how short");
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
    assert_eq!(
        world.double.last(),
        {
            let mut sent = chat("helpdesk");
            sent["model"] = json!("srv-helpdesk");
            sent
        },
        "nor is the model server told a bound"
    );
}
