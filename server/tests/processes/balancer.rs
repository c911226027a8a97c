//! A balancer as a Service of a cluster is one: it looks at nothing but connections. A replica whose `/readyz` says no, or that refuses a
//! connection, gets no new ones; connections that it has stay. What it carries takes a moment on its way, as between machines.

use super::within;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
    time::Instant,
};

/// How often replicas are asked.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// From one end to the other.
const WAY: Duration = Duration::from_millis(10);

pub struct Balancer {
    /// `http://127.0.0.1:3000`
    pub address: String,
    replicas: Arc<Vec<Replica>>,
    ends: Vec<AbortHandle>,
}

struct Replica {
    address: String,
    ready: AtomicBool,
}

impl Balancer {
    /// On a port that it was told, because its replicas are told the same.
    pub async fn before(port: u16, replicas: &[&str]) -> Self {
        let replica = |address: &&str| Replica { address: (*address).to_owned(), ready: AtomicBool::new(false) };
        let replicas: Arc<Vec<Replica>> = Arc::new(replicas.iter().map(replica).collect());
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let looking = tokio::spawn(look(replicas.clone()));
        let taking = tokio::spawn(take(listener, replicas.clone()));
        let ends = vec![looking.abort_handle(), taking.abort_handle()];
        Self { address: format!("http://127.0.0.1:{port}"), replicas, ends }
    }

    /// Until it sends connections to this replica.
    pub async fn knows(&self, replica: &str) {
        let replica = self.replicas.iter().find(|r| r.address == replica).unwrap();
        within(Duration::from_secs(30), "the balancer knows the replica", async || replica.ready.load(Ordering::SeqCst).then_some(()))
            .await;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        for end in &self.ends {
            end.abort();
        }
    }
}

async fn look(replicas: Arc<Vec<Replica>>) {
    // Each look is a connection of its own, as a kubelet's.
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(2)).build().unwrap();
    let of_one = |n: usize| {
        let (http, replicas) = (http.clone(), replicas.clone());
        async move {
            loop {
                let answer = http.get(format!("{}/readyz", replicas[n].address)).send().await;
                replicas[n].ready.store(answer.is_ok_and(|a| a.status().is_success()), Ordering::SeqCst);
                tokio::time::sleep(LOOKS_EVERY).await;
            }
        }
    };
    futures::future::join_all((0..replicas.len()).map(of_one)).await;
}

async fn take(listener: TcpListener, replicas: Arc<Vec<Replica>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((client, _)) = listener.accept().await {
        let (replicas, turn) = (replicas.clone(), turn.clone());
        tokio::spawn(async move {
            for _ in 0..replicas.len() {
                let replica = &replicas[turn.fetch_add(1, Ordering::SeqCst) % replicas.len()];
                if !replica.ready.load(Ordering::SeqCst) {
                    continue;
                }
                // Nothing was sent yet, so another one may have it.
                match TcpStream::connect(replica.address.trim_start_matches("http://")).await {
                    Ok(server) => return carry(client, server).await,
                    Err(_) => replica.ready.store(false, Ordering::SeqCst),
                }
            }
        });
    }
}

async fn carry(client: TcpStream, server: TcpStream) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client, server) = (client.into_split(), server.into_split());
    tokio::join!(one_way(client.0, server.1), one_way(server.0, client.1));
}

/// Also the end of it arrives later.
async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (sent, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async move {
        let mut piece = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut piece).await {
            if sent.send((Instant::now() + WAY, piece[..n].to_vec())).is_err() {
                return;
            }
        }
        tokio::time::sleep(WAY).await;
    };
    let writing = async move {
        while let Some((at, piece)) = under_way.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
