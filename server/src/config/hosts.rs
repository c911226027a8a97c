//! The names that the portal goes by.

use super::is_loopback;
use openidconnect::url::Url;

/// The names of the portal.
#[derive(Clone, Debug)]
pub struct Hosts {
    scheme: &'static str,
    /// Host, and port where it is not the scheme's own.
    names: Vec<String>,
    /// A portal on a development machine is known by every name of that machine.
    loopback: bool,
}

impl Hosts {
    /// `public_url` is an origin; `further` are hosts, or hosts with a port.
    pub fn new(public_url: &str, further: &[String]) -> Result<Self, String> {
        let scheme = if public_url.starts_with("https://") { "https" } else { "http" };
        let mut names = vec![public_url.trim_start_matches(scheme).trim_start_matches("://").to_owned()];
        for name in further.iter().map(|n| n.trim()).filter(|n| !n.is_empty()) {
            let own = named(scheme, name).ok_or_else(|| format!("ATELIER_ALLOWED_HOST “{name}” is no host name."))?;
            names.push(own);
        }
        let loopback = Url::parse(public_url).is_ok_and(|url| is_loopback(&url));
        Ok(Self { scheme, names, loopback })
    }

    /// `host` as a request's head names it.
    pub fn allow(&self, host: &str) -> bool {
        if self.names.iter().any(|name| name == host) {
            return true;
        }
        let Some(name) = named(self.scheme, host) else { return false };
        self.names.contains(&name) || (self.loopback && Url::parse(&format!("http://{name}")).is_ok_and(|url| is_loopback(&url)))
    }
}

/// Host and port in one spelling; none when there is anything else in it.
fn named(scheme: &str, host: &str) -> Option<String> {
    if host.contains(['/', '?', '#', '@', '\\']) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    let name = url.host_str()?;
    Some(url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_names_are_ours() {
        let hosts = Hosts::new("https://portal.example", &["atelier.internal:8443".into()]).unwrap();
        for ours in ["portal.example", "Portal.Example", "portal.example:443", "atelier.internal:8443"] {
            assert!(hosts.allow(ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "portal.example:8443",
            "portal.example.evil.example",
            "127.0.0.1",
            "localhost:3000",
            "",
            "portal.example@evil.example",
            "evil.example/portal.example",
        ] {
            assert!(!hosts.allow(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_development_machine_is_known_by_its_loopback_names_only() {
        let hosts = Hosts::new("http://127.0.0.1:3000", &[]).unwrap();
        assert!(hosts.allow("127.0.0.1:3000") && hosts.allow("localhost:3000") && hosts.allow("[::1]:3001"));
        assert!(!hosts.allow("evil.example:3000") && !hosts.allow("127.0.0.1.evil.example:3000"));
    }
}
