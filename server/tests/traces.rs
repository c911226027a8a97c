//! Traces of the real program, as a collector gets them.

mod processes;

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use processes::{
    Setup,
    house::{BASE, House, PATIENCE, TENANT},
    prepare, within,
};
use prost::Message;
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

const STRANGER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A collector: keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    raw: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        async fn take(State(collector): State<Collector>, body: Bytes) {
            collector.raw.lock().unwrap().push(body);
        }
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, address)
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.raw.lock().unwrap().iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|r| r.resource_spans);
        resources.flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
    }

    fn named(&self, name: &str) -> Option<Span> {
        self.spans().into_iter().rfind(|span| span.name == name)
    }
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let value = span.attributes.iter().find(|a| a.key == name)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn traced(setup: Setup, collector: &str) -> Setup {
    setup.variable("OTEL_EXPORTER_OTLP_ENDPOINT", collector).variable("OTEL_BSP_SCHEDULE_DELAY", 100)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_call_is_a_span_of_its_request_with_the_model_servers_part_inside_and_holds_no_text_of_anybody() {
    let (collector, address) = Collector::start().await;
    let house = House::with(None, |setup| traced(setup, &address).variable("OTEL_SERVICE_NAME", "atelier-of-the-test")).await;
    // Those of the start are told apart by their time.
    within(PATIENCE, "the first call was sent", async || collector.named("model server")).await;
    collector.raw.lock().unwrap().clear();
    let prompt = "Who reads this prompt?";
    let body = json!({"model": BASE, "stream": true, "messages": [{"role": "user", "content": prompt}]});
    let call = reqwest::Client::new().post(format!("{}/v1/chat/completions", house.setup.address));
    let answer = call.bearer_auth(&house.key).header("traceparent", STRANGER).json(&body).send().await.unwrap();
    let number = processes::house::number(&answer);
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");

    let (request, call, server) = within(PATIENCE, "all three spans were sent", async || {
        let request = collector.spans().into_iter().find(|s| attribute(s, "atelier.request_id").as_deref() == Some(&number))?;
        let child = |name: &str, of: &Span| collector.spans().into_iter().find(|s| s.name == name && s.parent_span_id == of.span_id);
        let call = child("gateway call", &request)?;
        let server = child("model server", &call)?;
        Some((request, call, server))
    })
    .await;
    assert_eq!((request.name.as_str(), request.kind()), ("POST /v1/{*rest}", SpanKind::Server));
    assert_eq!(attribute(&request, "http.route").as_deref(), Some("/v1/{*rest}"));
    assert_eq!(attribute(&request, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!((server.kind(), &server.trace_id, &call.trace_id), (SpanKind::Client, &request.trace_id, &request.trace_id));
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", BASE),
        ("atelier.tenant", TENANT),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(&call, name).as_deref(), Some(value), "{name}");
    }
    for name in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        assert!(attribute(&call, name).unwrap().parse::<u32>().unwrap() > 0, "{name}");
    }
    assert!(call.end_time_unix_nano >= server.end_time_unix_nano && call.start_time_unix_nano <= server.start_time_unix_nano);
    // A stranger's trace is linked, and is not where ours begins.
    assert!(request.parent_span_id.is_empty());
    assert_eq!(request.links.iter().map(|l| hex::encode(&l.trace_id)).collect::<Vec<_>>(), ["0af7651916cd43dd8448eb211c80319c"]);
    assert_ne!(hex::encode(&request.trace_id), "0af7651916cd43dd8448eb211c80319c");

    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    let named = resource.attributes.iter().any(|a| format!("{a:?}").contains("atelier-of-the-test"));
    assert!(named, "{resource:?}");
    let everything: Vec<u8> = collector.raw.lock().unwrap().concat();
    let everything = String::from_utf8_lossy(&everything);
    for told in [prompt, "answered by", &house.key, "atl_", "jonas", "127.0.0.1"] {
        assert!(!everything.contains(told), "{told} was sent to the collector");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_something_is_a_span_of_its_request_and_so_are_the_controllers_jobs_and_steps() {
    let (collector, address) = Collector::start().await;
    let _house = House::with(None, |setup| traced(setup, &address)).await;
    let (request, change) = within(PATIENCE, "the key's change was sent", async || {
        let change = collector.named("key.write")?;
        Some((collector.spans().into_iter().find(|s| s.span_id == change.parent_span_id)?, change))
    })
    .await;
    assert_eq!(request.name, "POST /rpc/keys/create");
    assert_eq!(
        (attribute(&change, "atelier.tenant").as_deref(), attribute(&change, "atelier.object_kind").as_deref()),
        (Some(TENANT), Some("key"))
    );
    // The base model was looked at by a job, and what that found is a change inside it.
    let job = within(PATIENCE, "the job was sent", async || {
        collector.spans().into_iter().find(|s| attribute(s, "atelier.attempt").as_deref() == Some("1"))
    })
    .await;
    within(PATIENCE, "the job's change was sent", async || collector.spans().into_iter().find(|s| s.parent_span_id == job.span_id)).await;
    within(PATIENCE, "a step of the endpoint's controller was sent", async || {
        collector.spans().into_iter().find(|s| s.parent_span_id.is_empty() && s.name == "change")
    })
    .await;
    assert!(!collector.spans().iter().any(|s| s.name.contains("/readyz") || s.name.contains("/healthz")), "probes are no traces");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_says_to_which_trace_a_request_belongs() {
    prepare();
    let (collector, address) = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let setup = traced(Setup::new(data.path(), "portal").with("--trusted-proxy", "127.0.0.1"), &address);
    let _portal = setup.start().await;
    let asked = reqwest::Client::new().get(format!("{}/login", setup.address)).header("traceparent", STRANGER).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    let request = within(PATIENCE, "the request was sent", async || collector.named("GET /login")).await;
    assert_eq!(
        (hex::encode(&request.trace_id), hex::encode(&request.parent_span_id)),
        ("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into())
    );
    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    let named = resource.attributes.iter().any(|a| a.key == "service.name" && format!("{a:?}").contains("\"atelier\""));
    assert!(named, "without OTEL_SERVICE_NAME it is this program: {resource:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_or_is_away_costs_the_portal_nothing() {
    prepare();
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs = format!("http://{}", hanging.local_addr().unwrap());
    let held = Arc::new(Mutex::new(Vec::new()));
    let kept = held.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = hanging.accept().await {
            kept.lock().unwrap().push(socket);
        }
    });
    let away = format!("http://127.0.0.1:{}", processes::free_port());
    for (name, collector) in [("hangs", &hangs), ("away", &away)] {
        let data = tempfile::tempdir().unwrap();
        // As patient with the collector, and with as little room, as nobody would have it.
        let setup = traced(Setup::new(data.path(), "portal"), collector)
            .variable("OTEL_EXPORTER_OTLP_TIMEOUT", 600_000)
            .variable("OTEL_BSP_MAX_QUEUE_SIZE", 8)
            .variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 8);
        let portal = setup.start().await;
        let http = reqwest::Client::new();
        let began = Instant::now();
        for _ in 0..200 {
            let asked = http.get(format!("{}/login", setup.address)).send().await.unwrap();
            assert_eq!(asked.status(), 200, "{name}");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{name}: {:?} for 200 requests", began.elapsed());
        if name == "hangs" {
            within(PATIENCE, "the collector was tried", async || (!held.lock().unwrap().is_empty()).then_some(())).await;
        } else {
            within(PATIENCE, "it is said in the log", async || {
                let log = std::fs::read_to_string(data.path().join("portal.log")).unwrap();
                log.contains("the collector does not take traces").then_some(())
            })
            .await;
        }
        let began = Instant::now();
        assert!(portal.stop().await, "{name}");
        assert!(began.elapsed() < Duration::from_secs(20), "{name}: {:?} to stop", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_that_is_not_spoken_is_refused_at_the_start_with_the_one_that_is() {
    let data = tempfile::tempdir().unwrap();
    let setup = traced(Setup::new(data.path(), "portal"), "http://127.0.0.1:4317").variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let mut portal = setup.spawn();
    let ended = within(PATIENCE, "it has ended", async || portal.ended()).await;
    let log = std::fs::read_to_string(data.path().join("portal.log")).unwrap();
    assert!(!ended.success() && log.contains("Set it to http/protobuf"), "{log}");
}
