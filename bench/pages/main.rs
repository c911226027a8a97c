//! What drawing a page costs: CPU and queries per page, and the memory that the portal holds after many pages, calls and event streams.
//! `cargo bench -p server --bench pages -- [SECONDS]`; see README.md.

#[path = "../../server/tests/processes/mod.rs"]
mod processes;

use futures::{StreamExt, stream};
use processes::{
    person::Person,
    two_tenants::{Tenant, TwoTenants},
};
use serde_json::json;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Rows of the lists that are measured.
const ROWS: usize = 50;
const CONNECTIONS: usize = 8;
const PAGES: usize = 100_000;
const CALLS: usize = 10_000;
/// They all come from one address here.
const MANY_STREAMS: &[(&str, &str)] = &[("--max-connections-per-address", "8000"), ("--max-connections", "10000")];
const STREAMS: usize = 4_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seconds = words.iter().find_map(|w| w.parse().ok()).unwrap_or(5);
    let pages = |t: &Tenant| {
        let at = format!("/t/{}", t.name);
        vec![
            ("sign-in", "/login".to_owned()),
            ("keys, 50 rows", format!("{at}/keys")),
            ("datasets, 50 rows", format!("{at}/datasets")),
            ("usage", format!("{at}/usage")),
            ("home", at.clone()),
            ("audit, 50 rows", format!("{at}/audit")),
            ("run", format!("{at}/runs/{}", t.run)),
            ("model", format!("{at}/models/{}", t.word)),
            ("dataset", format!("{at}/datasets/{}-facts", t.word)),
            ("endpoints", format!("{at}/endpoints")),
            ("new run", format!("{at}/runs-new")),
            ("lineage", format!("{at}/lineage")),
            ("playground", format!("{at}/playground")),
        ]
    };
    println!("load before: {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());

    let queries = {
        let portal = TwoTenants::saying("info,sqlx=debug").await;
        fill(&portal).await;
        let mut queries = Vec::new();
        for (_, page) in pages(&portal.tenants[0]) {
            // Twice: what the session writes once a minute is no part of a page.
            draw(&portal, &page).await;
            let before = said(&portal);
            draw(&portal, &page).await;
            queries.push(said(&portal) - before);
        }
        queries
    };

    let portal = TwoTenants::with("info,sqlx=warn", MANY_STREAMS).await;
    let key = fill(&portal).await;
    println!("resident at the start: {}", megabytes(portal.resident()));
    println!("{:<20} {:>9} {:>8} {:>14} {:>12} {:>9}", "page", "queries", "kB", "CPU us a page", "pages/s/core", "pages/s");
    for ((name, page), queries) in pages(&portal.tenants[0]).into_iter().zip(queries) {
        let bytes = draw(&portal, &page).await;
        measure(&portal, &page, Duration::from_millis(500)).await;
        let (drawn, took, cpu) = measure(&portal, &page, Duration::from_secs(seconds)).await;
        let us = cpu.as_secs_f64() * 1e6 / drawn as f64;
        println!("{name:<20} {queries:>9} {:>8} {us:>14.0} {:>12.0} {:>9.0}", bytes / 1000, 1e6 / us, drawn as f64 / took.as_secs_f64());
    }
    if words.iter().any(|w| w == "memory") {
        memory(&portal, &pages(&portal.tenants[0]), &key).await;
    }
}

/// Fifty keys and fifty datasets; gives the secret of a key.
async fn fill(portal: &TwoTenants) -> String {
    let tenant = &portal.tenants[0];
    let row = json!({"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]}).to_string();
    let mut secret = String::new();
    for n in 1..ROWS {
        let label = format!("key number {n}");
        let form = [("tenant", tenant.name), ("form[label]", label.as_str()), ("form[may]", "all")];
        secret = tenant.owner.did(&portal.address, "keys/create", &form).await.body["secret"].as_str().unwrap().to_owned();
        tenant.owner.upload(&portal.address, tenant.name, &format!("data-{n}"), "", row.as_bytes(), None).await.unwrap();
    }
    processes::within(Duration::from_secs(120), "all datasets are judged", async || {
        let list = tenant.owner.did(&portal.address, "datasets/list", &[("tenant", tenant.name), ("text", ""), ("checks", "")]).await.body;
        (!list.to_string().contains("\"checking\"")).then_some(())
    })
    .await;
    secret
}

async fn draw(portal: &TwoTenants, page: &str) -> usize {
    let owner: &Person = &portal.tenants[0].owner;
    let (status, body) = owner.page(&portal.address, page).await;
    assert_eq!(status, 200, "{page}: {body}");
    body.len()
}

/// Draws a page over and over; gives how often, how long, and the CPU time of the portal meanwhile.
async fn measure(portal: &TwoTenants, page: &str, long: Duration) -> (u64, Duration, Duration) {
    let drawn = AtomicU64::new(0);
    let (began, before) = (Instant::now(), processes::cpu(portal.process()));
    stream::iter(0..CONNECTIONS)
        .for_each_concurrent(None, |_| async {
            while began.elapsed() < long {
                draw(portal, page).await;
                drawn.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await;
    (drawn.load(Ordering::Relaxed), began.elapsed(), processes::cpu(portal.process()) - before)
}

async fn memory(portal: &TwoTenants, pages: &[(&str, String)], key: &str) {
    println!("resident before: {}", megabytes(portal.resident()));
    for part in 1..=4 {
        stream::iter(0..PAGES / 4)
            .for_each_concurrent(CONNECTIONS, |n| async move {
                draw(portal, &pages[n % pages.len()].1).await;
            })
            .await;
        println!("resident after {} pages: {}", PAGES / 4 * part, megabytes(portal.resident()));
    }
    let http = reqwest::Client::new();
    stream::iter(0..CALLS).for_each_concurrent(CONNECTIONS, |_| call(portal, &http, key)).await;
    println!("resident after {CALLS} calls: {}", megabytes(portal.resident()));
    let owner = &portal.tenants[0].owner;
    let open: Vec<_> =
        stream::iter(0..STREAMS).map(|_| owner.events(&portal.address, portal.tenants[0].name)).buffer_unordered(64).collect().await;
    println!("resident with {} event streams open: {}", open.len(), megabytes(portal.resident()));
    drop(open);
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!("resident after they were closed: {}", megabytes(portal.resident()));
}

/// One call of the gateway, answered by the stand-in.
async fn call(portal: &TwoTenants, http: &reqwest::Client, key: &str) {
    let body = json!({"model": portal.tenants[0].word, "messages": [{"role": "user", "content": "Hello"}]});
    let answer = http.post(format!("{}/v1/chat/completions", portal.address)).bearer_auth(key).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

fn said(portal: &TwoTenants) -> usize {
    portal.log().matches("summary=").count()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
