//! What an operator may say about the listener, and the limits that come of it.

use clap::Args;
use ipnet::IpNet;
use std::{path::PathBuf, time::Duration};

#[derive(Args, Clone, Debug)]
pub struct ListenerArgs {
    /// Seconds from a connection, or from the first byte of a request, to the end of the request's head.
    #[arg(long, env = "ATELIER_HEAD_TIMEOUT", default_value = "15", value_parser = seconds)]
    pub head_timeout: Duration,
    /// Seconds that a request's body may be silent. A body that comes slowly but steadily may take as long as it wants.
    #[arg(long, env = "ATELIER_BODY_TIMEOUT", default_value = "60", value_parser = seconds)]
    pub body_timeout: Duration,
    /// Seconds that a connection is kept open between two requests. Longer than the proxy in front keeps its own.
    #[arg(long, env = "ATELIER_KEEP_ALIVE_TIMEOUT", default_value = "75", value_parser = seconds)]
    pub keep_alive_timeout: Duration,
    /// Seconds that a client may leave an answer unread.
    #[arg(long, env = "ATELIER_WRITE_TIMEOUT", default_value = "60", value_parser = seconds)]
    pub write_timeout: Duration,
    /// Seconds for which requests are still taken after the portal was told to stop: `/readyz` says so at once, and each answer that its
    /// connection closes. As long as a balancer in front needs to notice.
    #[arg(long, env = "ATELIER_SHUTDOWN_DELAY", default_value = "0", value_parser = seconds_or_none)]
    pub shutdown_delay: Duration,
    /// Seconds that answers under way may still take after that. What takes longer is cut off.
    #[arg(long, env = "ATELIER_DRAIN_TIMEOUT", default_value = "20", value_parser = seconds)]
    pub drain_timeout: Duration,
    /// Connections at a time, in all. Lowered at the start when the system allows too few open files for it.
    #[arg(long, env = "ATELIER_MAX_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Connections at a time from one address (IPv6: one /64 network). Trusted proxies have no such limit.
    #[arg(long, env = "ATELIER_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,
    /// Certificate chain in PEM: the portal then speaks https. Read anew when the file changes.
    #[arg(long, env = "ATELIER_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM.
    #[arg(long, env = "ATELIER_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Network of a proxy in front of the portal (10.0.0.0/8, or one address); may be given several times, or with commas. Only such a
    /// proxy is believed when it says who the caller is (X-Forwarded-For), how the caller came (X-Forwarded-Proto), and the request's id.
    #[arg(long = "trusted-proxy", env = "ATELIER_TRUSTED_PROXY", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// A further name by which pages may be asked for, beside the public URL's: host, or host:port. May be given several times.
    #[arg(long = "allowed-host", env = "ATELIER_ALLOWED_HOST", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
}

/// The limits of one listener.
#[derive(Clone, Debug)]
pub struct Limits {
    pub head: Duration,
    pub body: Duration,
    pub keep_alive: Duration,
    pub write: Duration,
    pub shutdown_delay: Duration,
    pub drain: Duration,
    pub connections: usize,
    pub connections_per_address: usize,
}

impl ListenerArgs {
    /// `files` is how many files this process may have open.
    pub fn limits(&self, files: u64) -> Limits {
        let fit = super::files::connections_that_fit(files);
        let asked = self.max_connections as usize;
        if fit < asked {
            tracing::warn!(
                files,
                "the system allows {files} open files, so at most {fit} connections are taken and not {asked}. Raise the limit (ulimit -n, LimitNOFILE=) or set --max-connections lower"
            );
        }
        Limits {
            head: self.head_timeout,
            body: self.body_timeout,
            keep_alive: self.keep_alive_timeout,
            write: self.write_timeout,
            shutdown_delay: self.shutdown_delay,
            drain: self.drain_timeout,
            connections: asked.min(fit),
            connections_per_address: self.max_connections_per_address as usize,
        }
    }
}

/// `15`, `0.5`: more than nothing, at most a day.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("“{text}” is not a number of seconds"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() && time <= Duration::from_secs(86_400) => Ok(time),
        _ => Err("it must be more than 0 and at most 86400 seconds".into()),
    }
}

/// The same, or `0`.
fn seconds_or_none(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" { Ok(Duration::ZERO) } else { seconds(text) }
}

/// `10.0.0.0/8`, `::1/128`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| format!("“{text}” is no address and no network like 10.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_networks_are_read_as_people_write_them() {
        assert_eq!(seconds("15"), Ok(Duration::from_secs(15)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "soon", "NaN", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!((seconds_or_none("0"), seconds_or_none("1.5")), (Ok(Duration::ZERO), Ok(Duration::from_millis(1500))));
        assert!(seconds_or_none("-1").is_err());
        assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert!(network(" fd00::/8").is_ok() && network("proxy.example").is_err());
    }
}
