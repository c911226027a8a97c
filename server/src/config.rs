//! What the portal is told: flags, or environment variables of the same name with `ATELIER_` before them.
//! [`ServeArgs::settle`] turns them into a [`Config`] that holds no contradiction, or says in one sentence what is wrong.

mod engine;
mod hosts;
mod locations;
mod store;

pub use engine::{EngineArgs, EngineName, engine};
pub use hosts::Hosts;
pub use locations::{Locations, Python};
pub use store::{StoreArgs, StoreSettings};

use crate::{http::health::AgeLimits, listener::ListenerArgs};
use clap::{Args, ValueEnum};
use openidconnect::url::Url;
use outside::Allowed;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Pages, sign-in, uploads, events.
    Web,
    /// `/v1`: the way to the model servers.
    Gateway,
    /// Starts and watches runs and endpoints.
    Controller,
}

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address to listen on.
    #[arg(long, env = "ATELIER_LISTEN", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// Address on which `/metrics` answers Prometheus; without one there are no metrics. Whoever reaches it reads them without signing in,
    /// so let only the monitoring reach it.
    #[arg(long, env = "ATELIER_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// How browsers reach the portal: `https://atelier.example.org`; default: http with the listening address.
    #[arg(long, env = "ATELIER_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// What this process does; default: everything.
    #[arg(long = "role", env = "ATELIER_ROLE", value_enum, value_delimiter = ',')]
    pub roles: Vec<RoleName>,
    /// Where the playground reaches the gateway, when that runs elsewhere; default: this process.
    #[arg(long, env = "ATELIER_GATEWAY_URL")]
    pub gateway_url: Option<String>,
    /// OpenID Connect issuer; without one the development provider signs people in.
    #[arg(long, env = "ATELIER_ISSUER")]
    pub issuer: Option<String>,
    /// PEM file with the certificate authorities of your house that sign the issuer's certificate; the system's are believed anyway.
    #[arg(long, env = "ATELIER_ISSUER_CA")]
    pub issuer_ca: Option<PathBuf>,
    /// Our name at the issuer.
    #[arg(long, env = "ATELIER_CLIENT_ID", default_value = "atelier")]
    pub client_id: String,
    /// Our secret at the issuer; leave out for a public client with PKCE only.
    #[arg(long, env = "ATELIER_CLIENT_SECRET", hide_env_values = true)]
    pub client_secret: Option<String>,
    /// Claim of the ID token with the list of groups; dots lead into objects: `realm_access.roles`.
    #[arg(long, env = "ATELIER_GROUPS_CLAIM", default_value = "groups")]
    pub groups_claim: String,
    /// Group of the platform's admins.
    #[arg(long, env = "ATELIER_ADMIN_GROUP", default_value = "atelier-admins")]
    pub admin_group: String,
    /// Group of the platform's auditors.
    #[arg(long, env = "ATELIER_AUDITOR_GROUP", default_value = "atelier-auditors")]
    pub auditor_group: String,
    /// How a group names a tenant and a role (viewer, engineer, owner). A leading slash in what the provider sends is ignored.
    #[arg(long, env = "ATELIER_TENANT_GROUP", default_value = "atelier/{tenant}/{role}")]
    pub tenant_group: String,
    /// Hours until a session ends, whatever happens in it.
    #[arg(long, env = "ATELIER_SESSION_HOURS", default_value_t = platform::SESSION_HOURS, value_parser = clap::value_parser!(i64).range(1..=168))]
    pub session_hours: i64,
    /// Minutes without use until a session ends.
    #[arg(long, env = "ATELIER_SESSION_IDLE_MINUTES", default_value_t = platform::SESSION_IDLE_MINUTES, value_parser = clap::value_parser!(i64).range(1..=10_080))]
    pub session_idle_minutes: i64,
    /// Seconds until the issuer is asked again whether somebody may still come in, where it gives a refresh token. Whoever was disabled
    /// there is out after five thirds of this time at the latest.
    #[arg(long, env = "ATELIER_CONFIRM_SECONDS", default_value_t = platform::CONFIRM_SECONDS, value_parser = clap::value_parser!(i64).range(1..=3600))]
    pub confirm_seconds: i64,
    /// Seconds until Keycloak is asked again, by its admin API, whether somebody who has a session or keys is still enabled and in the same
    /// groups: then keys stop too when somebody leaves. The client's service account needs the role view-users. Default: nobody asks.
    #[arg(long, env = "ATELIER_PEOPLE_CHECK_SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub people_check_seconds: Option<u64>,
    /// For whom access tokens of the issuer must be (`aud`) that are sent to /v1; default: the client id.
    #[arg(long, env = "ATELIER_API_AUDIENCE")]
    pub api_audience: Option<String>,
    /// A client of the issuer (`azp`) whose access tokens are taken at /v1. May be given several times; default: the portal's own client only.
    #[arg(long = "api-client", env = "ATELIER_API_CLIENTS", value_delimiter = ',')]
    pub api_clients: Vec<String>,
    /// Largest dataset file, bytes.
    #[arg(long, env = "ATELIER_UPLOAD_BYTES", default_value_t = platform::UPLOAD_BYTES)]
    pub upload_bytes: u64,
    /// Bytes of memory that one training, evaluation or model server may hold, where this machine can hold it to that (`atelier doctor` says
    /// whether it can); default: all there is.
    #[arg(long, env = "ATELIER_TASK_MEMORY", value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub task_memory: Option<u64>,
    /// GPUs of each run and endpoint that does not say in its form how many; default: whatever the machine has, and on a cluster none.
    #[arg(long, env = "ATELIER_TASK_GPUS", default_value_t = 0)]
    pub task_gpus: u32,
    /// Hours that one training or evaluation may take; default: as long as it likes.
    #[arg(long, env = "ATELIER_RUN_HOURS", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub run_hours: Option<u32>,
    /// How the names of images begin that may train in place of LLaMA-Factory on a cluster (`registry.example.org/team`), separated by commas.
    /// What runs in them has the tenant's key of the artefact store, so allow only what you would run for a tenant yourself. Default: none.
    #[arg(long, env = "ATELIER_CUSTOM_IMAGES", value_delimiter = ',')]
    pub custom_images: Vec<String>,
    /// Addresses of this machine and its neighbours (loopback, link-local, metadata) that somebody else's model server may have all the
    /// same, and places that may be called by plain http: networks, addresses or names, separated by commas.
    #[arg(long, env = "ATELIER_OUTSIDE_ALLOWED", value_delimiter = ',')]
    pub outside_allowed: Vec<String>,
    /// A host outside of the cluster, with its port (`example.org:443`), that pods of tenants must not reach: a check of a tenant's isolation
    /// tries it. Default: it tries none.
    #[arg(long, env = "ATELIER_OUTSIDE_HOST")]
    pub outside_host: Option<String>,
    /// Bytes of calls that wait on the gateway's disk for the database, at most; beyond it calls are refused. 1 GiB holds about two
    /// million calls.
    #[arg(long, env = "ATELIER_USAGE_SPOOL_BYTES", default_value_t = 1 << 30, value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub usage_spool_bytes: u64,
    /// Refuse whatever is fit for development only.
    #[arg(long, env = "ATELIER_PRODUCTION", default_value_t = false, value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub production: bool,
    /// Folder of the built browser files; default: `site` beside the program's folder, then ./target/site.
    #[arg(long, env = "ATELIER_SITE")]
    pub site: Option<PathBuf>,
    /// Seconds after which a directory (routes, keys, limits) that cannot be read anew makes `/readyz` answer 503. Default: 60; for a
    /// process that is a gateway only 600, because it goes on answering while the database is away.
    #[arg(long, env = "ATELIER_DIRECTORY_AGE_LIMIT", value_parser = crate::listener::seconds)]
    pub directory_age_limit: Option<Duration>,
    /// Seconds after which a lease of the controllers that cannot be asked for makes `/readyz` answer 503.
    #[arg(long, env = "ATELIER_LEASE_AGE_LIMIT", default_value = "30", value_parser = crate::listener::seconds)]
    pub lease_age_limit: Duration,
    /// Sign-ins that one address may begin in a minute.
    #[arg(long, env = "ATELIER_SIGN_INS_PER_MINUTE", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    pub sign_ins_per_minute: u32,
    /// Refused sign-ins in a minute after which an address has to wait.
    #[arg(long, env = "ATELIER_REFUSED_SIGN_INS_PER_MINUTE", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub refused_sign_ins_per_minute: u32,
    /// Refused API keys in a minute after which further ones from the address are answered 429.
    #[arg(long, env = "ATELIER_REFUSED_KEYS_PER_MINUTE", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub refused_keys_per_minute: u32,
    #[command(flatten)]
    pub listener: ListenerArgs,
}

