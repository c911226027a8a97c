//! A way to the API server that breaks off: every connection through it is cut after some time.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A kubeconfig in `folder` that leads through this machine, where each connection lives for `life`; and how many were cut. Ends with the
/// runtime.
pub async fn way(kubeconfig: &Path, folder: &Path, life: Duration) -> (PathBuf, Arc<AtomicU32>) {
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(kubeconfig).unwrap()).expect("a kubeconfig in JSON");
    let cluster = &mut config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().and_then(|s| s.strip_prefix("https://")).expect("an API server").to_owned();
    let host = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host).to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let cuts = Arc::new(AtomicU32::new(0));
    let counting = cuts.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, counted) = (server.clone(), counting.clone());
            tokio::spawn(async move {
                let Ok(mut there) = TcpStream::connect(&server).await else { return };
                if timeout(life, copy_bidirectional(&mut client, &mut there)).await.is_err() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    // The certificate is the server's own, and names it.
    (cluster["server"], cluster["tls-server-name"]) = (format!("https://127.0.0.1:{port}").into(), host.into());
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    (path, cuts)
}
