//! Servers that somebody else runs, with certificates, at two ports of one host: offered in the playground, in the lineage and in usage like
//! any other endpoint; until when their certificates are good is told of each by itself.

mod processes;
mod tls;

use axum::{
    Json, Router,
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use processes::{Setup, person::Person, prepare, within};
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use tls::Authority;

const TENANT: &str = "lumenta";
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with OpenAI's interface and two models; gives its address by name.
async fn serve(authority: &Authority, until: OffsetDateTime) -> String {
    let listener = authority.listen("localhost", Some(until)).await;
    let address = format!("https://localhost:{}/v1", listener.address().port());
    let models = json!({"object": "list", "data": [{"id": "big-32b", "max_model_len": 32_768}, {"id": "small-4b"}]});
    let router = Router::new()
        .route("/v1/models", get(move || async move { Json(models) }))
        .route("/v1/chat/completions", post(|Json(asked): Json<Value>| async move { answered(&asked) }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn answered(asked: &Value) -> Response {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    let (model, text) = (&asked["model"], format!("Answered by {}.", asked["model"].as_str().unwrap_or_default()));
    if asked["stream"] != true {
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
        return Json(json!({"id": "c-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}))
            .into_response();
    }
    let chunk = |choices: Value, usage: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices, "usage": usage})
        )
    };
    let body = [
        chunk(json!([{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null}]), Value::Null),
        chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null),
        chunk(json!([]), usage),
        "data: [DONE]\n\n".to_owned(),
    ];
    ([(header::CONTENT_TYPE, "text/event-stream")], body.concat()).into_response()
}

fn in_days(days: i64) -> OffsetDateTime {
    (OffsetDateTime::now_utc() + time::Duration::days(days)).replace_nanosecond(0).unwrap()
}

fn ms(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000
}

/// The page of an endpoint, once it is in this state.
async fn page_when(mira: &Person, at: &str, name: &str, state: &str) -> Value {
    within(PATIENCE, &format!("{name} is {state}"), async || {
        let page = mira.did(at, "endpoints/get", &[("tenant", TENANT), ("name", name)]).await.body;
        (page["endpoint"]["state"] == state).then_some(page)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_of_one_host_have_certificates_of_their_own_and_answer_like_any_other_endpoint() {
    prepare();
    let authority = Authority::new();
    let (soon, later, over) = (in_days(9), in_days(400), in_days(-2));
    let servers = [serve(&authority, soon).await, serve(&authority, later).await, serve(&authority, over).await];
    let data = tempfile::tempdir().unwrap();
    let believed = data.path().join("house.pem");
    std::fs::write(&believed, &authority.pem).unwrap();
    let setup = Setup::new(data.path(), "portal").with("--outside-allowed", "localhost").variable("SSL_CERT_FILE", believed.display());
    let _portal = setup.start().await;
    let at = setup.address.as_str();
    let (mira, admin) = (Person::sign_in(at, "mira").await, Person::sign_in(at, "admin").await);
    let quota = [("quota[concurrent_runs]", "1"), ("quota[storage_gb]", "20"), ("quota[endpoints]", "3")];
    admin.did(at, "admin/tenant-quota", &[&[("name", TENANT)][..], &quota].concat()).await;
    for (name, address) in ["soon", "later", "over"].iter().zip(&servers) {
        mira.did(at, "endpoints/external", &[("tenant", TENANT), ("name", name), ("address", address), ("key", "")]).await;
    }

    // The certificate of each, at ports of one host.
    for (name, state, until, warned) in [("soon", "ready", soon, true), ("later", "ready", later, false), ("over", "degraded", over, true)]
    {
        let page = page_when(&mira, at, name, state).await;
        assert_eq!(page["endpoint"]["external"]["certificate_until"].as_i64(), Some(ms(until)), "{name}: {page}");
        assert_eq!(page["certificate_ends"].as_i64(), warned.then_some(ms(until)), "{name}");
        let (status, html) = mira.page(at, &format!("/t/{TENANT}/endpoints/{name}")).await;
        assert_eq!((status, html.contains("The server's certificate must be renewed")), (200, warned), "{name}");
    }
    let over = page_when(&mira, at, "over", "degraded").await;
    assert_eq!(over["endpoint"]["reason"]["trouble"]["trouble"], "certificate", "{over}");

    // The playground.
    for (there, here) in [("big-32b", "house-32b"), ("small-4b", "house-4b")] {
        mira.did(at, "endpoints/offer", &[("tenant", TENANT), ("endpoint", "soon"), ("there", there), ("here", here)]).await;
    }
    let choices = mira.did(at, "playground/get", &[("tenant", TENANT), ("chat", "")]).await.body["models"].clone();
    let choice = choices.as_array().unwrap().iter().find(|m| m["id"] == "house-32b").unwrap_or_else(|| panic!("{choices}"));
    assert_eq!((choice["endpoint"].as_str(), choice["context"].as_u64()), (Some("soon"), Some(32_768)));
    let question = json!({"models": ["house-32b"], "system": "", "question": "Who are you?"});
    for _ in 0..2 {
        within(PATIENCE, "the playground answers", async || {
            let stream = mira.post_json(at, &format!("/t/{TENANT}/playground/chat"), &question).await.ok()?;
            (stream.contains("event: saved") && stream.contains("Answered by big-32b.")).then_some(())
        })
        .await;
    }

    // Usage and lineage.
    within(PATIENCE, "both calls are counted", async || {
        let usage = mira.did(at, "usage/get", &[("tenant", TENANT), ("by", "model"), ("days", "1")]).await.body;
        usage["lines"]["rows"].as_array()?.iter().any(|l| l["group"] == "house-32b" && l["requests"].as_u64() >= Some(2)).then_some(())
    })
    .await;
    let (_, html) = mira.page(at, &format!("/t/{TENANT}/endpoints/soon")).await;
    let requests = |model: &str| {
        let row = html.split("<tr").find(|row| row.contains(model) && row.contains("data-label=\"requests\""));
        let cell = row.and_then(|row| row.split("data-label=\"requests\"").nth(1)).and_then(|cell| cell.split('>').nth(1));
        cell.and_then(|cell| cell.split('<').next()).unwrap_or_else(|| panic!("no row of {model}: {html}")).to_owned()
    };
    assert_eq!((requests("big-32b").as_str(), requests("small-4b").as_str()), ("2", "0"), "each model by itself");
    let strip = mira.did(at, "chain", &[("tenant", TENANT), ("at", "endpoint/soon")]).await.body;
    let texts: Vec<_> = strip["links"].as_array().unwrap().iter().filter_map(|l| l["text"].as_str()).collect();
    assert_eq!(&texts[..4], ["no dataset", "no run here", "models of its server", "soon"], "{strip}");
    assert!(texts[5].ends_with("requests, 7 d"), "{texts:?}");
    let graph = mira.did(at, "lineage/get", &[("tenant", TENANT)]).await.body;
    let node = graph["nodes"].as_array().unwrap().iter().find(|n| n["title"] == "soon").unwrap_or_else(|| panic!("{graph}"));
    assert_eq!((node["link"].as_str(), node["from"].as_array().map(Vec::len)), (Some("endpoint"), Some(0)), "{node}");
}
