//! Puts the parts together and keeps them running: database, engine, controllers, gateway, web, and the way they stop.

use crate::{
    clock,
    config::{Config, EngineName, IdentityProvider, Locations, RoleName, ServeArgs, engine},
    devprovider::{self, DevProvider},
    http,
    layers::{
        attempts::{self, Most},
        proxies::Proxies,
        request::Watch,
    },
    limit_shares,
    listener::{Limits, Listener, Slots, Tls, files},
    metrics,
    signin::{
        SignIn,
        bearer::{self, Bearer},
        leavers,
        token_people::TokenPeople,
    },
    supervised::LongTasks,
    usage_relay,
    web::Web,
};
use anyhow::Context;
use axum::middleware::from_fn_with_state;
use domain::{environment, tenant::Quota, time::Timestamp};
use gateway::{Gateway, GatewayConfig, SpoolConfig, UsageSink};
use platform::{Platform, access::PlatformScope, tenants::NewTenant};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long work other than answers may take to its end after the portal was told to stop.
const LAST_WORK: Duration = Duration::from_secs(20);
/// How long the last calls may take on their way into the database.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// A portal that runs.
pub struct Portal {
    pub address: SocketAddr,
    /// Where the playground reaches the gateway.
    pub gateway_url: String,
    /// Where `/metrics` answers, if it does.
    pub metrics: Option<SocketAddr>,
    /// Who is connected now.
    pub connections: Arc<Slots>,
    pub platform: Platform,
    /// Method and path of everything that the web role answers; what the rights table is compared with.
    pub routes: Vec<(String, String)>,
    /// Cancel to stop it.
    pub stop: CancellationToken,
    /// What runs as long as the portal; one more may be added.
    pub tasks: LongTasks,
    done: JoinHandle<anyhow::Result<()>>,
}

impl Portal {
    /// Until it has stopped.
    pub async fn stopped(self) -> anyhow::Result<()> {
        self.done.await.context("the portal broke off")?
    }
}

/// Starts everything that the roles ask for; returns when the listener answers. Needs a Tokio runtime.
pub async fn start(args: ServeArgs, locations: Locations, program: PathBuf) -> anyhow::Result<Portal> {
    start_by(clock::now, args, locations, program).await
}

