//! etcd, the API server with roles and admission as in production, the controller manager, the scheduler.

use super::{binaries::Binaries, place, place::Place, processes::Processes, secret};
use crate::run::run;
use anyhow::{Context, Result};
use serde_json::json;
use std::{
    process::{Command, Stdio},
    time::Duration,
};

const READY: Duration = Duration::from_secs(120);

pub fn start(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<()> {
    let keys = Keys::ensure(place)?;
    etcd(binaries, place, processes)?;
    api_server(binaries, place, processes, &keys)?;
    let kubeconfig = format!("--kubeconfig={}", place.kubeconfig().display());
    let own = ["--leader-elect=false", "--secure-port=0", &kubeconfig];
    let mut controllers = Command::new(binaries.kubernetes.join("kube-controller-manager"));
    controllers.args(own).args([
        &format!("--service-account-private-key-file={}", keys.private),
        // What pods believe the API server by.
        &format!("--root-ca-file={}", keys.certificate),
    ]);
    processes.start("controller-manager", &place.log("controller-manager"), &mut controllers)?;
    processes.start("scheduler", &place.log("scheduler"), Command::new(binaries.kubernetes.join("kube-scheduler")).args(own))
}

/// The command line of the cluster's admin.
pub fn kubectl(binaries: &Binaries, place: &Place) -> Command {
    let mut command = Command::new(binaries.kubernetes.join("kubectl"));
    command.arg("--kubeconfig").arg(place.kubeconfig()).stdin(Stdio::null());
    command
}

/// What a `kubectl` call prints.
pub fn asked(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("{command:?} could not be started"))?;
    anyhow::ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8(out.stdout)?)
}

/// Files that the parts share.
struct Keys {
    private: String,
    public: String,
    /// The API server makes it at its first start.
    certificate: String,
    certificates: String,
    tokens: String,
}

impl Keys {
    fn ensure(place: &Place) -> Result<Self> {
        let folder = place.folder("keys")?;
        let path = |name: &str| folder.join(name).display().to_string();
        let certificates = place.folder("keys/api-server")?.display().to_string();
        let keys = Self {
            private: path("accounts.key"),
            public: path("accounts.pub"),
            certificate: place.api_certificate().display().to_string(),
            certificates,
            tokens: path("tokens.csv"),
        };
        if !folder.join("accounts.pub").exists() {
            run(Command::new("openssl").args(["genrsa", "-out", &keys.private, "2048"]).stderr(Stdio::null()))?;
            run(Command::new("openssl").args(["rsa", "-in", &keys.private, "-pubout", "-out", &keys.public]).stderr(Stdio::null()))?;
        }
        let token = secret::drawn(&folder.join("admin.token"), 24)?;
        secret::write(&folder.join("tokens.csv"), &format!("{token},admin,admin,system:masters\n"))?;
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "atelier",
            "clusters": [{"name": "atelier", "cluster": {"server": place.url("https", place::API), "certificate-authority": keys.certificate}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "atelier", "context": {"cluster": "atelier", "user": "admin"}}],
        });
        secret::write(&place.kubeconfig(), &serde_json::to_string_pretty(&kubeconfig)?)?;
        Ok(keys)
    }
}

fn etcd(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<()> {
    let clients = place.url("http", place::ETCD);
    let peers = place.url("http", place::ETCD_PEERS);
    let mut command = Command::new(binaries.etcd.join("server"));
    command.arg("--data-dir").arg(place.folder("etcd")?).args([
        // Nothing here has to survive a power cut.
        "--unsafe-no-fsync",
        &format!("--listen-client-urls={clients}"),
        &format!("--advertise-client-urls={clients}"),
        &format!("--listen-peer-urls={peers}"),
        &format!("--initial-advertise-peer-urls={peers}"),
        &format!("--initial-cluster=default={peers}"),
    ]);
    let log = place.log("etcd");
    processes.start("etcd", &log, &mut command)?;
    processes
        .wait("etcd", &log, READY, || reqwest::blocking::get(format!("{clients}/readyz")).is_ok_and(|answer| answer.status().is_success()))
}

fn api_server(binaries: &Binaries, place: &Place, processes: &mut Processes, keys: &Keys) -> Result<()> {
    let mut command = Command::new(binaries.kubernetes.join("kube-apiserver"));
    command.args([
        &format!("--etcd-servers={}", place.url("http", place::ETCD)),
        &format!("--bind-address={}", place.address()),
        &format!("--secure-port={}", place::API),
        &format!("--cert-dir={}", keys.certificates),
        &format!("--service-account-key-file={}", keys.public),
        &format!("--service-account-signing-key-file={}", keys.private),
        "--service-account-issuer=https://kubernetes.default.svc",
        &format!("--token-auth-file={}", keys.tokens),
        "--authorization-mode=Node,RBAC",
        &format!("--service-cluster-ip-range={}", place.services()),
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
    ]);
    let log = place.log("api-server");
    processes.start("api-server", &log, &mut command)?;
    processes.wait("api-server", &log, READY, || {
        kubectl(binaries, place).args(["get", "--raw", "/readyz"]).output().is_ok_and(|out| out.status.success())
    })
}
