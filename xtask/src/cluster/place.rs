//! Which folder, addresses and names belong to one cluster. Several may run on one machine: each takes a number.

use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Clusters at a time on one machine.
const MOST: u8 = 8;

/// The name of the one node.
pub const NODE: &str = "node-1";
pub const API: u16 = 6443;
pub const ETCD: u16 = 2379;
pub const ETCD_PEERS: u16 = 2380;
pub const KUBELET: u16 = 10250;
pub const KUBELET_HEALTH: u16 = 10248;
pub const NAMES_READY: u16 = 8181;
pub const POSTGRES: u16 = 5432;
pub const S3: u16 = 3900;
pub const S3_RPC: u16 = 3901;
pub const S3_ADMIN: u16 = 3903;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub dir: PathBuf,
    number: u8,
}

fn run(number: u8) -> PathBuf {
    format!("/run/atelier-{number}").into()
}

impl Place {
    /// The place of the cluster in `dir`; a number that nobody has is taken when it has none yet.
    pub fn claim(dir: &Path) -> Result<Self> {
        if let Some(there) = Self::find(dir)? {
            return Ok(there);
        }
        for number in 0..MOST {
            let place = Self { dir: dir.to_owned(), number };
            match fs::create_dir(place.run()) {
                Ok(()) => {
                    fs::write(place.run().join("of"), dir.as_os_str().as_encoded_bytes())?;
                    return Ok(place);
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e).with_context(|| format!("{} cannot be made", place.run().display())),
            }
        }
        bail!("{MOST} clusters run on this machine; end one with `cluster down --dir`, its folder is in /run/atelier-*/of")
    }

    /// The place that the cluster in `dir` has taken and not given back.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let all = (0..MOST).map(|number| Self { dir: dir.to_owned(), number });
        for place in all {
            match fs::read(place.run().join("of")) {
                Ok(of) if of == dir.as_os_str().as_encoded_bytes() => return Ok(Some(place)),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e).with_context(|| format!("{} cannot be read", place.run().display())),
            }
        }
        Ok(None)
    }

    /// What goes with a restart of the machine: sockets, and the state of containers. Short, because paths of sockets must be.
    pub fn run(&self) -> PathBuf {
        run(self.number)
    }

    pub fn containerd_socket(&self) -> PathBuf {
        self.run().join("containerd.sock")
    }

    /// This machine's end of the cable to the node.
    pub fn device(&self) -> String {
        format!("atelier{}", self.number)
    }

    /// Where pods and this machine reach what runs here, and nobody else does.
    pub fn address(&self) -> String {
        format!("10.245.{}.1", self.number)
    }

    /// The object store's: policies that let pods reach it shall let them reach nothing else.
    pub fn store(&self) -> String {
        format!("10.245.{}.2", self.number)
    }

    /// The node's.
    pub fn node(&self) -> String {
        format!("10.245.{}.3", self.number)
    }

    pub fn pods(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    /// Of the pod that knows names: the first of the network, and nobody else's.
    pub fn names(&self) -> String {
        format!("10.244.{}.2", self.number)
    }

    /// From here on addresses are handed out.
    pub fn first_pod(&self) -> String {
        format!("10.244.{}.3", self.number)
    }

    pub fn services(&self) -> String {
        format!("10.246.{}.0/24", self.number)
    }

    /// The control group above all pods.
    pub fn cgroup(&self) -> String {
        format!("atelier{}", self.number)
    }

    /// An address of ours with this port.
    pub fn url(&self, scheme: &str, port: u16) -> String {
        format!("{scheme}://{}:{port}", self.address())
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    /// A folder of the cluster, made when it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.dir.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    /// What clients know the API server by, which makes it at its first start.
    pub fn api_certificate(&self) -> PathBuf {
        self.dir.join("keys/api-server/apiserver.crt")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }
}