/// The same by another clock: for how long sessions, keys and limits last is told by it alone. What waits for others (time limits of
/// connections, how old an answer of the provider is) goes by the machine's.
pub async fn start_by(now: fn() -> Timestamp, mut args: ServeArgs, locations: Locations, program: PathBuf) -> anyhow::Result<Portal> {
    let began = Instant::now();
    let limits = args.listener.limits(files::raise_limit());
    let proxies = Proxies::new(args.listener.trusted_proxies.clone());
    let tls = match (&args.listener.tls_cert, &args.listener.tls_key) {
        (Some(cert), Some(key)) => Some(Tls::open(cert, key)?),
        _ => None,
    };
    // The playground reaches the gateway of its own process without a certificate that would have to name the loopback address.
    let inside = match tls.is_some() && args.gateway_url.is_none() && args.has(RoleName::Gateway) && args.has(RoleName::Web) {
        true => {
            let limits = Limits { shutdown_delay: Duration::ZERO, ..limits.clone() };
            Some(Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), "--gateway-url", limits, None, Proxies::default()).await?)
        }
        false => None,
    };
    if let Some(inside) = &inside {
        args.gateway_url = Some(format!("http://{}", inside.address()?));
    }
    let metrics_listener = match args.metrics_listen {
        // A few scrapers at a time are many.
        Some(address) => {
            let limits = Limits { connections: 16, connections_per_address: 8, ..limits.clone() };
            Some(Listener::bind(address, "--metrics-listen", limits, None, Proxies::default()).await?)
        }
        None => None,
    };
    let metrics_address = metrics_listener.as_ref().map(Listener::address).transpose()?;
    let requests = metrics::Requests::default();
    let watch = Watch { proxies: proxies.clone(), requests: metrics_listener.is_some().then(|| requests.clone()) };
    let listener = Listener::bind(args.listen, "--listen", limits, tls, proxies).await?;
    let (address, connections) = (listener.address()?, listener.slots());
    let age_limits = args.age_limits();
    let most = Most {
        sign_ins: args.sign_ins_per_minute,
        refused_sign_ins: args.refused_sign_ins_per_minute,
        refused_keys: args.refused_keys_per_minute,
    };
    let config = args.settle(locations, address)?;
    let engine = engine(&config.locations, program, config.roles.controller || config.roles.web).await?;
    if let (Some(bytes), Err(why)) = (config.task_limits.memory, engine.holds().memory) {
        tracing::warn!(bytes, why, "the memory limit of tasks is not held on this machine");
    }
    let platform = Platform::open(config.platform(engine)?, now).await.context("The portal's data cannot be opened")?;
    if config.roles.web {
        platform.agree_on_token_key().await?;
    }
    let development = match config.provider {
        IdentityProvider::Development => {
            make_development_tenants(&platform).await?;
            Some(DevProvider::open(&config.public_url, &config.client_id, &config.locations.data_folder()?)?)
        }
        IdentityProvider::Issuer(_) => None,
    };

    let of_an_issuer = matches!(config.provider, IdentityProvider::Issuer(_));
    let sign_in = Arc::new(SignIn::new(&config)?);
    let tokens = TokenPeople::new(sign_in.clone(), sign_in.access_rules(&config), platform.clone());
    let stop = CancellationToken::new();
    let tasks = LongTasks::new(stop.clone());
    let told = || stop.clone().cancelled_owned();
    {
        let (platform, told) = (platform.clone(), told());
        tasks.spawn("events", async move { platform.watch_events(told).await });
    }
    if config.roles.controller {
        let (platform, told) = (platform.clone(), told());
        let holder = format!("{}:{}", hostname(), std::process::id());
        tasks.spawn("controllers", async move { platform.control(holder, told).await });
    }
    let mut router = http::health::routes(platform.clone(), age_limits, stop.clone());
    let mut routes = Vec::new();
    let tried = attempts::AttemptLimits::new(platform.clone(), most);
    // The gateway sees changes, and its calls are written, until the last answer is out.
    let calls_end = CancellationToken::new();
    // The web asks by it until its own last answer is out.
    let inner_stop = CancellationToken::new();
    let last_tasks = tasks.others();
    let mut measured = None;
    if config.roles.gateway {
        let changes = platform.directory_changes(calls_end.clone().cancelled_owned()).await;
        let (directory, keeping) = changes.map_err(|p| anyhow::anyhow!("{p}"))?;
        last_tasks.spawn("directory", keeping);
        let spool = config.locations.data_folder()?.join("usage-spool");
        let opened = UsageSink::open(SpoolConfig { max_bytes: config.usage_spool_bytes, ..SpoolConfig::new(spool.clone()) });
        let (sink, receiver) =
            opened.with_context(|| format!("The folder {} for calls that are not in the database yet cannot be used", spool.display()))?;
        let bearer = Bearer::new(tokens.clone(), platform.clone(), directory.clone());
        let gateway = Gateway::new(
            GatewayConfig {
                outside_allowed: config.outside_allowed.clone(),
                // On SQLite there is one process.
                limits_are_shared: config.locations.database_url.is_some(),
                ..GatewayConfig::default()
            },
            directory,
            sink.clone(),
            now,
        );
        if let Some(shares) = gateway.limit_shares() {
            let name = format!("{}:{}:{}", hostname(), std::process::id(), uuid::Uuid::now_v7());
            last_tasks.spawn("limit shares", limit_shares::keep(platform.clone(), shares, name, calls_end.clone()));
        }
        let written = metrics::UsageWritten::default();
        measured = Some((gateway.measures().clone(), written.clone(), sink));
        let gateway = gateway.router().layer(from_fn_with_state(bearer, bearer::exchange));
        let gateway = gateway.layer(from_fn_with_state(tried.clone(), attempts::keys));
        if let Some(inside) = inside {
            tasks.spawn(
                "inner listener",
                inside.serve(http::seen(gateway.clone(), Watch { proxies: Proxies::default(), ..watch.clone() }), inner_stop.clone()),
            );
        }
        router = router.merge(gateway);
        last_tasks.spawn("usage", usage_relay::relay(platform.clone(), receiver, written, calls_end.clone(), LAST_CALLS));
    }
    if config.roles.web {
        let web = Web::new(config.clone(), platform.clone(), sign_in.clone(), tokens, stop.clone())?;
        if let (Some(seconds), Some(keycloak)) = (config.people_check_seconds, sign_in.admin_api(&config)?) {
            let (web, told) = (web.clone(), told());
            tasks.spawn("people check", async move {
                tokio::select! { () = leavers::watch(web, Arc::new(keycloak), Duration::from_secs(seconds)) => {}, () = told => {} }
            });
        }
        if of_an_issuer {
            // Not one of the long tasks: it ends by itself, as soon as the provider was looked at.
            let (web, told) = (web.clone(), told());
            tokio::spawn(async move {
                tokio::select! { () = web.sign_in().warn_of_the_provider() => {}, () = told => {} }
            });
        }
        let (web_router, served) = http::web_routes(&web, development, tried);
        router = router.merge(web_router);
        routes = served;
    }
    if let Some(listener) = metrics_listener {
        let spool = measured.as_ref().map(|(_, _, sink)| sink.clone());
        let mut registry =
            metrics::registry(&requests, metrics::Now { platform: platform.clone(), connections: connections.clone(), spool });
        if let Some((measures, written, _)) = &measured {
            measures.register(&mut registry);
            written.register(&mut registry);
        }
        tasks.spawn("metrics listener", listener.serve(metrics::routes(registry), stop.clone()));
    }
    log_the_start(&config, metrics_address, began);

    let done = tokio::spawn({
        let (stop, tasks, refusals) = (stop.clone(), tasks.clone(), platform.clone());
        let listening = tasks.others();
        listening.spawn("listener", listener.serve(http::seen(router, watch), stop.clone()));
        async move {
            stop.cancelled().await;
            listening.ended().await;
            inner_stop.cancel();
            if tokio::time::timeout(LAST_WORK, tasks.ended()).await.is_err() {
                tracing::warn!("some work did not end in time; the next start goes on with it");
            }
            calls_end.cancel();
            last_tasks.ended().await;
            match tokio::time::timeout(LAST_CALLS, refusals.write_refusals()).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => tracing::error!(%problem, "the last refusals are not in the audit log"),
                Err(_) => tracing::error!("the last refusals are not in the audit log: the database did not answer"),
            }
            tracing::info!("stopped");
            tasks.verdict()
        }
    });
    Ok(Portal { address, gateway_url: config.gateway_url, metrics: metrics_address, connections, platform, routes, stop, tasks, done })
}

/// The tenants of the development people, at the first start only: what was removed later stays removed.
async fn make_development_tenants(platform: &Platform) -> anyhow::Result<()> {
    let scope = PlatformScope::command_line();
    let tenants = platform.tenants(&scope);
    let in_words = |p: domain::problem::Problem| anyhow::anyhow!("{p}");
    if tenants.count().await.map_err(in_words)? > 0 {
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

fn log_the_start(config: &Config, metrics: Option<SocketAddr>, began: Instant) {
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
    if config.roles.controller && config.locations.engine.engine == EngineName::Local {
        for environment in [&environment::TRAINER, &environment::MODEL_SERVER] {
            match config.locations.python(environment) {
                Some(python) => tracing::info!("{}: {python}", environment.what),
                None => tracing::warn!(
                    "no {}: runs or endpoints will fail until it is there; `atelier doctor` says how to get it",
                    environment.what
                ),
            }
        }
    }
    if let Some(address) = metrics {
        tracing::info!("metrics: http://{address}/metrics");
    }
    tracing::info!(
        address = config.public_url,
        listen = %config.listen,
        roles = roles.join(","),
        data = %config.locations.data.display(),
        start_ms = began.elapsed().as_millis() as u64,
        "Atelier answers"
    );
}
