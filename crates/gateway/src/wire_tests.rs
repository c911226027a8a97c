//! Rewriting and its bounds.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn upstream(body: &str, kind: Kind) -> Value {
    let asked = Asked::parse(body.as_bytes(), kind).unwrap_or_else(|r| panic!("{}", r.message));
    serde_json::from_slice(&asked.for_upstream("server-name", body.len())).unwrap()
}

#[test]
fn a_request_keeps_everything_but_the_models_name() {
    let body =
        r#"{"messages":[{"role":"user","content":"\u00e4 \"x\" }]"}],"model":"mine","seed":12345678901234567890,"temperature":1e-7}"#;
    let sent = Asked::parse(body.as_bytes(), Kind::Chat).ok().unwrap().for_upstream("server-name", 0);
    let sent = String::from_utf8(sent).unwrap();
    assert_eq!(sent, body.replace(r#""model":"mine","#, "").replacen('{', r#"{"model":"server-name","#, 1));
}

#[test]
fn a_stream_always_asks_for_usage_and_keeps_the_clients_other_options() {
    let sent = upstream(r#"{"model":"m","messages":[],"stream":true}"#, Kind::Chat);
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    let sent = upstream(
        r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":false,"continuous_usage_stats":true}}"#,
        Kind::Chat,
    );
    assert_eq!(sent["stream_options"], json!({"include_usage": true, "continuous_usage_stats": true}));
    assert_eq!(upstream(r#"{"model":"m","messages":[]}"#, Kind::Chat).get("stream_options"), None);
}

#[test]
fn what_cannot_be_understood_is_refused_with_the_fields_name() {
    for (body, param, word) in [
        ("", None, "empty"),
        ("[1]", None, "object"),
        (r#"{"model":"m""#, None, "EOF"),
        (r#"{"model":"m","messages":[]} trailing"#, None, "trailing"),
        (r#"{"model":"m","messages":[],"mod\u0065l":"other"}"#, None, "twice"),
        (r#"{"messages":[]}"#, Some("model"), "/v1/models"),
        (r#"{"model":7,"messages":[]}"#, Some("model"), "text"),
        (r#"{"model":"m"}"#, Some("messages"), "missing"),
        (r#"{"model":"m","messages":[],"stream":"yes"}"#, Some("stream"), "true or false"),
        (r#"{"model":"m","messages":[],"stream":true,"stream_options":3}"#, Some("stream_options"), "include_usage"),
        (r#"{"model":"m","messages":[],"max_tokens":-1}"#, Some("max_tokens"), "whole number"),
        (r#"{"model":"m","messages":[],"n":0}"#, Some("n"), "1 to 128"),
    ] {
        let refusal = Asked::parse(body.as_bytes(), Kind::Chat).err().unwrap_or_else(|| panic!("{body}"));
        assert_eq!(refusal.param.as_deref(), param, "{body}");
        assert!(refusal.message.contains(word), "{body}: {}", refusal.message);
    }
    let deep = format!(r#"{{"model":"m","messages":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(Asked::parse(deep.as_bytes(), Kind::Chat).err().unwrap().message.contains("deeper than 64"));
    let wide = format!(r#"{{"model":"m","messages":[]{}}}"#, (0..500).map(|n| format!(r#","f{n}":1"#)).collect::<String>());
    assert!(Asked::parse(wide.as_bytes(), Kind::Chat).err().unwrap().message.contains("more than 128"));
}

#[test]
fn brackets_in_strings_do_not_count_as_depth() {
    let body = format!(r#"{{"model":"m","messages":["{}\\\"{}"]}}"#, "[".repeat(500), "{".repeat(500));
    assert!(Asked::parse(body.as_bytes(), Kind::Chat).is_ok());
}

#[test]
fn the_most_that_a_call_can_use_counts_every_choice() {
    let body = r#"{"model":"m","prompt":"12345678","max_tokens":10,"n":3}"#;
    let asked = Asked::parse(body.as_bytes(), Kind::Text).ok().unwrap();
    assert_eq!((asked.max_tokens, asked.prompt_tokens), (Some(30), 3));
}

#[test]
fn an_answer_loses_nothing_but_null_noise_and_tells_its_counts() {
    let answer = json!({"id":"x","model":"server-name","choices":[{"index":0,"message":{"content":"hi","refusal":null},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7},"prompt_logprobs":null,"kv_transfer_params":null});
    let mut out = Vec::new();
    let seen = rewrite_answer(answer.to_string().as_bytes(), "ac\"me", false, &mut out).unwrap();
    let mut wanted = answer;
    wanted["model"] = json!("ac\"me");
    wanted.as_object_mut().unwrap().retain(|_, v| !v.is_null());
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), wanted);
    assert_eq!((seen.usage, seen.finish_reason.as_deref()), (Some(Usage { prompt_tokens: 5, completion_tokens: 2 }), Some("stop")));
}

#[test]
fn errors_of_both_shapes_of_vllm_are_read() {
    let old = br#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#;
    let new = br#"{"error":{"message":"too long","type":"BadRequestError","param":"prompt","code":400}}"#;
    assert_eq!(UpstreamError::read(old), UpstreamError { message: Some("too long".into()), param: None, status: Some(400) });
    assert_eq!(UpstreamError::read(new).param.as_deref(), Some("prompt"));
    assert_eq!(UpstreamError::read(br#"{"detail":"Not Found"}"#).message.as_deref(), Some("Not Found"));
    assert_eq!(UpstreamError::read(b"<html>"), UpstreamError::default());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Asked::parse(&bytes, Kind::Chat);
        let _ = rewrite_answer(&bytes, "m", true, &mut Vec::new());
        let _ = UpstreamError::read(&bytes);
    }

    #[test]
    fn any_model_name_arrives_as_it_is(name in ".{1,60}", content in ".{0,60}") {
        let body = json!({"model": name, "messages": [{"content": content}]}).to_string();
        let asked = Asked::parse(body.as_bytes(), Kind::Chat).ok().unwrap();
        prop_assert_eq!(asked.model.as_ref(), name.as_str());
        let sent: Value = serde_json::from_slice(&asked.for_upstream(&name, 0)).unwrap();
        prop_assert_eq!(sent, json!({"model": name, "messages": [{"content": content}]}));
    }
}
