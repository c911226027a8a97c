//! What is understood of a request, and what becomes of it.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const VLLM: Capabilities = domain::model_server::ModelServer::Vllm.capabilities();

fn upstream(body: &str, kind: Kind) -> Value {
    let asked = Asked::parse(body.as_bytes(), kind).unwrap_or_else(|r| panic!("{}", r.message));
    serde_json::from_slice(&asked.for_upstream("server-name", None, VLLM, body.len())).unwrap()
}

#[test]
fn a_request_keeps_everything_but_the_models_name() {
    let body =
        r#"{"messages":[{"role":"user","content":"\u00e4 \"x\" }]"}],"model":"mine","seed":12345678901234567890,"temperature":1e-7}"#;
    let sent = Asked::parse(body.as_bytes(), Kind::Chat).ok().unwrap().for_upstream("server-name", None, VLLM, 0);
    let sent = String::from_utf8(sent).unwrap();
    assert_eq!(sent, body.replace(r#""model":"mine","#, "").replacen('{', r#"{"model":"server-name","#, 1));
}

#[test]
fn a_stream_always_asks_for_usage_and_keeps_the_clients_other_options() {
    let sent = upstream(r#"{"model":"m","messages":[],"stream":true}"#, Kind::Chat);
    assert_eq!(sent["stream_options"], json!({"include_usage": true, "continuous_usage_stats": true}));
    let sent = upstream(r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":false,"other":7}}"#, Kind::Chat);
    assert_eq!(sent["stream_options"], json!({"include_usage": true, "continuous_usage_stats": true, "other": 7}));
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
        (r#"{"model":"m","messages":[],"n":0}"#, Some("n"), "at least 1"),
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
    let body = format!(r#"{{"model":"m","messages":[{{"content":"{}\\\"{}"}}]}}"#, "[".repeat(500), "{".repeat(500));
    assert!(Asked::parse(body.as_bytes(), Kind::Chat).is_ok());
}

fn demand(body: Value, kind: Kind) -> Demand {
    Asked::parse(body.to_string().as_bytes(), kind).unwrap_or_else(|r| panic!("{}", r.message)).demand
}

#[test]
fn what_counts_is_the_field_that_the_model_server_reads() {
    let text = |more: Value| {
        let mut body = json!({"model": "m", "prompt": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        demand(body, Kind::Text).max_tokens
    };
    assert_eq!(text(json!({})), Some(16), "the model server's own default");
    assert_eq!(text(json!({"max_tokens": null})), Some(16));
    assert_eq!(text(json!({"max_tokens": 200, "max_completion_tokens": 1})), Some(200), "only max_tokens is read there");
    assert_eq!(text(json!({"max_tokens": 0, "echo": true})), Some(1));
    let chat = |more: Value| {
        let mut body = json!({"model": "m", "messages": []});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        demand(body, Kind::Chat).max_tokens
    };
    assert_eq!(chat(json!({"max_tokens": 1, "max_completion_tokens": 300})), Some(300));
    assert_eq!(chat(json!({"max_tokens": 7, "max_completion_tokens": null})), Some(7));
    assert_eq!(chat(json!({})), None);
}

#[test]
fn every_prompt_and_every_answer_counts() {
    for (prompt, prompts, at_least) in [
        (json!("four"), 1, 4),
        (json!(["one", "two", "three"]), 3, 11),
        (json!([1, 22, 333, 4444]), 1, 4),
        (json!([[1, 2], [3, 4, 5]]), 2, 5),
    ] {
        let demand = demand(json!({"model": "m", "prompt": prompt, "n": 2, "best_of": 5}), Kind::Text);
        assert_eq!((demand.prompts, demand.choices, demand.n, demand.answers(), demand.shown()), (prompts, 5, 2, prompts * 5, prompts * 2));
        assert!((at_least..at_least + 40).contains(&demand.prompt_bound), "{demand:?}");
    }
    for wrong in [json!([]), json!({"a": 1}), json!(7), json!([1, "x"]), json!([["x"], 2]), json!([null])] {
        let body = json!({"model": "m", "prompt": wrong}).to_string();
        match Asked::parse(body.as_bytes(), Kind::Text) {
            Err(refusal) => assert_eq!(refusal.param.as_deref(), Some("prompt"), "{body}"),
            // Ids and texts mixed: as many as there are.
            Ok(asked) => assert_eq!(asked.demand.prompt_bound, 2, "{body}"),
        }
    }
}

#[test]
fn a_bound_that_nobody_named_is_told_to_the_model_server() {
    let body = r#"{"model":"m","messages":[],"max_tokens":null}"#;
    let sent = Asked::parse(body.as_bytes(), Kind::Chat).ok().unwrap().for_upstream("s", Some(77), VLLM, 0);
    assert_eq!(String::from_utf8(sent).unwrap(), r#"{"model":"s","messages":[],"max_completion_tokens":77}"#);
}

#[test]
fn the_tokenizer_is_asked_what_the_model_will_see_or_not_at_all() {
    let question = |body: Value, kind| {
        let body = body.to_string();
        let asked = Asked::parse(body.as_bytes(), kind).ok().unwrap().for_tokenizer("s")?;
        Some(serde_json::from_slice::<Value>(&asked).unwrap())
    };
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [{"a": 1}], "temperature": 0.1});
    assert_eq!(question(chat.clone(), Kind::Chat), Some(json!({"model": "s", "messages": chat["messages"], "tools": chat["tools"]})));
    assert_eq!(question(json!({"model": "m", "prompt": "x"}), Kind::Text), Some(json!({"model": "s", "prompt": "x"})));
    assert_eq!(question(json!({"model": "m", "prompt": ["x"]}), Kind::Text), None);
    assert_eq!(question(json!({"model": "m", "messages": [], "documents": [{}]}), Kind::Chat), None);
    let picture = json!([{"content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]);
    assert_eq!(question(json!({"model": "m", "messages": picture}), Kind::Chat), None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Asked::parse(&bytes, Kind::Chat);
        let _ = Asked::parse(&bytes, Kind::Text);
    }

    /// No tokenizer makes more tokens of a text than it has bytes after NFC, which makes at most three of one.
    #[test]
    fn the_bound_of_a_prompt_is_never_below_the_bytes_that_a_tokenizer_reads(text in ".{0,80}") {
        let foreign = text.bytes().filter(|b| !b.is_ascii()).count();
        let bound = demand(json!({"model": "m", "prompt": text}), Kind::Text).prompt_bound;
        prop_assert!(bound >= (text.len() + 2 * foreign) as u64);
    }

    #[test]
    fn any_model_name_arrives_as_it_is(name in ".{1,60}", content in ".{0,60}") {
        let body = json!({"model": name, "messages": [{"content": content}]}).to_string();
        let asked = Asked::parse(body.as_bytes(), Kind::Chat).ok().unwrap();
        prop_assert_eq!(asked.model.as_ref(), name.as_str());
        let sent: Value = serde_json::from_slice(&asked.for_upstream(&name, None, VLLM, 0)).unwrap();
        prop_assert_eq!(sent, json!({"model": name, "messages": [{"content": content}]}));
    }
}
