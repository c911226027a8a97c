//! Rewriting of answers and its bounds.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn an_answer_loses_nothing_but_null_noise_and_tells_its_counts() {
    let answer = json!({"id":"x","model":"server-name","choices":[{"index":0,"message":{"content":"hi","refusal":null},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7},"prompt_logprobs":null,"kv_transfer_params":null});
    let mut out = Vec::new();
    let seen = rewrite_answer(answer.to_string().as_bytes(), "ac\"me", UsageShown::Always, &mut out).unwrap();
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

#[test]
fn a_chunk_tells_which_answer_it_belongs_to_and_how_far_that_one_is() {
    let chunk = json!({"model":"x","choices":[{"index":2,"delta":{"content":"a"},"finish_reason":"length"}],
        "usage":{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14}});
    for (shown, visible) in [(UsageShown::Always, true), (UsageShown::AtTheEnd, false), (UsageShown::Never, false)] {
        let mut out = Vec::new();
        let seen = rewrite_answer(chunk.to_string().as_bytes(), "m", shown, &mut out).unwrap();
        assert_eq!((seen.index, seen.finished, seen.pieces, seen.only_usage), (2, 1, 1, false));
        assert_eq!(seen.usage, Some(Usage { prompt_tokens: 5, completion_tokens: 9 }));
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap().get("usage").is_some(), visible);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = rewrite_answer(&bytes, "m", UsageShown::Never, &mut Vec::new());
        let _ = UpstreamError::read(&bytes);
    }
}
