//! A node that runs real containers: its address, containerd, the kubelet.

use super::{
    binaries::Binaries,
    control_plane::{asked, kubectl},
    ctr::ctr,
    images, names, place,
    place::Place,
    processes::Processes,
};
use crate::run::run;
use anyhow::{Context, Result};
use serde_json::json;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

pub const NAME: &str = "node-1";
const READY: Duration = Duration::from_secs(120);
/// Where Debian puts the plug-ins for networks.
const NETWORK_PLUGINS: &str = "/usr/lib/cni";

/// Whether the machine hands packets on from one network to the next, which pods need.
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Gives back what the machine was set to before, unless another cluster is still there.
pub fn forward(place: &Place) -> Result<()> {
    let others = place::all_runs().filter(|run| *run != place.run()).any(|run| run.exists());
    match fs::read_to_string(place.run().join("ip_forward")) {
        Ok(before) if !others => fs::write(FORWARD, before).with_context(|| format!("{FORWARD} cannot be written")),
        _ => Ok(()),
    }
}

/// The device with the node's own address, on which everything listens that pods may want.
pub fn bridge(place: &Place) -> Result<()> {
    let name = place.node_bridge();
    if Path::new("/sys/class/net").join(&name).exists() {
        return Ok(());
    }
    fs::write(place.run().join("ip_forward"), fs::read_to_string(FORWARD)?)?;
    run(Command::new("ip").args(["link", "add", &name, "type", "bridge"]))?;
    run(Command::new("ip").args(["addr", "add", &format!("{}/24", place.address()), "dev", &name]))?;
    run(Command::new("ip").args(["link", "set", &name, "up"]))
}

pub fn containerd(place: &Place, processes: &mut Processes) -> Result<()> {
    network(place)?;
    let folder = place.folder("containerd")?;
    let run_folder = place.run();
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let file = folder.join("config.toml");
    fs::write(
        &file,
        format!(
            r#"version = 2
root = {root}
state = {state}
[grpc]
  address = {socket}
[plugins."io.containerd.internal.v1.opt"]
  path = {opt}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A machine may be without the right to make itself less likely to be killed.
  restrict_oom_score_adj = true
  # Namespaces of networks lie where they are found and removed again.
  netns_mounts_under_state_dir = true
  disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{NETWORK_PLUGINS}"
  conf_dir = {networks}
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
            root = quoted(&folder.join("root")),
            state = quoted(&run_folder.join("containerd")),
            socket = quoted(&place.containerd_socket()),
            opt = quoted(&folder.join("opt")),
            pause = images::PAUSE,
            networks = quoted(&place.dir.join("network")),
        ),
    )?;
    let log = place.log("containerd");
    processes.start("containerd", &log, Command::new("containerd").arg("--config").arg(&file))?;
    processes.wait("containerd", &log, READY, || {
        let mut version = ctr(place);
        version.arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    })
}

/// The network of pods: a bridge that this machine is part of, and nothing else. Nothing is translated, so that there are no rules of
/// the firewall to tidy.
fn network(place: &Place) -> Result<()> {
    let text = json!({
        "cniVersion": "0.4.0",
        "name": place.node_bridge(),
        "plugins": [
            {
                "type": "bridge", "bridge": place.pod_bridge(), "isGateway": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": place.run().join("addresses"),
                    "ranges": [[{"subnet": place.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "loopback"},
        ],
    });
    fs::write(place.folder("network")?.join("10-pods.conflist"), serde_json::to_vec_pretty(&text)?)?;
    Ok(())
}

pub fn kubelet(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<()> {
    control_groups(place)?;
    let folder = place.folder("kubelet")?;
    fs::write(folder.join("resolv.conf"), "")?;
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.address(),
        "port": place::KUBELET,
        "healthzBindAddress": place.address(),
        "healthzPort": place::KUBELET_HEALTH,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": format!("unix://{}", place.containerd_socket().display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", place.cgroup()),
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "makeIPTablesUtilChains": false,
        "podLogsDir": place.dir.join("logs/pods"),
        "clusterDNS": [place.address()],
        "clusterDomain": names::DOMAIN,
        "resolvConf": folder.join("resolv.conf"),
        // The machine's disk is not the cluster's: it shall neither throw out pods nor images because of what others store.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    });
    let file = folder.join("config.json");
    fs::write(&file, serde_json::to_vec_pretty(&configuration)?)?;
    let mut command = Command::new(binaries.kubernetes.join("kubelet"));
    command.args([
        &format!("--config={}", file.display()),
        &format!("--kubeconfig={}", place.kubeconfig().display()),
        &format!("--root-dir={}", folder.display()),
        &format!("--cert-dir={}", folder.join("pki").display()),
        &format!("--hostname-override={NAME}"),
        &format!("--node-ip={}", place.address()),
    ]);
    processes.start("kubelet", &place.log("kubelet"), &mut command)
}

pub fn wait_until_ready(binaries: &Binaries, place: &Place, processes: &Processes) -> Result<()> {
    processes.wait("kubelet", &place.log("kubelet"), READY, || {
        let mut question = kubectl(binaries, place);
        question.args(["get", "node", NAME, "-o", r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#]);
        asked(&mut question).is_ok_and(|said| said == "True")
    })
}

/// A group above all pods, so that it is known which processes are the cluster's, whatever has become of containerd.
fn control_groups(place: &Place) -> Result<()> {
    for folder in control_group_folders(place) {
        fs::create_dir_all(&folder).with_context(|| format!("the control group {} cannot be made", folder.display()))?;
    }
    Ok(())
}

/// In version 2 there is one; in version 1 each controller has its own.
pub fn control_group_folders(place: &Place) -> Vec<std::path::PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.join(place.cgroup())];
    }
    let controllers = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    controllers.filter(|path| path.join("cgroup.procs").exists()).map(|path| path.join(place.cgroup())).collect()
}
