//! Everything that never reaches a model server, and what is said instead.

use crate::world::{ANNA, NOW, World, chat, entry, key, name, route, streaming};
use domain::{
    directory::{KeyEntry, PASS_LASTS, Pass},
    ids::PersonId,
    time::DAY,
};
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

#[tokio::test]
async fn who_is_not_known_is_told_why_and_what_to_do() {
    let world = World::start().await;
    world.change(|d| {
        let (digest, mut old) = entry(4, "acme");
        old.expires_at = Some(NOW.plus(-1));
        d.keys.insert(digest, old);
        let (digest, mut gone) = entry(5, "acme");
        gone.revoked = true;
        d.keys.insert(digest, gone);
        let (digest, mut left) = entry(7, "acme");
        left.confirmed_until = Some(NOW);
        d.keys.insert(digest, left);
    });
    let mut torn = key(1);
    torn.pop();
    for (credential, word) in [
        (String::new(), "No API key"),
        (key(200), "not known"),
        ("sk-something-else".into(), "not known"),
        (torn, "not whole"),
        (key(4), "expired on 2027-01-15"),
        (key(5), "was revoked"),
        (key(7), "has not signed in to the portal for 30 days"),
        (world.pass("acme", ANNA, NOW), "has expired"),
        (world.pass("acme", PersonId::from_uuid(Uuid::from_u128(66)), NOW.plus(DAY)), "not valid"),
        (Pass { tenant: name("acme"), person: ANNA, expires_at: NOW.plus(DAY) }.sign(&[1; 32]), "not valid"),
    ] {
        for path in ["/v1/models", "/v1/models/helpdesk"] {
            assert_eq!(world.get(path, &credential).await.status, 401, "{path}: {word}");
        }
        let refused = world.post("/v1/chat/completions", &credential, &chat("helpdesk")).await;
        assert_eq!(refused.refused(), (401, "invalid_api_key".into()));
        assert!(refused.message().contains(word), "{word}: {}", refused.message());
        assert!(credential.is_empty() || !refused.text.contains(&credential), "a credential must not be repeated");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    assert_eq!(world.double.hits(), 0);
}

#[tokio::test]
async fn a_key_tells_a_week_before_that_it_stops_and_a_service_key_never_stops() {
    let mut world = World::start().await;
    world.change(|d| {
        for (n, confirmed_until) in [(11, Some(NOW.plus(7 * DAY))), (12, Some(NOW.plus(7 * DAY + 1))), (13, None)] {
            let (digest, key) = entry(n, "acme");
            d.keys.insert(digest, KeyEntry { confirmed_until, ..key });
        }
    });
    let warned = world.post("/v1/chat/completions", &key(11), &chat("helpdesk")).await;
    assert_eq!((warned.status, warned.header("x-api-key-stops-at")), (200, "2027-01-22T08:00:00Z"));
    assert!(warned.header("x-api-key-warning").contains("stops on 2027-01-22 unless its owner signs in"), "{warned:?}");
    assert_eq!(world.metered().await.person, Some(ANNA));
    assert_eq!(world.get("/v1/models", &key(11)).await.header("x-api-key-stops-at"), "2027-01-22T08:00:00Z");
    assert!(!world.post("/v1/chat/completions", &key(12), &chat("helpdesk")).await.headers.contains_key("x-api-key-stops-at"));
    assert_eq!(world.metered().await.person, Some(ANNA));
    let service = world.post("/v1/chat/completions", &key(13), &chat("helpdesk")).await;
    assert!(service.status == 200 && !service.headers.contains_key("x-api-key-warning"), "{service:?}");
    assert_eq!(world.metered().await.person, None, "its calls are the tenant's, not those of a person");
}

#[tokio::test]
async fn a_pass_that_was_made_before_its_persons_sessions_were_ended_is_refused() {
    let world = World::start().await;
    let pass = world.pass("acme", ANNA, NOW.plus(PASS_LASTS));
    assert_eq!(world.get("/v1/models", &pass).await.status, 200);
    world.change(|d| {
        d.passes_from.insert(ANNA, NOW);
    });
    assert_eq!(world.get("/v1/models", &pass).await.status, 401);
    let later = world.pass("acme", ANNA, NOW.plus(PASS_LASTS + 1));
    assert_eq!(world.get("/v1/models", &later).await.status, 200, "signed in again");
}

#[tokio::test]
async fn a_key_of_another_tenant_is_answered_exactly_like_an_unknown_one() {
    let world = World::start().await;
    world.change(|d| {
        let (digest, mut gone) = entry(6, "rival");
        gone.revoked = true;
        d.keys.insert(digest, gone);
    });
    let unknown = world.post("/t/acme/v1/chat/completions", &key(200), &chat("helpdesk")).await;
    for foreign in [key(2), key(6)] {
        let answer = world.post("/t/acme/v1/chat/completions", &foreign, &chat("helpdesk")).await;
        assert_eq!((answer.status, &answer.text), (unknown.status, &unknown.text));
    }
    let no_tenant = world.post("/t/nowhere/v1/chat/completions", &key(1), &chat("helpdesk")).await;
    assert_eq!((no_tenant.status, &no_tenant.text), (unknown.status, &unknown.text));
    let pass = world.pass("rival", ANNA, NOW.plus(DAY));
    assert_eq!(world.get("/t/acme/v1/models", &pass).await.refused(), (401, "invalid_api_key".into()));
    assert_eq!(world.double.hits(), 0);
}

#[tokio::test]
async fn a_model_of_another_tenant_is_answered_exactly_like_one_that_does_not_exist() {
    let world = World::start().await;
    let missing = world.chat(&chat("nonesuch")).await;
    assert_eq!(missing.refused(), (404, "model_not_found".into()));
    for foreign in ["secret", "rival/secret"] {
        let answer = world.chat(&chat(foreign)).await;
        assert_eq!((answer.status, answer.text), (404, missing.text.replace("nonesuch", foreign)));
        assert_eq!(world.get(&format!("/v1/models/{foreign}"), &key(1)).await.refused(), (404, "model_not_found".into()));
    }
    assert_eq!(world.double.hits(), 0);
}

#[tokio::test]
async fn a_revoked_key_and_a_leaver_are_out_with_the_next_snapshot() {
    let world = World::start().await;
    let pass = world.pass("acme", ANNA, NOW.plus(DAY));
    assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
    assert_eq!(world.post("/t/acme/v1/chat/completions", &pass, &chat("helpdesk")).await.status, 200);
    world.change(|d| {
        d.keys.values_mut().for_each(|k| k.revoked = true);
        d.tenants.get_mut(&name("acme")).unwrap().members.clear();
    });
    assert_eq!(world.chat(&chat("helpdesk")).await.refused(), (401, "invalid_api_key".into()));
    assert_eq!(world.post("/t/acme/v1/chat/completions", &pass, &chat("helpdesk")).await.refused(), (401, "invalid_api_key".into()));
    assert_eq!(world.double.hits(), 2);
}

#[tokio::test]
async fn a_suspended_tenant_calls_nothing_until_it_is_resumed() {
    let world = World::start().await;
    let suspend = |active| world.change(|d| d.tenants.get_mut(&name("acme")).unwrap().active = active);
    suspend(false);
    let refused = world.chat(&chat("helpdesk")).await;
    assert_eq!(refused.refused(), (403, "tenant_suspended".into()));
    assert!(refused.message().contains("administrator"));
    assert_eq!(world.get("/v1/models", &key(1)).await.refused(), (403, "tenant_suspended".into()));
    assert_eq!(world.double.hits(), 0);
    suspend(true);
    assert_eq!(world.chat(&chat("helpdesk")).await.status, 200);
}

#[tokio::test]
async fn an_endpoint_that_is_not_ready_says_its_reason() {
    let world = World::start().await;
    world.change(|d| {
        let mut starting = route(None, "helpdesk");
        starting.reason = Some("The endpoint is starting: it loads weights.".into());
        d.tenants.get_mut(&name("acme")).unwrap().routes.insert("helpdesk".into(), starting);
    });
    let refused = world.chat(&chat("helpdesk")).await;
    assert_eq!(refused.refused(), (503, "endpoint_not_ready".into()));
    assert_eq!(refused.message(), "The endpoint is starting: it loads weights.");
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(world.get("/v1/models/helpdesk", &key(1)).await.json()["ready"], json!(false));
}

#[tokio::test]
async fn other_paths_of_the_model_server_are_not_reached() {
    let world = World::start().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/chat/completions/",
        "/v1/chat/completions/../../load_lora_adapter",
        "/v1/%6coad_lora_adapter",
        "/t/acme/v1/load_lora_adapter",
        "/t/acme/v1/",
        "/v1//models",
    ] {
        let refused = world.post(path, &key(1), &json!({"lora_name": "x", "lora_path": "/etc"})).await;
        assert_eq!(refused.refused(), (404, "unknown_url".into()), "{path}");
    }
    let refused = world.get("/v1/chat/completions", &key(1)).await;
    assert_eq!((refused.refused(), refused.header("allow")), ((405, "method_not_allowed".into()), "POST"));
    let refused = world.post("/v1/models", &key(1), &json!({})).await;
    assert_eq!((refused.refused(), refused.header("allow")), ((405, "method_not_allowed".into()), "GET"));
    assert_eq!(world.double.hits(), 0);
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_before_anything_is_forwarded() {
    let mut world = World::start().await;
    for (body, param) in [
        ("", json!(null)),
        ("{", json!(null)),
        (r#"{"messages":[]}"#, json!("model")),
        (r#"{"model":"helpdesk"}"#, json!("messages")),
        (r#"{"model":"helpdesk","model":"secret","messages":[]}"#, json!(null)),
        (r#"{"model":"helpdesk","messages":[],"max_tokens":"many"}"#, json!("max_tokens")),
    ] {
        let refused = world.send(world.request("POST", "/v1/chat/completions", &key(1), body.into())).await;
        assert_eq!(refused.refused(), (400, "invalid_request_error".into()), "{body}");
        assert_eq!(refused.json()["error"]["param"], param, "{body}");
        assert_eq!(world.metered().await.status, 400);
    }
    let deep = format!(r#"{{"model":"helpdesk","messages":{}}}"#, "[".repeat(1_000_000));
    assert_eq!(world.send(world.request("POST", "/v1/chat/completions", &key(1), deep.into())).await.status, 400);
    assert_eq!(world.double.hits(), 0);
}

#[tokio::test]
async fn a_body_over_four_megabytes_is_refused_whether_it_says_so_or_not() {
    let world = World::start().await;
    let mut large = chat("helpdesk");
    large["messages"][0]["content"] = json!("x".repeat(4 * 1024 * 1024));
    // Announced: refused before a byte of the body is read.
    let host = world.address.trim_start_matches("http://");
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        key(1),
        4 * 1024 * 1024 + 1
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 12];
    socket.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 413");
    // Not announced: sent in chunks. The client may find the connection closed while it still writes.
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(axum::body::Bytes::from(vec![b'x'; 64 * 1024]))));
    let request = Request::post(format!("{}/v1/chat/completions", world.address)).header("authorization", format!("Bearer {}", key(1)));
    let request = request.body(axum::body::Body::from_stream(chunks)).unwrap();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http::<axum::body::Body>();
    if let Ok(answer) = client.request(request).await {
        assert_eq!(answer.status().as_u16(), 413);
    }
    assert_eq!(world.double.hits(), 0);
    large["messages"][0]["content"] = json!("x".repeat(4 * 1024 * 1024 - 1_000));
    assert_eq!(world.chat(&large).await.status, 200, "just below the limit goes through");
}

#[tokio::test]
async fn request_ids_are_kept_when_harmless_and_made_when_not() {
    let mut world = World::start().await;
    for (given, kept) in [("abc-123", true), ("two words", false), ("", false), (&*"x".repeat(200), false)] {
        let mut request: Request<Full<_>> =
            world.request("POST", "/v1/chat/completions", &key(1), streaming("helpdesk").to_string().into());
        request.headers_mut().insert("x-request-id", given.parse().unwrap());
        let answer = world.send(request).await;
        let id = answer.header("x-request-id").to_owned();
        assert_eq!(id == given, kept, "{given}: {id}");
        assert!(kept || (id.starts_with("req_") && id.len() == 36), "{id}");
        assert_eq!(world.metered().await.request_id, id);
    }
}

#[tokio::test]
async fn a_call_for_more_answers_than_allowed_is_refused_before_it_costs_anything() {
    let mut world = World::start().await;
    for (path, body, answers) in [
        ("/v1/chat/completions", json!({"model": "helpdesk", "messages": [], "n": 128}), 128),
        ("/v1/completions", json!({"model": "helpdesk", "prompt": "x", "best_of": 33}), 33),
        ("/v1/completions", json!({"model": "helpdesk", "prompt": vec!["x"; 40]}), 40),
        ("/v1/completions", json!({"model": "helpdesk", "prompt": [[1], [2], [3]], "n": 11}), 33),
    ] {
        let refused = world.post(path, &key(1), &body).await;
        assert_eq!(refused.refused(), (400, "invalid_request_error".into()));
        assert!(
            refused.message().contains(&format!("asks for {answers} answers")) && refused.message().contains("allows 32"),
            "{refused:?}"
        );
        assert_eq!(world.metered().await.status, 400);
    }
    assert_eq!(world.double.hits(), 0);
    world.rule(|rules| rules.answers_per_call = 128);
    assert_eq!(world.chat(&json!({"model": "helpdesk", "messages": [], "n": 128})).await.status, 200);
}

#[tokio::test]
async fn fields_that_steer_the_model_server_go_through_only_where_the_endpoint_allows_them() {
    let world = World::start().await;
    for field in
        ["kv_transfer_params", "chat_template", "chat_template_kwargs", "chat_template_content_format", "priority", "prompt_embeds"]
    {
        let mut body = chat("helpdesk");
        body[field] = json!({"a": 1});
        let refused = world.chat(&body).await;
        assert_eq!((refused.refused(), &refused.json()["error"]["param"]), ((400, "invalid_request_error".into()), &json!(field)));
        body[field] = json!(null);
        assert_eq!(world.chat(&body).await.status, 200, "a null says nothing");
    }
    world.set("helpdesk", |s| s.allowed_fields = vec!["chat_template_kwargs".into()]);
    let mut body = chat("helpdesk");
    body["chat_template_kwargs"] = json!({"enable_thinking": false});
    body["a_new_field_of_theirs"] = json!(7);
    assert_eq!(world.chat(&body).await.status, 200);
    let sent = world.double.last();
    assert_eq!((&sent["chat_template_kwargs"]["enable_thinking"], &sent["a_new_field_of_theirs"]), (&json!(false), &json!(7)));
}

#[tokio::test]
async fn nothing_is_fetched_from_a_host_that_the_endpoint_does_not_allow() {
    let world = World::start().await;
    let with = |address: &str| {
        let parts = json!([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": address}}]);
        json!({"model": "helpdesk", "messages": [{"role": "user", "content": parts}]})
    };
    for address in
        ["http://169.254.169.254/latest", "https://images.example.org/a.png", "file:///etc/passwd", "https://images.example.org@10.0.0.1/"]
    {
        let refused = world.chat(&with(address)).await;
        assert_eq!((refused.refused(), &refused.json()["error"]["param"]), ((400, "invalid_request_error".into()), &json!("messages")));
    }
    assert_eq!(world.double.hits(), 0);
    assert_eq!(world.chat(&with("data:image/png;base64,AAAA")).await.status, 200);
    world.set("helpdesk", |s| s.media_hosts = vec!["images.example.org".into()]);
    assert_eq!(world.chat(&with("https://images.example.org/a.png")).await.status, 200);
    assert_eq!(world.chat(&with("https://images.example.org@10.0.0.1/")).await.status, 400);
    assert_eq!(world.chat(&with("http://169.254.169.254/latest")).await.status, 400);
}
