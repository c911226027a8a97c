//! Which addresses may be called: all but those that lead back to this machine, to its own network segment, or to the metadata of a
//! cloud, unless the portal's admin lists them.

use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// What the admin lists: networks, single addresses, names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    networks: Vec<IpNet>,
    hosts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is neither an address (127.0.0.1), a network (10.40.0.0/16) nor a name (llm.example.org)")]
pub struct NotAnAddress(String);

impl Allowed {
    /// Of entries as the admin writes them.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, NotAnAddress> {
        let mut out = Self::default();
        for entry in entries.into_iter().map(str::trim).filter(|e| !e.is_empty()) {
            if let Ok(network) = IpNet::from_str(entry) {
                out.networks.push(network);
            } else if let Ok(ip) = IpAddr::from_str(entry) {
                out.networks.push(ip.into());
            } else if domain::call_rules::is_host(entry) && !entry.contains(':') && entry.bytes().any(|b| b.is_ascii_lowercase()) {
                out.hosts.push(entry.to_owned());
            } else {
                return Err(NotAnAddress(entry.chars().take(80).collect()));
            }
        }
        Ok(out)
    }

    /// The admin trusts this name, wherever it leads.
    pub fn lists_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|h| h.eq_ignore_ascii_case(host.trim_end_matches('.')))
    }
    pub fn lists(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|n| n.contains(&ip) || n.contains(&ip.to_canonical()))
    }
    pub fn may_reach(&self, ip: IpAddr) -> bool {
        self.lists(ip) || !is_forbidden(ip)
    }
}

/// Addresses of metadata services that are neither loopback nor link-local: Amazon's and Google's by IPv6, Alibaba's, Oracle's, and
/// Azure's wire server.
const METADATA_V4: [Ipv4Addr; 3] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_forbidden_v4(ip),
        IpAddr::V6(ip) => {
            let s = ip.segments();
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_multicast()
                // Link-local, and site-local as it once was.
                || s[0] & 0xff80 == 0xfe80
                || METADATA_V6.contains(&ip)
                // Tunnels whose other end nobody knows.
                || (s[0], s[1]) == (0x2001, 0)
                || embedded(ip).is_some_and(is_forbidden_v4)
        }
    }
}

fn is_forbidden_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_link_local() || ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast() || METADATA_V4.contains(&ip)
}

/// The IPv4 address in one of IPv6: mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), translated (`64:ff9b::/96`), 6to4 (`2002::/16`).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            Some(of(high, low))
        }
        [0x64, 0xff9b, 1, _, _, _, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_back_into_the_house_is_refused_in_every_spelling() {
        let nothing = Allowed::default();
        for bad in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
        ] {
            assert!(!nothing.may_reach(bad.parse().unwrap()), "{bad}");
        }
        for good in ["10.40.2.7", "192.168.1.1", "203.0.113.9", "2606:4700::1111", "fd12:3456::1", "::ffff:10.0.0.1"] {
            assert!(nothing.may_reach(good.parse().unwrap()), "{good}");
        }
    }

    #[test]
    fn the_admin_lists_networks_addresses_and_names() {
        let allowed = Allowed::of(["127.0.0.0/8", "fd00:ec2::254", " llm.example.org ", ""]).unwrap();
        for listed in ["127.0.0.1", "::ffff:127.0.0.1", "fd00:ec2::254"] {
            assert!(allowed.may_reach(listed.parse().unwrap()), "{listed}");
        }
        assert!(!allowed.may_reach("169.254.169.254".parse().unwrap()));
        assert!(allowed.lists_host("LLM.example.org") && allowed.lists_host("llm.example.org.") && !allowed.lists_host("example.org"));
        for bad in ["https://llm.example.org", "llm.example.org:8000", "10.0.0.0/64", "2130706433", "a b"] {
            assert!(Allowed::of([bad]).is_err(), "{bad}");
        }
    }
}
