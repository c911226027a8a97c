//! Taking connections, whatever goes wrong with one of them.

use super::{Listener, Shared, connection, turned_away::TurnedAway};
use std::{
    io,
    time::{Duration, Instant},
};
use tokio_util::task::TaskTracker;

/// How often it is said that connections cannot be taken.
const SAY_AGAIN: Duration = Duration::from_secs(60);

impl Listener {
    /// For ever. No error ends it, and none makes it spin.
    pub(super) async fn accept(&self, shared: &Shared, connections: &TaskTracker) {
        let turned_away = TurnedAway::default();
        let mut said: Option<Instant> = None;
        loop {
            let (socket, peer) = match self.tcp.accept().await {
                Ok(taken) => taken,
                Err(e) => {
                    let Some(pause) = pause_after(&e) else { continue };
                    if said.is_none_or(|at| at.elapsed() > SAY_AGAIN) {
                        said = Some(Instant::now());
                        tracing::error!(error = %e, open = self.slots.open(), "connections cannot be taken now; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            match self.slots.take(peer.ip(), self.proxies.trust(peer.ip())) {
                Ok(slot) => {
                    // Answers are written whole; waiting for more to send with them only makes streams late.
                    let _ = socket.set_nodelay(true);
                    connections.spawn(connection::run(socket, peer, slot, shared.clone()));
                }
                Err(full) => {
                    if said.is_none_or(|at| at.elapsed() > SAY_AGAIN) {
                        said = Some(Instant::now());
                        tracing::warn!(from = %peer.ip(), open = self.slots.open(), ?full, "connections are turned away");
                    }
                    turned_away.say(socket, full, shared.tls.is_some());
                }
            }
        }
    }
}

/// What failed with one connection is over with it; what the whole process lacks (files, memory) needs a moment.
fn pause_after(error: &io::Error) -> Option<Duration> {
    use io::ErrorKind as K;
    match error.kind() {
        K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted | K::WouldBlock => None,
        _ => Some(Duration::from_millis(200)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_files_waits_and_a_broken_client_does_not() {
        use nix::libc::{ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM};
        for lack in [EMFILE, ENFILE, ENOBUFS, ENOMEM] {
            assert!(pause_after(&io::Error::from_raw_os_error(lack)).is_some(), "{lack}");
        }
        assert!(pause_after(&io::Error::from_raw_os_error(ECONNABORTED)).is_none());
    }
}
