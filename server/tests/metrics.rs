//! `/metrics` of the real program: what it counts, and what it never tells.

mod portal;
mod processes;

use portal::{Browser, TestPortal};
use processes::{
    free_port,
    house::{BASE, House, PATIENCE, TENANT},
    within,
};
use serde_json::json;
use tokio::net::TcpStream;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the line of this name and these labels says.
fn value(text: &str, line: &str) -> Option<f64> {
    text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

async fn scraped(address: impl std::fmt::Display) -> String {
    let answer = Browser::at(&format!("http://{address}")).get_json("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, OPENMETRICS));
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_the_route_and_never_by_the_address_that_was_asked_for() {
    let portal = TestPortal::with(&["--role", "web,gateway", "--metrics-listen", "127.0.0.1:0"]).await;
    let mut mira = portal.signed_in("mira").await;
    for run in ["one", "two"] {
        assert_eq!(mira.get(&format!("/t/lumenta/runs/{run}")).await.status, 404);
    }
    assert_eq!(mira.get_json("/v1/models").await.status, 401);
    for nowhere in ["/nobody/knows/this", "/nor/this"] {
        assert_eq!(mira.get(nowhere).await.status, 404);
    }
    let text = scraped(portal.portal.metrics.expect("an address")).await;
    let runs = "atelier_http_requests_total{method=\"GET\",route=\"/t/{tenant}/runs/{id}\",status=\"404\"}";
    assert_eq!(value(&text, runs), Some(2.0), "{text}");
    let took = "atelier_http_request_duration_seconds_count{method=\"GET\",route=\"/t/{tenant}/runs/{id}\"}";
    assert_eq!(value(&text, took), Some(2.0), "{text}");
    assert_eq!(value(&text, "atelier_gateway_refusals_total{code=\"invalid_api_key\"}"), Some(1.0), "{text}");
    assert!(value(&text, "atelier_connections_open").is_some_and(|open| open >= 1.0), "{text}");
    assert!(value(&text, "atelier_directory_age_seconds").is_some_and(|age| (0.0..60.0).contains(&age)), "{text}");
    assert_eq!(value(&text, "atelier_lease_age_seconds"), None, "no controllers here: {text}");
    assert_eq!(value(&text, "atelier_build_info{version=\"0.1.0\"}"), Some(1.0), "{text}");
    assert!(value(&text, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6), "{text}");
    assert!(value(&text, "process_cpu_seconds_total").is_some_and(|seconds| seconds > 0.0), "{text}");
    assert!(value(&text, "process_open_fds") < value(&text, "process_max_fds"), "{text}");
    let pool = |state| value(&text, &format!("atelier_database_connections{{state=\"{state}\"}}")).unwrap();
    assert!(pool("idle") + pool("used") >= 1.0 && value(&text, "atelier_database_connections_max") == Some(8.0), "{text}");
    for told in ["127.0.0.1", "mira", "lumenta", "nobody/knows", "runs/one"] {
        assert!(!text.contains(told), "{told} in {text}");
    }
    // Its address answers nothing else, and the portal's own address does not answer it.
    assert_eq!(Browser::at(&format!("http://{}", portal.portal.metrics.unwrap())).get("/").await.status, 404);
    assert_eq!(portal.browser().get("/metrics").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_turned_away_are_counted_by_their_reason() {
    let flags = ["--role", "web,gateway", "--metrics-listen", "127.0.0.1:0", "--max-connections-per-address", "2"];
    let portal = TestPortal::with(&flags).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(TcpStream::connect(portal.portal.address).await.unwrap());
    }
    let metrics = portal.portal.metrics.unwrap();
    within(PATIENCE, "three were turned away", async || {
        let text = scraped(metrics).await;
        let turned_away = |reason| value(&text, &format!("atelier_connections_turned_away_total{{reason=\"{reason}\"}}"));
        (turned_away("address") == Some(3.0) && turned_away("all") == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_for_there_are_no_metrics() {
    let portal = TestPortal::start().await;
    assert_eq!(portal.portal.metrics, None);
    assert_eq!(portal.browser().get("/metrics").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_by_how_they_ended_and_nothing_says_whose_they_were() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let house = House::with(None, |setup| setup.with("--metrics-listen", &metrics)).await;
    let http = reqwest::Client::new();
    let url = format!("{}/v1/chat/completions", house.setup.address);
    let ask = async |key: &str, model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "a word of a prompt"}]});
        http.post(&url).bearer_auth(key).json(&body).send().await.unwrap().status().as_u16()
    };
    let before = scraped(&metrics).await;
    for stream in [false, true, true] {
        house.call(stream).await.expect("an answer");
    }
    assert_eq!(ask(&house.key, "no-such-model").await, 404);
    assert_eq!(ask("atl_wrong", BASE).await, 401);
    let body = json!({"model": BASE, "stream": true, "messages": [{"role": "user", "content": "slowly"}]});
    let mut left = http.post(&url).bearer_auth(&house.key).json(&body).send().await.unwrap();
    assert!(left.chunk().await.unwrap().is_some());
    let under_way = scraped(&metrics).await;
    assert_eq!(value(&under_way, "atelier_gateway_calls_under_way"), Some(1.0), "{under_way}");
    drop(left);
    let more = |text: &str, line: &str| value(text, line).unwrap_or(0.0) - value(&before, line).unwrap_or(0.0);
    let text = within(PATIENCE, "all of it is in the database", async || {
        let text = scraped(&metrics).await;
        let written = more(&text, "atelier_usage_records_total") >= 5.0 && value(&text, "atelier_usage_spool_records") == Some(0.0);
        written.then_some(text)
    })
    .await;
    for (line, count) in [
        ("atelier_gateway_calls_total{outcome=\"answered\"}", 3.0),
        ("atelier_gateway_calls_total{outcome=\"refused\"}", 1.0),
        ("atelier_gateway_calls_total{outcome=\"client_left\"}", 1.0),
        ("atelier_gateway_calls_total{outcome=\"failed\"}", 0.0),
        ("atelier_gateway_refusals_total{code=\"model_not_found\"}", 1.0),
        ("atelier_gateway_refusals_total{code=\"invalid_api_key\"}", 1.0),
        ("atelier_gateway_time_to_first_token_seconds_count", 4.0),
        ("atelier_gateway_call_duration_seconds_count", 4.0),
        ("atelier_usage_records_set_aside_total", 0.0),
    ] {
        assert_eq!(more(&text, line), count, "{line} in {text}");
    }
    for kind in ["prompt", "completion"] {
        assert!(more(&text, &format!("atelier_gateway_tokens_total{{kind=\"{kind}\"}}")) > 0.0, "{text}");
    }
    assert_eq!(value(&text, "atelier_gateway_calls_under_way"), Some(0.0), "{text}");
    assert_eq!((value(&text, "atelier_usage_spool_bytes"), value(&text, "atelier_usage_spool_oldest_age_seconds")), (Some(0.0), Some(0.0)));
    assert_eq!(value(&text, "atelier_usage_spool_max_bytes"), Some(f64::from(1 << 30)));
    assert!(value(&text, "atelier_lease_age_seconds").is_some_and(|age| age < 60.0), "{text}");
    for told in [TENANT, BASE, "atl_", "127.0.0.1", "jonas", "a word of a prompt", "no-such-model"] {
        assert!(!text.contains(told), "{told} in {text}");
    }
}
