//! What clients differ in: where they call, how they send the key, from which page, under which number.

use crate::world::{World, chat, key};
use http::{HeaderMap, HeaderValue, Method};

#[tokio::test]
async fn a_base_address_without_v1_and_the_other_headers_for_a_key_are_understood() {
    let world = World::start().await;
    for path in ["/chat/completions", "/t/acme/chat/completions", "/v1/chat/completions"] {
        assert_eq!(world.post(path, &key(1), &chat("helpdesk")).await.status, 200, "{path}");
        for header in ["api-key", "x-api-key"] {
            let mut request = world.request("POST", path, "", chat("helpdesk").to_string().into());
            request.headers_mut().insert(header, key(1).parse().unwrap());
            assert_eq!(world.send(request).await.status, 200, "{header}");
            let mut wrong = world.request("POST", path, "", chat("helpdesk").to_string().into());
            wrong.headers_mut().insert(header, key(200).parse().unwrap());
            assert_eq!(world.send(wrong).await.refused(), (401, "invalid_api_key".into()));
        }
    }
    let heard = world.double.headers.lock().unwrap();
    assert!(heard.iter().all(|h| !h.contains_key("api-key") && !h.contains_key("x-api-key")), "the key goes no further than here");
}

#[tokio::test]
async fn every_answer_forbids_to_guess_its_type() {
    let world = World::start().await;
    for (method, path) in
        [("GET", "/v1/models"), ("POST", "/v1/models"), ("GET", "/v1/nothing"), ("POST", "/chat/completions"), ("OPTIONS", "/v1/models")]
    {
        let answer = world.send(world.request(method, path, &key(1), chat("helpdesk").to_string().into())).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
    }
}

fn asks(from: &'static str) -> HeaderMap {
    [
        ("origin", from),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-stainless-lang"),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
    .collect()
}

#[tokio::test]
async fn only_pages_of_listed_origins_may_call_from_a_browser() {
    let world = World::start().await;
    world.rule(|rules| rules.origins = vec!["https://chat.example.org".into()]);
    let ask = async |method: Method, path: &str, credential: &str, headers: HeaderMap| {
        let mut request = world.request(method.as_str(), path, credential, chat("helpdesk").to_string().into());
        request.headers_mut().extend(headers);
        let answer = world.send(request).await;
        let allowed = answer.headers.get("access-control-allow-origin").map(|v| v.to_str().unwrap().to_owned());
        (answer, allowed)
    };
    let listed = "https://chat.example.org";
    for path in ["/v1/chat/completions", "/t/acme/v1/chat/completions", "/chat/completions"] {
        let (answer, allowed) = ask(Method::OPTIONS, path, "", asks(listed)).await;
        assert_eq!((answer.status, allowed.as_deref()), (204, Some(listed)), "{path}");
        assert_eq!(answer.header("access-control-allow-methods"), "POST");
        assert_eq!(answer.header("access-control-allow-headers"), "authorization,content-type,x-stainless-lang");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{answer:?}");
        let (_, allowed) = ask(Method::OPTIONS, path, "", asks("https://evil.example.org")).await;
        assert_eq!(allowed, None);
    }
    let path = "/v1/chat/completions";
    let (answer, allowed) = ask(Method::POST, path, &key(1), asks(listed)).await;
    assert_eq!((answer.status, allowed.as_deref(), answer.header("vary")), (200, Some(listed), "origin"));
    assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
    let (answer, allowed) = ask(Method::POST, path, &key(200), asks(listed)).await;
    assert_eq!((answer.status, allowed.as_deref()), (401, Some(listed)), "a page can read why it was refused");
    let (_, allowed) = ask(Method::POST, path, &key(1), asks("https://chat.example.org.evil.org")).await;
    assert_eq!(allowed, None);
    let rival = async || {
        let mut request = world.request("GET", "/v1/models", &key(2), Vec::new());
        request.headers_mut().extend(asks(listed));
        world.send(request).await
    };
    assert!(!rival().await.headers.contains_key("access-control-allow-origin"), "another tenant's list says nothing about this one");
}
