//! A wire to a database or another server that a test can break: it falls silent (nobody hangs up, and nothing comes through any more, as when the machine at
//! the other end has lost its power or the network swallows what is sent), or it is cut in the middle of what somebody sends.

use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Copy, PartialEq)]
enum State {
    Carries,
    Silent,
    /// Until a client has sent so many bytes on one connection.
    CarriesUntil(usize),
    /// Connections end as soon as they begin.
    Refuses,
}

pub struct Wire {
    pub port: u16,
    state: Arc<watch::Sender<State>>,
}

impl Wire {
    /// From a port of its own to this one on this machine.
    pub async fn to(port: u16) -> Self {
        Self::to_server(format!("127.0.0.1:{port}")).await
    }

    /// From a port of its own to `host:port`.
    pub async fn to_server(server: String) -> Self {
        Self::between("127.0.0.1", server).await
    }

    /// From a port of this address of this machine to `host:port`.
    pub async fn between(address: &str, server: String) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let state = Arc::new(watch::channel(State::Carries).0);
        let me = Self { port: listener.local_addr().unwrap().port(), state: state.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), state.clone()));
            }
        });
        me
    }

    /// What is connected now, or until it speaks again, never says anything any more.
    pub fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// The next client that sends so many bytes on one connection is cut off there, and with it all others; new ones are refused from then on.
    pub fn cut_after(&self, bytes: usize) {
        self.state.send_replace(State::CarriesUntil(bytes));
    }

    /// Waits until [`Self::cut_after`] has cut somebody off.
    pub async fn was_cut(&self) {
        self.state.subscribe().wait_for(|state| *state == State::Refuses).await.unwrap();
    }

    /// For new connections.
    pub fn speak(&self) {
        self.state.send_replace(State::Carries);
    }
}

async fn carry(mut client: TcpStream, server: String, state: Arc<watch::Sender<State>>) {
    let mut changes = state.subscribe();
    let now = *changes.borrow_and_update();
    if now == State::Refuses {
        return;
    }
    if now == State::Silent {
        return held(changes, client).await;
    }
    let Ok(mut server) = TcpStream::connect(&server).await else { return };
    tokio::select! {
        () = carried(&mut client, &mut server, &state) => return,
        _ = changes.wait_for(|state| matches!(state, State::Silent | State::Refuses)) => {}
    }
    if *changes.borrow() == State::Silent {
        held(changes, (client, server)).await;
    }
}

/// Until one of the two hangs up, or the client has sent as much as it may.
async fn carried(client: &mut TcpStream, server: &mut TcpStream, state: &watch::Sender<State>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let sends = async {
        let (mut bytes, mut sent) = (vec![0; 16 * 1024], 0);
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            sent += read;
            // Only one of several cuts it: whoever speaks again afterwards is not cut by another.
            let is_most = |state: &State| matches!(state, State::CarriesUntil(most) if sent >= *most);
            if state.send_if_modified(|state| is_most(state).then(|| *state = State::Refuses).is_some()) {
                return;
            }
            if to_server.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let answers = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(sends, answers);
}

/// Until the wire is gone.
async fn held<T>(mut changes: watch::Receiver<State>, ends: T) {
    while changes.changed().await.is_ok() {}
    drop(ends);
}
