//! A double of vLLM: speaks OpenAI, and misbehaves in the way that the model's name asks for.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};

/// Tokens that every whole answer says it used.
pub const PROMPT_TOKENS: u32 = 11;
pub const COMPLETION_TOKENS: u32 = 3;

#[derive(Clone, Default)]
pub struct Double {
    /// Paths that were asked for, with the body.
    pub heard: Arc<Mutex<Vec<(String, Value)>>>,
    pub headers: Arc<Mutex<Vec<axum::http::HeaderMap>>>,
    /// A stream was dropped before its end.
    pub aborted: Arc<AtomicBool>,
    /// Chunks that left the double.
    pub sent: Arc<AtomicUsize>,
    /// Lets `stepwise` go on by one chunk.
    pub step: Arc<Notify>,
    /// One call of `held` is answered for each permit.
    pub gate: Gate,
}

#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    pub fn open(&self) {
        self.0.add_permits(1_000);
    }
}

impl Double {
    pub async fn start() -> (Double, String) {
        let double = Double::default();
        let router = Router::new().fallback(hear).with_state(double.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (double, address)
    }

    /// Calls for completions.
    pub fn hits(&self) -> usize {
        self.heard.lock().unwrap().iter().filter(|(path, _)| path != "/tokenize").count()
    }

    /// Questions to the tokenizer.
    pub fn counted(&self) -> usize {
        self.heard.lock().unwrap().iter().filter(|(path, _)| path == "/tokenize").count()
    }

    pub fn last(&self) -> Value {
        self.heard.lock().unwrap().iter().rfind(|(path, _)| path != "/tokenize").expect("nothing was heard").1.clone()
    }
}

async fn hear(State(double): State<Double>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    double.headers.lock().unwrap().push(headers);
    double.heard.lock().unwrap().push((path.clone(), body.clone()));
    let model = body["model"].as_str().unwrap_or_default().trim_start_matches("srv-").to_owned();
    if path == "/tokenize" {
        let count = if model == "greedy" { greedy_prompt(&body) } else { u64::from(PROMPT_TOKENS) };
        return Json(json!({"count": count, "max_model_len": 4096, "tokens": vec![7; count as usize]})).into_response();
    }
    if body["stream"] == json!(true) { streamed(&double, &model, &body).await } else { whole(&double, &model, &path, &body).await }
}

async fn whole(double: &Double, model: &str, path: &str, body: &Value) -> Response {
    match model {
        "refuses" => refusal(
            json!({"object":"error","message":"This model's maximum context length is 16 tokens. The model `srv-refuses` got more.","type":"BadRequestError","param":null,"code":400}),
        ),
        "refuses-new" => refusal(
            json!({"error":{"message":"temperature must be non-negative","type":"BadRequestError","param":"temperature","code":400}}),
        ),
        "crashes" => (StatusCode::INTERNAL_SERVER_ERROR, "<html>traceback with secrets</html>").into_response(),
        "garbles" => "this is no JSON".into_response(),
        "slow" => {
            let guard = Guard(double.aborted.clone(), false);
            tokio::time::sleep(Duration::from_millis(400)).await;
            guard.ended();
            Json(answer(path)).into_response()
        }
        "busy" => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "17")], "overloaded at /srv/vllm").into_response(),
        "locked" => (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")], Json(json!({"error": "Unauthorized"}))).into_response(),
        "unloaded" => (StatusCode::NOT_FOUND, Json(json!({"error":{"message":"The model `srv-unloaded` does not exist.","type":"NotFoundError","param":"model","code":404}}))).into_response(),
        "grammar" => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error":{"message":"Failed to convert the grammar from /tmp/x.ebnf","type":"InternalServerError","param":null,"code":500}}))).into_response(),
        "tools" => refusal(json!({"error":{"message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","param":null,"code":400}})),
        "held" => {
            let _open = double.gate.0.acquire().await;
            Json(answer(path)).into_response()
        }
        "never" => {
            let _guard = Guard(double.aborted.clone(), false);
            std::future::pending().await
        }
        // Generates as much as it is told, by the rule of the real one.
        "greedy" => {
            let most = if path.ends_with("chat/completions") { [&body["max_completion_tokens"], &body["max_tokens"]] } else { [&body["max_tokens"], &Value::Null] };
            let each = most.into_iter().find_map(Value::as_u64).unwrap_or(if path.ends_with("chat/completions") { 4_096 } else { 16 });
            let prompts = body["prompt"].as_array().map_or(1, |p| if p[0].is_number() { 1 } else { p.len() as u64 });
            let choices = body["n"].as_u64().unwrap_or(1).max(body["best_of"].as_u64().unwrap_or(1));
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut answer = answer(path);
            answer["usage"] = json!({"prompt_tokens": greedy_prompt(body), "completion_tokens": each * prompts * choices});
            Json(answer).into_response()
        }
        _ => Json(answer(path)).into_response(),
    }
}

/// Tokens of a prompt of `greedy`: each byte is one, and its chat template adds nine.
fn greedy_prompt(body: &Value) -> u64 {
    let length = |text: &Value| text.as_str().map_or(1, str::len) as u64;
    match (&body["messages"], &body["prompt"]) {
        (Value::Array(messages), _) => messages.iter().map(|m| length(&m["content"]) + 9).sum(),
        (_, Value::Array(prompts)) => prompts.iter().map(|p| p.as_array().map_or_else(|| length(p), |ids| ids.len() as u64)).sum(),
        (_, text) => length(text),
    }
}

