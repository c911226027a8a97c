//! One model's answer: the call to the gateway, told on as it streams.

use super::{Told, asked::Asked, stream::DataLines};
use domain::{chat::Answer, inspect::Message};
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
    let away = |e: reqwest::Error| {
        tracing::warn!(error = %e, "the playground cannot reach the gateway");
        "The gateway does not answer now. Try again in a moment.".to_owned()
    };
    let response = http.post(url).bearer_auth(pass).json(&body).send().await.map_err(away)?;
    if !response.status().is_success() {
        let status = response.status();
        let said = response.json::<Value>().await.ok().and_then(|v| message(&v["error"]));
        return Err(said.unwrap_or_else(|| format!("The gateway answered {status}.")));
    }
    let mut bytes = response.bytes_stream();
    let mut lines = DataLines::default();
    loop {
        let piece = tokio::select! {
            piece = tokio::time::timeout(SILENCE, bytes.next()) => piece.map_err(|_| "The model fell silent. What it said until then is kept.".to_owned())?,
            // The page was closed or the person pressed stop: the call ends, what came is kept.
            () = to.closed() => return Err("Stopped before the end.".into()),
        };
        let Some(piece) = piece else { return Err("The model's answer broke off. What it said until then is kept.".into()) };
        let piece = piece.map_err(|_| "The model's answer broke off. What it said until then is kept.".to_owned())?;
        for data in lines.push(&piece).map_err(|_| "The model sent something that cannot be read.".to_owned())? {
            if data == "[DONE]" {
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
}

fn message(error: &Value) -> Option<String> {
    error["message"].as_str().or_else(|| error.as_str()).map(str::to_owned)
}

fn milliseconds(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}