/// How long a gateway without its database is sent calls: as long as a failover or a restore of a database may take. A longer time would
/// be a gateway that is cut off from a database which others reach, and that does not hear of keys they revoke.
const GATEWAY_WITHOUT_DATABASE: Duration = Duration::from_secs(600);

/// Why the portal does not start: one sentence for whoever started it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Which parts of the portal this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub web: bool,
    pub gateway: bool,
    pub controller: bool,
}

/// Who signs people in.
#[derive(Clone, Debug)]
pub enum IdentityProvider {
    /// The one inside this program: loopback only.
    Development,
    Issuer(String),
}

#[derive(Clone, Debug)]
pub struct Groups {
    pub claim: String,
    pub admin: String,
    pub auditor: String,
    /// With `{tenant}` and `{role}`.
    pub tenant: String,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub locations: Locations,
    pub listen: SocketAddr,
    /// Scheme, host and port only: `http://127.0.0.1:3000`, no slash at the end.
    pub public_url: String,
    pub roles: Roles,
    /// No slash at the end.
    pub gateway_url: String,
    pub provider: IdentityProvider,
    pub issuer_ca: Option<PathBuf>,
    pub client_id: String,
    pub client_secret: Option<String>,
    pub groups: Groups,
    pub session_hours: i64,
    pub session_idle_minutes: i64,
    pub confirm_seconds: i64,
    pub people_check_seconds: Option<u64>,
    pub api_audience: String,
    pub api_clients: Vec<String>,
    pub upload_bytes: u64,
    pub task_limits: platform::TaskLimits,
    pub outside_allowed: Allowed,
    pub outside_host: Option<String>,
    pub usage_spool_bytes: u64,
    pub production: bool,
    pub site: PathBuf,
    /// By which names pages may be asked for.
    pub hosts: Hosts,
}

