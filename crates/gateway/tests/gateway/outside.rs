//! Endpoints at servers that somebody else runs: the same calls, limits and records, and no trust in their addresses.

use crate::{
    double::Double,
    world::{World, chat, key, limits, name, route, streaming},
};
use domain::{
    directory::{Route, UpstreamKey},
    model_server::ModelServer,
};
use gateway::GatewayConfig;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn external(upstream: &str, model: &str) -> Route {
    Route {
        model_server: ModelServer::External,
        model_version: None,
        parent: None,
        upstream_key: Some(UpstreamKey::new("sk-of-the-house".into())),
        ..route(Some(upstream), model)
    }
}

/// A gateway whose admin lists this machine, with somebody else's server that is the double.
async fn world() -> (World, Double) {
    let allowed = outside::Allowed::of(["127.0.0.1"]).unwrap();
    let world = World::with(GatewayConfig { outside_allowed: allowed, ..GatewayConfig::default() }, 10_000).await;
    let (double, upstream) = Double::start().await;
    world.change(|d| {
        let routes = &mut d.tenants.get_mut(&name("acme")).unwrap().routes;
        for model in ["house", "locked", "unloaded", "crashes", "busy", "tools", "garbles"] {
            routes.insert(model.into(), external(&upstream, model));
        }
    });
    (world, double)
}

#[tokio::test]
async fn a_call_goes_there_with_its_key_and_is_metered_like_any_other() {
    let (mut world, double) = world().await;
    let answer = world.chat(&chat("house")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["model"], "house", "its name there is nobody's business");
    let headers = double.headers.lock().unwrap().last().unwrap().clone();
    assert_eq!(headers["authorization"], "Bearer sk-of-the-house");
    let sent = format!("{headers:?}");
    assert!(!sent.contains(&key(1)), "the caller's key was passed on: {sent}");
    let call = world.metered().await;
    assert!(call.status == 200 && call.prompt_tokens > 0 && call.completion_tokens > 0 && call.endpoint.is_some(), "{call:?}");
    assert_eq!(call.model_version, None);
    assert!(!format!("{call:?}").contains("sk-of-the-house"));
}

#[tokio::test]
async fn a_stream_asks_for_openais_options_only_and_is_metered() {
    let (mut world, double) = world().await;
    let answer = world.chat(&streaming("house")).await;
    assert_eq!((answer.status, answer.events().last()), (200, Some(&json!("[DONE]"))));
    assert_eq!(double.last()["stream_options"], json!({"include_usage": true}), "vLLM's own option is not for everybody");
    assert!(world.metered().await.completion_tokens > 0);
}

#[tokio::test]
async fn limits_hold_and_its_tokenizer_is_not_asked_for() {
    let (world, double) = world().await;
    world.limit_key(1, limits(Some(1), None));
    assert_eq!(world.chat(&chat("house")).await.status, 200);
    assert_eq!(world.chat(&chat("house")).await.refused(), (429, "rate_limit_exceeded".into()));
    world.limit_key(1, limits(None, Some(50)));
    assert_eq!(world.chat(&chat("house")).await.status, 429);
    assert_eq!((double.hits(), double.counted()), (1, 0), "only vLLM has /tokenize");
}

#[tokio::test]
async fn what_is_wrong_there_is_told_in_our_words_with_who_can_help() {
    let (world, _double) = world().await;
    for (model, status, code, says) in [
        ("locked", 502, "upstream_refused", "Replace the key"),
        ("unloaded", 503, "endpoint_not_ready", "does not have “unloaded” now"),
        ("crashes", 502, "upstream_error", "ask whoever runs it"),
        ("busy", 503, "upstream_busy", "too much to do"),
        ("tools", 400, "tools_not_supported", "ask whoever runs its server"),
        ("garbles", 502, "upstream_invalid", ""),
    ] {
        let mut body = chat(model);
        if model == "tools" {
            body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
        }
        let answer = world.chat(&body).await;
        assert_eq!(answer.refused(), (status, code.into()), "{model}");
        assert!(answer.message().contains(says), "{model}: {}", answer.message());
        for inside in ["srv-", "sk-of-the-house", "traceback", "Unauthorized", "--enable"] {
            assert!(!answer.text.contains(inside), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn without_the_admins_leave_this_machine_and_the_metadata_are_not_called() {
    let world = World::start().await;
    let (double, upstream) = Double::start().await;
    let port = upstream.rsplit(':').next().unwrap().to_owned();
    for address in [
        upstream.clone(),
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
        format!("https://[::ffff:127.0.0.1]:{port}"),
        format!("https://2130706433:{port}"),
        "https://169.254.169.254".into(),
        "https://[fd00:ec2::254]".into(),
    ] {
        world.change(|d| {
            d.tenants.get_mut(&name("acme")).unwrap().routes.insert("house".into(), external(&address, "house"));
        });
        let answer = world.chat(&chat("house")).await;
        assert_eq!(answer.refused(), (503, "upstream_unreachable".into()), "{address}");
        assert!(answer.message().starts_with("The endpoint “front” cannot be used now."), "{}", answer.message());
    }
    assert_eq!(double.heard.lock().unwrap().len(), 0, "somebody was let through");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_server_that_is_away_is_a_503() {
    let (world, _double) = world().await;
    let (metadata, followed) = answers("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".into()).await;
    let (upstream, asked) =
        answers(format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {metadata}/latest/meta-data\r\ncontent-length: 0\r\n\r\n")).await;
    let to = |address: &str| {
        world.change(|d| {
            d.tenants.get_mut(&name("acme")).unwrap().routes.insert("house".into(), external(address, "house"));
        });
    };
    to(&upstream);
    let answer = world.chat(&chat("house")).await;
    assert_eq!(answer.refused(), (502, "upstream_error".into()));
    assert!(!answer.headers.contains_key("location"), "{answer:?}");
    assert_eq!((asked.load(Ordering::SeqCst), followed.load(Ordering::SeqCst)), (1, 0));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    to(&format!("http://{free}"));
    let answer = world.chat(&chat("house")).await;
    assert_eq!(answer.refused(), (503, "upstream_unreachable".into()));
    assert!(answer.message().contains("refuses connections"), "{}", answer.message());
}

async fn answers(text: String) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut vec![0; 8192]).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    (address, count)
}
