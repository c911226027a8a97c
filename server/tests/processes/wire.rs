//! A wire to a database or another server that a test can let fall silent: nobody hangs up, and nothing comes through any more, as when the machine at the
//! other end has lost its power or the network swallows what is sent.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Wire {
    pub port: u16,
    silent: watch::Sender<bool>,
}

impl Wire {
    /// From a port of its own to this one on this machine.
    pub async fn to(port: u16) -> Self {
        Self::to_server(format!("127.0.0.1:{port}")).await
    }

    /// From a port of its own to `host:port`.
    pub async fn to_server(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (silent, hears) = watch::channel(false);
        let me = Self { port: listener.local_addr().unwrap().port(), silent };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), hears.clone()));
            }
        });
        me
    }

    /// What is connected now, or until it speaks again, never says anything any more.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    /// For new connections.
    pub fn speak(&self) {
        self.silent.send_replace(false);
    }
}

async fn carry(mut client: TcpStream, server: String, mut silent: watch::Receiver<bool>) {
    if !*silent.borrow() {
        let Ok(mut server) = TcpStream::connect(&server).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = silent.wait_for(|silent| *silent) => {}
        }
        return held(silent, (client, server)).await;
    }
    held(silent, client).await;
}

/// Until the wire is gone.
async fn held<T>(mut silent: watch::Receiver<bool>, ends: T) {
    while silent.changed().await.is_ok() {}
    drop(ends);
}