fn refusal(body: Value) -> Response {
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

fn answer(path: &str) -> Value {
    let choice = if path.ends_with("chat/completions") {
        json!({"index":0,"message":{"role":"assistant","content":"It says srv-helpdesk."},"logprobs":null,"finish_reason":"stop","stop_reason":null})
    } else {
        json!({"index":0,"text":"It says so.","logprobs":null,"finish_reason":"length"})
    };
    json!({"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"srv-whatever","choices":[choice],"service_tier":null,
        "usage":{"prompt_tokens":PROMPT_TOKENS,"total_tokens":PROMPT_TOKENS+COMPLETION_TOKENS,"completion_tokens":COMPLETION_TOKENS},"prompt_logprobs":null,"kv_transfer_params":null})
}

fn chunk(model: &str, text: &str, finish: Option<&str>) -> String {
    let chunk = json!({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":format!("srv-{model}"),
        "choices":[{"index":0,"delta":{"content":text},"logprobs":null,"finish_reason":finish,"token_ids":null}]});
    format!("data: {chunk}\n\n")
}

async fn streamed(double: &Double, model: &str, body: &Value) -> Response {
    let usage = body["stream_options"]["include_usage"] == json!(true);
    let mut chunks: VecDeque<String> =
        [("", None), ("One", None), (" two", None), (" three", None), ("", Some("stop"))].map(|(t, f)| chunk(model, t, f)).into();
    if usage {
        let usage =
            json!({"prompt_tokens":PROMPT_TOKENS,"total_tokens":PROMPT_TOKENS+COMPLETION_TOKENS,"completion_tokens":COMPLETION_TOKENS});
        let last = json!({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"srv","choices":[],"usage":usage});
        chunks.push_back(format!("data: {last}\n\n"));
    }
    chunks.push_back("data: [DONE]\n\n".into());
    let guard = Guard(double.aborted.clone(), false);
    let (sent, step) = (double.sent.clone(), double.step.clone());
    let counted = move |text: String| {
        sent.fetch_add(1, Ordering::SeqCst);
        Ok::<_, io::Error>(Bytes::from(text))
    };
    let all = chunks.iter().map(String::as_str).collect::<String>();
    let whole = |text: String| events(stream::iter([Ok::<_, io::Error>(Bytes::from(text))]));
    match model {
        // Not even the head of its answer comes.
        "silent" => {
            let _guard = guard;
            std::future::pending().await
        }
        "unfinished" => events(stream::iter(chunks.into_iter().filter(|c| !c.contains("stop"))).map(counted)),
        "bare-returns" => whole(all.replace('\n', "\r")),
        "two-lines" => whole(all.replace(",\"choices\"", ",\ndata: \"choices\"")),
        "marked" => whole(format!("\u{feff}: hello\n\n{all}")),
        "no-stream" => Json(answer("chat/completions")).into_response(),
        "dies" => events(stream::iter(chunks.into_iter().take(3)).map(counted).chain(stream::once(async {
            // The chunks before are on the wire when the connection breaks.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(io::Error::other("killed"))
        }))),
        "ends-early" => events(stream::iter(chunks.into_iter().take(3)).map(counted)),
        "fails-inside" => {
            let error = json!({"error":{"message":"EngineCore died","type":"InternalServerError","param":null,"code":500}});
            let told = [chunks.remove(1).unwrap(), format!("data: {error}\n\n"), "data: [DONE]\n\n".into()];
            events(stream::iter(told).map(counted))
        }
        "garbles" => events(stream::iter([chunks.remove(1).unwrap(), "data: {\"broken\n\n".into()]).map(counted)),
        // Every byte by itself, with the line ends of Windows and a comment between.
        "torn" => {
            let all = chunks.into_iter().collect::<String>().replace("\n\n", "\r\n\r\n: ping\r\n\r\n");
            events(stream::iter(all.into_bytes()).map(|b| Ok::<_, io::Error>(Bytes::from(vec![b]))))
        }
        "stalls" => events(stream::iter(chunks.into_iter().take(2)).map(counted).chain(stream::pending())),
        "stepwise" => events(
            stream::unfold((chunks, step), |(mut chunks, step)| async move {
                let next = chunks.pop_front()?;
                step.notified().await;
                Some((next, (chunks, step)))
            })
            .map(counted),
        ),
        "endless" => {
            let model = model.to_owned();
            // Two tokens a chunk, as a server that decodes ahead may send them.
            let continuous = body["stream_options"]["continuous_usage_stats"] == json!(true);
            events(
                stream::unfold((guard, model, 0_u32), move |(guard, model, mut generated)| async move {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let mut chunk: Value = serde_json::from_str(chunk(&model, "more ", None).trim().trim_start_matches("data: ")).unwrap();
                    if continuous {
                        generated += 2;
                        chunk["usage"] = json!({"prompt_tokens": PROMPT_TOKENS, "completion_tokens": generated, "total_tokens": PROMPT_TOKENS + generated});
                    }
                    Some((format!("data: {chunk}\n\n"), (guard, model, generated)))
                })
                .map(counted),
            )
        }
        "flood" => {
            let big = chunk(model, &"x".repeat(64 * 1024), None);
            events(stream::unfold((guard, big), |(guard, big)| async move { Some((big.clone(), (guard, big))) }).map(counted))
        }
        _ => events(stream::iter(chunks).map(counted)),
    }
}

fn events(chunks: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Response {
    ([("content-type", "text/event-stream; charset=utf-8")], Body::from_stream(chunks)).into_response()
}

/// Notes when it is dropped before its work ended.
struct Guard(Arc<AtomicBool>, bool);

impl Guard {
    fn ended(mut self) {
        self.1 = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_or(!self.1, Ordering::SeqCst);
    }
}

/// A server that accepts, reads a little and closes the connection; counts how often.
pub async fn closes_early() -> (Arc<AtomicUsize>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 4096]).await;
        }
    });
    (count, address)
}