impl ServeArgs {
    /// No role named = every role.
    pub fn has(&self, role: RoleName) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }

    /// When this process is not ready.
    pub fn age_limits(&self) -> AgeLimits {
        let gateway_only = self.roles == [RoleName::Gateway];
        let usual = if gateway_only { GATEWAY_WITHOUT_DATABASE } else { Duration::from_secs(60) };
        AgeLimits { directory: self.directory_age_limit.unwrap_or(usual), lease: self.lease_age_limit, database: !gateway_only }
    }

    /// `listening` is the address that was really taken (the port may have been 0).
    pub fn settle(self, locations: Locations, listening: SocketAddr) -> Result<Config, Refused> {
        let roles =
            Roles { web: self.has(RoleName::Web), gateway: self.has(RoleName::Gateway), controller: self.has(RoleName::Controller) };
        let public_url = match &self.public_url {
            Some(url) => origin(url, "The public URL")?,
            None if self.listener.tls_cert.is_some() => format!("https://{listening}"),
            None => format!("http://{listening}"),
        };
        let https = public_url.starts_with("https://");
        let public_is_loopback = Url::parse(&public_url).ok().is_some_and(|u| is_loopback(&u));
        let provider = match self.issuer {
            Some(issuer) => IdentityProvider::Issuer(issuer),
            None => IdentityProvider::Development,
        };
        match &provider {
            IdentityProvider::Development if self.production => {
                return Err(Refused("In production people sign in at an OpenID Connect provider: set ATELIER_ISSUER (and ATELIER_CLIENT_ID, ATELIER_CLIENT_SECRET). The development provider lets anybody in.".into()));
            }
            IdentityProvider::Development if !listening.ip().is_loopback() || !public_is_loopback => {
                return Err(Refused(format!(
                    "The development sign-in lets anybody in, so it works on this machine only, not on {listening} as {public_url}: listen on 127.0.0.1, or set ATELIER_ISSUER."
                )));
            }
            IdentityProvider::Development if self.listener.tls_cert.is_some() => {
                return Err(Refused(
                    "The development sign-in speaks plain http only: leave ATELIER_TLS_CERT out, or set ATELIER_ISSUER.".into(),
                ));
            }
            IdentityProvider::Issuer(issuer) => {
                let url = Url::parse(issuer).map_err(|e| Refused(format!("ATELIER_ISSUER “{issuer}” is no URL: {e}.")))?;
                if url.scheme() != "https" && (self.production || !is_loopback(&url)) {
                    return Err(Refused(format!(
                        "The issuer {issuer} must be reached by https; plain http would show the tokens to everybody on the way."
                    )));
                }
            }
            IdentityProvider::Development => {}
        }
        if self.people_check_seconds.is_some() {
            let of_keycloak = matches!(&provider, IdentityProvider::Issuer(issuer) if issuer.contains("/realms/"));
            if !of_keycloak || self.client_secret.as_ref().is_none_or(String::is_empty) {
                return Err(Refused(
                    "ATELIER_PEOPLE_CHECK_SECONDS asks Keycloak's admin API: it needs an ATELIER_ISSUER that ends in /realms/NAME, and ATELIER_CLIENT_SECRET.".into(),
                ));
            }
        }
        if self.production && !https {
            return Err(Refused(format!(
                "In production the public URL must begin with https://; it is {public_url}. Set ATELIER_PUBLIC_URL."
            )));
        }
        if !https && !public_is_loopback {
            return Err(Refused(format!(
                "{public_url} would send session cookies in the clear. Use an https URL, or a loopback address for development."
            )));
        }
        if self.production && locations.database_url.is_none() {
            tracing::warn!("production on the embedded SQLite database: one replica only. Set ATELIER_DATABASE_URL for PostgreSQL");
        }
        if !self.tenant_group.contains("{tenant}") || !self.tenant_group.contains("{role}") {
            return Err(Refused(format!("ATELIER_TENANT_GROUP “{}” must contain {{tenant}} and {{role}}.", self.tenant_group)));
        }
        let gateway_url = match self.gateway_url {
            Some(url) => origin(&url, "The gateway URL")?,
            None if roles.web && !roles.gateway => {
                return Err(Refused(
                    "A web role without the gateway role must be told where the gateway is: set ATELIER_GATEWAY_URL.".into(),
                ));
            }
            // Never by the public name: that may lead through a proxy, or be unreachable from here.
            None if listening.ip().is_unspecified() => format!("http://127.0.0.1:{}", listening.port()),
            None => format!("http://{listening}"),
        };
        let outside_allowed =
            Allowed::of(self.outside_allowed.iter().map(String::as_str)).map_err(|e| Refused(format!("ATELIER_OUTSIDE_ALLOWED: {e}.")))?;
        let outside_host = self.outside_host.filter(|host| !host.is_empty());
        if let Some(host) = outside_host.as_ref().filter(|host| !names_a_port(host)) {
            return Err(Refused(format!("ATELIER_OUTSIDE_HOST “{host}” must be a host and a port: example.org:443.")));
        }
        let hosts = Hosts::new(&public_url, &self.listener.allowed_hosts).map_err(Refused)?;
        Ok(Config {
            listen: listening,
            hosts,
            public_url,
            roles,
            gateway_url,
            provider,
            issuer_ca: self.issuer_ca,
            people_check_seconds: self.people_check_seconds,
            api_audience: self.api_audience.unwrap_or_else(|| self.client_id.clone()),
            api_clients: if self.api_clients.is_empty() { vec![self.client_id.clone()] } else { self.api_clients },
            client_id: self.client_id,
            client_secret: self.client_secret.filter(|s| !s.is_empty()),
            groups: Groups { claim: self.groups_claim, admin: self.admin_group, auditor: self.auditor_group, tenant: self.tenant_group },
            session_hours: self.session_hours,
            session_idle_minutes: self.session_idle_minutes,
            confirm_seconds: self.confirm_seconds,
            upload_bytes: self.upload_bytes,
            outside_allowed,
            outside_host,
            task_limits: platform::TaskLimits {
                memory: self.task_memory,
                gpus: self.task_gpus,
                run: self.run_hours.map(|h| Duration::from_secs(u64::from(h) * 3600)),
                custom_images: self.custom_images.iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect(),
            },
            usage_spool_bytes: self.usage_spool_bytes,
            production: self.production,
            site: self.site.unwrap_or_else(site_beside_the_program),
            locations,
        })
    }
}

