//! The gateway alone, with 10,000 keys and 100 routes, for the benchmark: every feature on, on one thread.
//!
//! `bench_gateway ADDRESS UPSTREAM`. Prints the key to call with, then serves until it is ended; metered calls are counted and
//! the counts are printed once a second, so that they can be compared with what the load tool saw.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use axum::serve::ListenerExt;
use domain::{
    call_rules::CallRules,
    directory::{Directory, KeyEntry, Route, TenantEntry},
    ids::{EndpointId, KeyId, PersonId},
    key::{self, Limits},
    serving::ServingSettings,
    time::Timestamp,
};
use gateway::{Gateway, GatewayConfig, SpoolConfig, UsageSink};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

const KEYS: u32 = 10_000;
const ROUTES: u32 = 100;

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:4101".into());
    let upstream = arguments.next().unwrap_or("http://127.0.0.1:4100".into());
    // High enough never to refuse, so that counting is paid and every call goes through.
    let limits = Limits { requests_per_minute: Some(u32::MAX), tokens_per_minute: Some(u32::MAX), concurrent_calls: None };
    let most = CallRules::MOST;
    let calls = CallRules {
        limits,
        concurrent_calls: most,
        concurrent_calls_per_member: most,
        concurrent_calls_per_key: most,
        ..CallRules::default()
    };
    let tenant: domain::name::Name = "bench".parse()?;
    let mut directory = Directory::default();
    for number in 0..KEYS {
        let mut random = [0; 32];
        random[..4].copy_from_slice(&number.to_le_bytes());
        let made = key::text::make(random);
        if number == KEYS / 2 {
            println!("{}", made.text);
        }
        let uuid = Uuid::from_u128(u128::from(number));
        let entry = KeyEntry {
            id: KeyId::from_uuid(uuid),
            tenant: tenant.clone(),
            owner: PersonId::from_uuid(uuid),
            models: None,
            limits,
            expires_at: None,
            revoked: false,
            confirmed_until: Some(now().plus(domain::confirmation::KEYS_LAST)),
        };
        directory.keys.insert(made.digest, entry);
    }
    let mut routes = std::collections::HashMap::new();
    for number in 0..ROUTES {
        let route = Route {
            endpoint: EndpointId::from_uuid(Uuid::from_u128(u128::from(number))),
            endpoint_name: "front".parse()?,
            upstreams: vec![upstream.clone()],
            upstream_model: "tuned".into(),
            upstream_key: None,
            model_server: Default::default(),
            model_version: None,
            parent: None,
            created: now(),
            context: 4_096,
            settings: ServingSettings::default(),
            reason: None,
        };
        routes.insert(format!("model-{number}"), route);
    }
    directory.tenants.insert(tenant, TenantEntry { active: true, routes, calls, ..TenantEntry::default() });

    let (_keep, directory) = tokio::sync::watch::channel(Arc::new(directory));
    let spool = std::env::temp_dir().join(format!("bench-gateway-{}", std::process::id()));
    let (sink, mut usage) = UsageSink::open(SpoolConfig::new(spool))?;
    tokio::spawn(usage.sync());
    tokio::spawn(async move {
        let (mut calls, mut tokens, mut said) = (0_u64, 0_u64, std::time::Instant::now());
        loop {
            let batch = usage.next_batch(1_000, Duration::from_millis(100)).await;
            usage.confirm();
            calls += batch.len() as u64;
            tokens += batch.iter().map(|c| u64::from(c.prompt_tokens) + u64::from(c.completion_tokens)).sum::<u64>();
            if said.elapsed() > Duration::from_secs(1) {
                said = std::time::Instant::now();
                println!("metered {calls} calls, {tokens} tokens");
            }
        }
    });
    let gateway = Gateway::new(GatewayConfig::default(), directory, sink, now);
    let listener = tokio::net::TcpListener::bind(address).await?.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, gateway.router()).await?;
    Ok(())
}
