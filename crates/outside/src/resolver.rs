//! Names to addresses, without those that may not be called. It is asked at every connection, so a name that leads somewhere else
//! later gains nothing; and what it answers is what is connected to.

use crate::Allowed;
use domain::reason::endpoint::OutsideTrouble;
use hyper_util::client::legacy::connect::dns::Name;
use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};
use tower_service::Service;

#[derive(Clone)]
pub struct Resolver {
    allowed: Arc<Allowed>,
}

#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    #[error("the name leads to {0} only, which is not called")]
    NotAllowed(IpAddr),
    #[error("the name is not known")]
    NotKnown(#[source] std::io::Error),
}

impl Unresolved {
    pub fn trouble(&self) -> OutsideTrouble {
        match self {
            Self::NotAllowed(ip) => OutsideTrouble::AddressNotAllowed { address: ip.to_string() },
            Self::NotKnown(_) => OutsideTrouble::NoSuchHost,
        }
    }
}

impl Resolver {
    pub fn new(allowed: Arc<Allowed>) -> Self {
        Self { allowed }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allowed = self.allowed.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(Unresolved::NotKnown)?;
            fitting(&allowed, name.as_str(), found.collect()).map(Vec::into_iter)
        })
    }
}

fn fitting(allowed: &Allowed, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unresolved> {
    if allowed.lists_host(host) {
        return Ok(found);
    }
    let first = found.first().map(SocketAddr::ip);
    let fitting: Vec<_> = found.into_iter().filter(|a| allowed.may_reach(a.ip())).collect();
    match (fitting.is_empty(), first) {
        (false, _) => Ok(fitting),
        (true, Some(ip)) => Err(Unresolved::NotAllowed(ip)),
        (true, None) => Err(Unresolved::NotKnown(std::io::Error::other("no addresses"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_with_several_addresses_only_those_are_called_that_may_be() {
        let at = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let fit = |texts: &[&str]| fitting(&Allowed::default(), "llm.example.org", at(texts)).map_err(|e| e.trouble());
        assert_eq!(fit(&["127.0.0.1:0", "203.0.113.9:0", "[::1]:0"]), Ok(at(&["203.0.113.9:0"])));
        let refused = |address: &str| Err(OutsideTrouble::AddressNotAllowed { address: address.into() });
        assert_eq!(fit(&["169.254.169.254:0"]), refused("169.254.169.254"));
        assert_eq!(fit(&["[::ffff:127.0.0.1]:0"]), refused("::ffff:127.0.0.1"));
        assert_eq!(fit(&[]), Err(OutsideTrouble::NoSuchHost));
        let listed = Allowed::of(["llm.example.org"]).unwrap();
        assert_eq!(fitting(&listed, "llm.example.org", at(&["127.0.0.1:0"])).unwrap(), at(&["127.0.0.1:0"]));
    }
}