impl Config {
    /// Whether cookies can carry `Secure` and the `__Host-` prefix.
    pub fn https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    pub fn platform(&self, engine: ::engine::Engine) -> Result<platform::Config, Refused> {
        let StoreSettings { location, key, garage } = self.locations.store()?;
        Ok(platform::Config {
            database_url: self.locations.database_url()?,
            store: location,
            store_key: key,
            garage,
            engine,
            task_limits: self.task_limits.clone(),
            outside_allowed: self.outside_allowed.clone(),
            session_hours: self.session_hours,
            session_idle_minutes: self.session_idle_minutes,
            confirm_seconds: self.confirm_seconds,
            token_key: self.locations.token_key()?,
            upload_bytes: self.upload_bytes,
            tenant_group: self.groups.tenant.clone(),
            outside_host: self.outside_host.clone(),
        })
    }
}

/// `example.org:443`
fn names_a_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Scheme, host and port of a URL, nothing else; a path, a user or a query in it is a mistake.
fn origin(text: &str, what: &str) -> Result<String, Refused> {
    let url = Url::parse(text).map_err(|e| Refused(format!("{what} “{text}” is no URL: {e}.")))?;
    let plain = matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none() && url.username().is_empty();
    if !plain {
        return Err(Refused(format!("{what} “{text}” must be http or https with a host and nothing behind it.")));
    }
    Ok(url.origin().ascii_serialization())
}

