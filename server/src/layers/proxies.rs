//! Who is believed about the caller: the one rule for `X-Forwarded-For`, `X-Forwarded-Proto`, `x-request-id` and `traceparent`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// OpenAI's name for the id that a client gives its own request.
pub const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// The networks of the proxies in front of the portal. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[IpNet]>);

/// Who a request is from, as far as somebody says it whom we believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    pub from: IpAddr,
    /// Through a trusted proxy.
    pub by_proxy: bool,
    /// By plain http, as a trusted proxy says; without such a proxy nobody knows more than the listener.
    pub by_plain_http: bool,
    /// The id that a trusted proxy gave the request.
    pub request_id: Option<HeaderValue>,
    /// The client's own id. It is told in the log beside the request's and sent back, and names nothing here.
    pub client_request_id: Option<HeaderValue>,
}

impl Proxies {
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Each proxy writes whom it heard from at the end of the list, so the list is read from its end, and the first one that we do not
    /// know is the caller: what stands before it was written by the caller itself.
    pub fn came(&self, peer: IpAddr, headers: &HeaderMap) -> Came {
        let mut from = peer.to_canonical();
        let id = |name: &HeaderName| headers.get(name).filter(|id| is_harmless(id)).cloned();
        let client_request_id = id(&CLIENT_REQUEST_ID);
        if !self.trust(peer) {
            let client_request_id = client_request_id.or_else(|| id(&REQUEST_ID));
            return Came { from, by_proxy: false, by_plain_http: false, request_id: None, client_request_id };
        }
        let said: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).flat_map(|line| line.split(',')).collect();
        for hop in said.iter().rev() {
            // An entry that is no address ends what is known: the last proxy that we trust counts.
            let Some(address) = address(hop) else { break };
            from = address;
            if !self.trust(address) {
                break;
            }
        }
        // The proxy next to us speaks last here too.
        let proto = headers.get_all(FORWARDED_PROTO).iter().next_back().and_then(|v| v.to_str().ok());
        let by_plain_http = proto.and_then(|p| p.rsplit(',').next()).is_some_and(|p| p.trim().eq_ignore_ascii_case("http"));
        Came { from, by_proxy: true, by_plain_http, request_id: id(&REQUEST_ID), client_request_id }
    }
}

/// `192.0.2.1`, `192.0.2.1:5000`, `2001:db8::1`, `[2001:db8::1]:5000`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|a| a.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}

/// Fit for logs and headers: no spaces, no control characters, not long.
fn is_harmless(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(peer: &str, headers: &[(&'static str, &'static str)]) -> Came {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        proxies.came(peer.parse().unwrap(), &map)
    }

    fn from(peer: &str, forwarded: &'static str) -> String {
        came(peer, &[("x-forwarded-for", forwarded)]).from.to_string()
    }

    #[test]
    fn the_caller_is_the_last_address_that_a_trusted_proxy_wrote() {
        assert_eq!(from("10.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(from("10.0.0.1", "203.0.113.9, 198.51.100.7"), "198.51.100.7", "what stands before it, the caller wrote");
        assert_eq!(from("10.0.0.1", "198.51.100.7, 10.2.2.2"), "198.51.100.7", "a second proxy of ours");
        assert_eq!(from("10.0.0.1", "198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(from("fd00::1", "[2001:db8::5]:443"), "2001:db8::5");
        assert_eq!(from("::ffff:10.0.0.1", "198.51.100.7"), "198.51.100.7");
        let twice = came("10.0.0.1", &[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.7")]);
        assert_eq!(twice.from.to_string(), "198.51.100.7");
    }

    #[test]
    fn nothing_is_believed_that_is_no_address() {
        assert_eq!(from("10.0.0.1", "198.51.100.7, unknown"), "10.0.0.1");
        assert_eq!(from("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(from("10.0.0.1", "203.0.113.9, what, 10.2.2.2"), "10.2.2.2");
    }

    #[test]
    fn a_stranger_is_believed_in_nothing() {
        let said = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "http"), ("x-request-id", "mine")];
        let stranger = came("203.0.113.9", &said);
        let (from, own) = ("203.0.113.9".parse().unwrap(), Some(HeaderValue::from_static("mine")));
        assert_eq!(stranger, Came { from, by_proxy: false, by_plain_http: false, request_id: None, client_request_id: own });
        let proxy = came("10.0.0.1", &said);
        assert!(proxy.by_plain_http && proxy.request_id.is_some_and(|id| id == "mine"));
    }

    #[test]
    fn an_id_that_could_write_into_the_log_is_not_taken() {
        assert_eq!(came("10.0.0.1", &[("x-request-id", "a b")]).request_id, None);
        assert_eq!(came("10.0.0.1", &[("x-request-id", "")]).request_id, None);
        for client in ["10.0.0.1", "203.0.113.9"] {
            assert_eq!(came(client, &[("x-client-request-id", "a b")]).client_request_id, None);
            assert!(came(client, &[("x-client-request-id", "job-7")]).client_request_id.is_some_and(|id| id == "job-7"));
        }
    }
}
