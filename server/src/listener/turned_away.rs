//! A sentence for who gets no connection, without spending much on them.

use super::slots::Full;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

/// How many hear the sentence at a time; the others hear nothing.
const AT_ONCE: usize = 32;
/// How long one of them is listened to, so that the sentence arrives before the reset.
const LINGER: Duration = Duration::from_millis(500);

pub struct TurnedAway {
    places: Arc<Semaphore>,
}

impl Default for TurnedAway {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl TurnedAway {
    /// `secret`: the client speaks TLS; a sentence would cost the handshake that there is no place for.
    pub fn say(&self, mut socket: TcpStream, full: Full, secret: bool) {
        if secret {
            return;
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _place = place;
            let _ = tokio::time::timeout(LINGER, async {
                socket.write_all(answer(full).as_bytes()).await?;
                socket.shutdown().await?;
                let mut unread = [0; 4096];
                while socket.read(&mut unread).await? > 0 {}
                std::io::Result::Ok(())
            })
            .await;
        });
    }
}

fn answer(full: Full) -> String {
    let (status, words) = match full {
        Full::All => ("503 Service Unavailable", "The portal has as many connections as it can hold. Try again in a few seconds.\n"),
        Full::Address => (
            "429 Too Many Requests",
            "Your address has as many connections open as it may. Close some, or use one connection for several requests.\n",
        ),
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nretry-after: 5\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{words}",
        words.len()
    )
}
