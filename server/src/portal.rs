//! Puts the parts together and keeps them running: database, engine, controllers, gateway, web, and the way they stop.

use crate::{
    config::{Config, IdentityProvider, Places, Refused, ServeArgs},
    devprovider::{self, DevProvider},
    http, usage_relay,
    web::Web,
};
use anyhow::Context;
use axum::Router;
use domain::{environment, tenant::Quota, time::Timestamp};
use engine::{Engine, local::LocalEngine};
use gateway::{Gateway, GatewayConfig, SpoolConfig, UsageSink};
use platform::{Platform, access::PlatformScope, tenants::NewTenant};
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long answers under way may still take after the portal was told to stop.
const DRAIN: Duration = Duration::from_secs(20);
/// How long the last calls may take on their way into the database.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// The one clock of the program.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A portal that runs.
pub struct Portal {
    pub address: SocketAddr,
    pub platform: Platform,
    /// Method and path of everything that the web role answers; what the rights table is compared with.
    pub doors: Vec<(String, String)>,
    /// Cancel to stop it.
    pub stop: CancellationToken,
    done: JoinHandle<anyhow::Result<()>>,
}

impl Portal {
    /// Until it has stopped.
    pub async fn stopped(self) -> anyhow::Result<()> {
        self.done.await.context("the portal broke off")?
    }
}

/// The engine of this machine: tasks as processes, `program` = the `atelier` program that they run.
pub fn engine(places: &Places, program: PathBuf) -> Result<Engine, Refused> {
    Ok(Engine::Local(LocalEngine::new(places.data_folder()?.join("engine"), program)))
}

/// Starts everything that the roles ask for; returns when the listener answers. Needs a Tokio runtime.
pub async fn start(args: ServeArgs, places: Places, program: PathBuf) -> anyhow::Result<Portal> {
    let began = Instant::now();
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!("The address {} cannot be listened on. Another program may have it: choose another one with --listen", args.listen)
    })?;
    let address = listener.local_addr()?;
    let config = args.settle(places, address)?;
    let engine = engine(&config.places, program)?;
    let platform = Platform::open(config.platform(engine)?, now).await.context("The portal's data cannot be opened")?;
    let development = match config.provider {
        IdentityProvider::Development => {
            make_development_tenants(&platform).await?;
            Some(DevProvider::open(&config.public_url, &config.client_id, &config.places.data_folder()?)?)
        }
        IdentityProvider::Issuer(_) => None,
    };

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let told = || stop.clone().cancelled_owned();
    {
        let (platform, told) = (platform.clone(), told());
        tasks.spawn(async move { platform.watch_events(told).await });
    }
    if config.roles.controller {
        let (platform, told) = (platform.clone(), told());
        let holder = format!("{}:{}", hostname(), std::process::id());
        tasks.spawn(async move { platform.control(holder, told).await });
    }
    let mut router = http::health::routes(platform.clone(), stop.clone());
    let mut doors = Vec::new();
    let calls_end = CancellationToken::new();
    let mut relay = None;
    if config.roles.gateway {
        // The gateway sees changes until the last answer is out.
        let directory = platform.directory_changes(calls_end.clone().cancelled_owned()).await.map_err(|p| anyhow::anyhow!("{p}"))?;
        let spool = config.places.data_folder()?.join("usage-spool");
        let opened = UsageSink::open(SpoolConfig { max_bytes: config.usage_spool_bytes, ..SpoolConfig::new(spool.clone()) });
        let (sink, receiver) =
            opened.with_context(|| format!("The folder {} for calls that are not in the database yet cannot be used", spool.display()))?;
        router = router.merge(Gateway::new(GatewayConfig::default(), directory, sink, now).router());
        relay = Some(tokio::spawn(usage_relay::relay(platform.clone(), receiver, calls_end.clone(), LAST_CALLS)));
    }
    if config.roles.web {
        let web = Web::new(config.clone(), platform.clone(), stop.clone())?;
        let (web_router, hung) = http::web_routes(&web, development);
        router = router.merge(web_router);
        doors = hung;
    }
    log_the_start(&config, began);

    let done = tokio::spawn({
        let stop = stop.clone();
        async move {
            let served = serve(listener, http::seen(router), stop.clone()).await;
            stop.cancel();
            tasks.close();
            if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
                tracing::warn!("some work did not end in time; the next start goes on with it");
            }
            calls_end.cancel();
            if let Some(relay) = relay {
                relay.await.context("recording calls broke off")?;
            }
            tracing::info!("stopped");
            served
        }
    });
    Ok(Portal { address, platform, doors, stop, done })
}

/// Answers until told to stop, then lets what is under way come to its end, within reason.
async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = served.into_future() => served.context("the listener failed"),
        () = too_long => {
            tracing::warn!("some answers took longer than {} s and were cut off", DRAIN.as_secs());
            Ok(())
        }
    }
}

/// The tenants of the development people, at the first start only: what was removed later stays removed.
async fn make_development_tenants(platform: &Platform) -> anyhow::Result<()> {
    let scope = PlatformScope::command_line();
    let tenants = platform.tenants(&scope);
    let in_words = |p: domain::problem::Problem| anyhow::anyhow!("{p}");
    if !tenants.list().await.map_err(in_words)?.is_empty() {
        return Ok(());
    }
    for (name, title) in devprovider::people::TENANTS {
        tenants.create(NewTenant { name: name.into(), title: title.into(), quota: Quota::default() }).await.map_err(in_words)?;
    }
    Ok(())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|h| h.trim().to_owned()).unwrap_or_else(|_| "portal".into())
}

fn log_the_start(config: &Config, began: Instant) {
    let roles: Vec<_> = [("web", config.roles.web), ("gateway", config.roles.gateway), ("controller", config.roles.controller)]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect();
    if config.roles.web && !config.site.join("pkg/files.json").exists() {
        tracing::warn!(site = %config.site.display(), "the browser files are not built: pages work without scripts and styles. Build them with `cargo run -p xtask -- web`");
    }
    if matches!(config.provider, IdentityProvider::Development) && config.roles.web {
        tracing::info!("development sign-in: everybody's password is “{}”", devprovider::people::PASSWORD);
    }
    if config.roles.controller {
        for environment in [&environment::TRAINER, &environment::MODEL_SERVER] {
            match config.places.python(environment) {
                Some(python) => tracing::info!("{}: {python}", environment.what),
                None => tracing::warn!(
                    "no {}: runs or endpoints will fail until it is there; `atelier doctor` says how to get it",
                    environment.what
                ),
            }
        }
    }
    tracing::info!(
        address = config.public_url,
        listen = %config.listen,
        roles = roles.join(","),
        data = %config.places.data.display(),
        start_ms = began.elapsed().as_millis() as u64,
        "Atelier answers"
    );
}
