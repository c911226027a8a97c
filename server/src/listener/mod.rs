//! The listener: our own accept loop around hyper, so that no client can hold what the portal has few of. HTTP/1.1 only: in front of
//! browsers that want HTTP/2 stands a proxy, and one request at a time per connection keeps each limit a plain sentence.
//!
//! A connection holds a [`slots::Slot`], its bytes pass [`watched::Watched`], which tells [`phase::Phase`] what moves, and
//! [`connection`] ends it when the phase has lasted too long.

mod accept;
mod arriving;
mod connection;
pub mod files;
mod phase;
mod settings;
mod slots;
mod tls;
mod turned_away;
mod watched;

pub use arriving::BrokenOff;
pub use settings::{Limits, ListenerArgs, seconds};
pub use slots::{Full, Slots, network_of};
pub use tls::Tls;

use crate::layers::proxies::Proxies;
use anyhow::Context;
use axum::Router;
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// One address that is listened on.
pub struct Listener {
    tcp: TcpListener,
    limits: Limits,
    slots: Arc<Slots>,
    tls: Option<Arc<Tls>>,
    /// They bring many people's requests through one address, so the cap per address is not for them.
    proxies: Proxies,
}

/// What every connection of one listener shares.
#[derive(Clone)]
struct Shared {
    router: Router,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    /// The portal was told to stop: what is still asked is answered, and told that the connection closes.
    stop: CancellationToken,
    /// End now.
    cut: CancellationToken,
}

impl Listener {
    /// `flag`: by which the operator chooses the address, for the sentence when it cannot be had.
    pub async fn bind(address: SocketAddr, flag: &str, limits: Limits, tls: Option<Arc<Tls>>, proxies: Proxies) -> anyhow::Result<Self> {
        let tcp = TcpListener::bind(address).await.with_context(|| {
            format!("The address {address} cannot be listened on. Another program may have it: choose another one with {flag}")
        })?;
        let slots = Slots::new(limits.connections, limits.connections_per_address);
        Ok(Self { tcp, limits, slots, tls, proxies })
    }

    /// The address that was really taken (the port may have been 0).
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// How many connections there are, for metrics.
    pub fn slots(&self) -> Arc<Slots> {
        self.slots.clone()
    }

    /// Answers until told to stop, and for the delay that a balancer needs to send nothing more. Then lets what is under way come to its
    /// end; what takes longer than it may is cut off.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let Limits { drain, shutdown_delay, .. } = self.limits;
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let shared = Shared { router, limits: self.limits.clone(), tls: self.tls.clone(), stop: stop.clone(), cut: cut.clone() };
        let last = async {
            stop.cancelled().await;
            tokio::time::sleep(shutdown_delay).await;
        };
        tokio::select! { () = self.accept(&shared, &connections) => {}, () = last => {} }
        // From here on nobody gets in; the address is free for a successor.
        drop(self);
        connections.close();
        let began = Instant::now();
        if tokio::time::timeout(drain, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "some answers took longer than {} s and were cut off", drain.as_secs());
            cut.cancel();
            connections.wait().await;
        }
        tracing::debug!(ms = began.elapsed().as_millis() as u64, "every connection has ended");
    }
}