/// Whether the URL leads to this machine only.
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// `target/debug/atelier` finds `target/site`; an installed `/opt/atelier/bin/atelier` finds `/opt/atelier/site`.
pub fn site_beside_the_program() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("site")));
    beside.filter(|site| site.is_dir()).unwrap_or_else(|| "target/site".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        locations: Locations,
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn settle(flags: &[&str]) -> Result<Config, Refused> {
        let line = Line::try_parse_from([&["atelier"], flags].concat()).unwrap();
        let listen = line.serve.listen;
        line.serve.settle(line.locations, listen)
    }

    #[test]
    fn a_development_machine_needs_no_settings() {
        let config = settle(&[]).unwrap();
        assert_eq!((config.public_url.as_str(), config.gateway_url.as_str()), ("http://127.0.0.1:3000", "http://127.0.0.1:3000"));
        assert!(matches!(config.provider, IdentityProvider::Development));
        assert_eq!(config.roles, Roles { web: true, gateway: true, controller: true });
    }

    #[test]
    fn what_is_unsafe_is_refused_with_the_setting_that_repairs_it() {
        for (flags, names) in [
            (&["--production"][..], "ATELIER_ISSUER"),
            (&["--listen", "0.0.0.0:3000"], "ATELIER_ISSUER"),
            (&["--public-url", "http://portal.example"], "127.0.0.1"),
            (&["--issuer", "http://sso.example/realms/a"], "https"),
            (&["--issuer", "https://sso.example", "--production"], "ATELIER_PUBLIC_URL"),
            (&["--issuer", "https://sso.example", "--public-url", "http://portal.example"], "cookies"),
            (&["--issuer", "https://sso.example", "--public-url", "https://portal.example/atelier"], "nothing behind"),
            (&["--tls-cert", "c.pem", "--tls-key", "k.pem"], "ATELIER_TLS_CERT"),
            (&["--tenant-group", "teams/{tenant}"], "{role}"),
            (&["--outside-allowed", "127.0.0.1,https://llm.example.org"], "ATELIER_OUTSIDE_ALLOWED"),
            (&["--role", "web"], "ATELIER_GATEWAY_URL"),
            (&["--people-check-seconds", "20"], "ATELIER_ISSUER"),
            (&["--people-check-seconds", "20", "--issuer", "https://sso.example/realms/a"], "ATELIER_CLIENT_SECRET"),
        ] {
            let refused = settle(flags).unwrap_err();
            assert!(refused.0.contains(names), "{flags:?}: {refused}");
        }
    }

    #[test]
    fn production_with_everything_named_starts() {
        let config = settle(&[
            "--production",
            "--issuer",
            "https://sso.example/realms/a",
            "--public-url",
            "https://portal.example",
            "--listen",
            "0.0.0.0:80",
        ])
        .unwrap();
        assert!(config.https());
        assert_eq!(config.gateway_url, "http://127.0.0.1:80");
    }

    #[test]
    fn roles_can_be_listed_with_commas_and_flags() {
        let config = settle(&["--role", "web,gateway"]).unwrap();
        assert_eq!(config.roles, Roles { web: true, gateway: true, controller: false });
    }
}
