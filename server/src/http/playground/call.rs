//! One model's answer: the call to the gateway, told on as it streams.

use super::{Told, asked::Asked};
use domain::{chat::Answer, inspect::Message};
use eventsource_stream::{EventStreamError, Eventsource};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Longest silence; the gateway gives up before.
const SILENCE: Duration = Duration::from_secs(150);

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Value>,
}
#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
}
#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
}
#[derive(Deserialize)]
struct Usage {
    completion_tokens: u32,
}

/// Never fails: what went wrong is in the answer, beside what came before.
pub async fn ask(
    http: &reqwest::Client,
    url: &str,
    pass: &str,
    model: &str,
    messages: &[Message],
    asked: &Asked,
    to: &mpsc::Sender<Told>,
) -> Answer {
    let began = Instant::now();
    let mut answer = Answer {
        model: model.to_owned(),
        content: String::new(),
        first_token_ms: None,
        duration_ms: None,
        completion_tokens: None,
        error: None,
    };
    let outcome = listen(http, url, pass, messages, asked, to, began, &mut answer).await;
    answer.duration_ms = Some(milliseconds(began));
    match outcome {
        Ok(()) => {
            let _ = to.send(Told::Done(answer.clone())).await;
        }
        Err(sentence) => {
            answer.error = Some(sentence.clone());
            let _ = to.send(Told::Failed { model: model.to_owned(), sentence }).await;
        }
    }
    answer
}

#[expect(clippy::too_many_arguments, reason = "one call's whole situation, in one place")]
async fn listen(
    http: &reqwest::Client,
    url: &str,
    pass: &str,
    messages: &[Message],
    asked: &Asked,
    to: &mpsc::Sender<Told>,
    began: Instant,
    answer: &mut Answer,
) -> Result<(), String> {
    let mut body = json!({ "model": answer.model, "messages": messages, "stream": true, "stream_options": { "include_usage": true } });
    if let Some(t) = asked.temperature {
        body["temperature"] = json!(t);
    }
    if let Some(n) = asked.max_tokens {
        body["max_tokens"] = json!(n);
    }
    let response = match begin(http, url, pass, &body).await? {
        // The question leaves less room than the answer may take: then the rest of the context is the longest answer.
        Begun::TooLong if asked.max_tokens.is_some() => {
            if let Some(body) = body.as_object_mut() {
                body.remove("max_tokens");
            }
            begin(http, url, pass, &body).await?
        }
        begun => begun,
    };
    let Begun::Answering(response) = response else {
        return Err("This conversation is longer than the model’s context. Start a new chat, or ask a shorter question.".into());
    };
    // The gateway lets no event pass that is longer than it allows.
    let mut events = response.bytes_stream().eventsource();
    loop {
        let event = tokio::select! {
            event = tokio::time::timeout(SILENCE, events.next()) => event.map_err(|_| "The model stopped responding. The partial answer is kept.".to_owned())?,
            // The page was closed or the person pressed stop: the call ends, what came is kept.
            () = to.closed() => return Err("Stopped before the end.".into()),
        };
        let data = match event {
            Some(Ok(event)) => event.data,
            Some(Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_))) => {
                return Err("The model sent something that cannot be read.".into());
            }
            Some(Err(EventStreamError::Transport(_))) | None => {
                return Err("The answer was cut off. The partial answer is kept.".into());
            }
        };
        if data.trim() == "[DONE]" {
            return Ok(());
        }
        let Ok(chunk) = serde_json::from_str::<Chunk>(&data) else { continue };
        if let Some(error) = chunk.error {
            return Err(message(&error).unwrap_or_else(|| "The model server reported an error.".into()));
        }
        if let Some(usage) = chunk.usage {
            answer.completion_tokens = Some(usage.completion_tokens);
        }
        for text in chunk.choices.into_iter().filter_map(|c| c.delta.content).filter(|t| !t.is_empty()) {
            answer.first_token_ms.get_or_insert_with(|| milliseconds(began));
            answer.content.push_str(&text);
            let _ = to.send(Told::Delta { model: answer.model.clone(), text }).await;
        }
    }
}

/// What the gateway made of a call.
enum Begun {
    Answering(reqwest::Response),
    /// Question and answer together are longer than the model's context.
    TooLong,
}

async fn begin(http: &reqwest::Client, url: &str, pass: &str, body: &Value) -> Result<Begun, String> {
    let away = |e: reqwest::Error| {
        tracing::warn!(error = %e, "the playground cannot reach the gateway");
        "The gateway is not responding. Try again in a moment.".to_owned()
    };
    let response = http.post(url).bearer_auth(pass).json(body).send().await.map_err(away)?;
    if response.status().is_success() {
        return Ok(Begun::Answering(response));
    }
    let status = response.status();
    let error = response.json::<Value>().await.map(|v| v["error"].clone()).unwrap_or_default();
    if error["code"] == "context_length_exceeded" {
        return Ok(Begun::TooLong);
    }
    Err(message(&error).unwrap_or_else(|| format!("The gateway answered {status}.")))
}

fn message(error: &Value) -> Option<String> {
    error["message"].as_str().or_else(|| error.as_str()).map(str::to_owned)
}

fn milliseconds(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::post};

    /// A gateway whose model has room for so many tokens after the question; 0 = the question alone is too long.
    async fn gateway(room: u64) -> String {
        let answer = move |Json(body): Json<Value>| async move {
            if room == 0 || body["max_tokens"].as_u64().is_some_and(|n| n > room) {
                let error = json!({"error": {"message": "maximum context length is 512", "code": "context_length_exceeded"}});
                return (StatusCode::BAD_REQUEST, Json(error)).into_response();
            }
            "data: {\"choices\":[{\"delta\":{\"content\":\"Yes.\"}}]}\n\ndata: [DONE]\n\n".into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
        format!("http://{address}/")
    }

    async fn asked(room: u64, max_tokens: Option<u32>) -> Answer {
        // The program does it once at its start.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (to, _page) = mpsc::channel(64);
        let asked = Asked { max_tokens, ..Asked::default() };
        ask(&reqwest::Client::new(), &gateway(room).await, "pass", "m", &[], &asked, &to).await
    }

    #[tokio::test]
    async fn an_answer_that_may_be_longer_than_what_is_left_takes_what_is_left() {
        let answer = asked(100, Some(448)).await;
        assert_eq!((answer.content.as_str(), answer.error), ("Yes.", None));
    }

    #[tokio::test]
    async fn a_conversation_beyond_the_context_is_told_in_our_words() {
        for max_tokens in [Some(448), None] {
            let said = asked(0, max_tokens).await.error.unwrap_or_default();
            assert!(said.starts_with("This conversation is longer than the model’s context."), "{said}");
        }
    }
}
