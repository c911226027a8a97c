//! A node that runs real containers: its address, containerd, the kubelet.

use super::{
    binaries::Binaries,
    control_plane::{asked, kubectl},
    ctr::ctr,
    images, names, network, place,
    place::Place,
    processes::Processes,
};
use anyhow::{Context, Result};
use serde_json::json;
use std::{fs, path::Path, process::Stdio, time::Duration};

const READY: Duration = Duration::from_secs(120);

pub fn containerd(place: &Place, processes: &mut Processes) -> Result<()> {
    let plugins = network::describe(place)?;
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
  bin_dir = {plugins}
  conf_dir = {networks}
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
            root = quoted(&folder.join("root")),
            state = quoted(&run_folder.join("containerd")),
            socket = quoted(&place.containerd_socket()),
            opt = quoted(&folder.join("opt")),
            pause = images::PAUSE,
            plugins = quoted(&plugins),
            networks = quoted(&place.dir.join("network")),
        ),
    )?;
    let log = place.log("containerd");
    processes.start("containerd", &log, network::on_the_node(place, "containerd").arg("--config").arg(&file))?;
    processes.wait("containerd", &log, READY, || {
        let mut version = ctr(place);
        version.arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    })
}

pub fn kubelet(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<()> {
    control_groups(place)?;
    let folder = place.folder("kubelet")?;
    fs::write(folder.join("resolv.conf"), "")?;
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.node(),
        "port": place::KUBELET,
        "healthzBindAddress": place.node(),
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
        "staticPodPath": place.folder(names::PODS)?,
        "podLogsDir": place.dir.join("logs/pods"),
        "clusterDNS": [place.names()],
        "clusterDomain": names::DOMAIN,
        "resolvConf": folder.join("resolv.conf"),
        // The machine's disk is not the cluster's: it shall neither throw out pods nor images because of what others store.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    });
    let file = folder.join("config.json");
    fs::write(&file, serde_json::to_vec_pretty(&configuration)?)?;
    let mut command = network::on_the_node(place, binaries.kubernetes.join("kubelet"));
    command.args([
        &format!("--config={}", file.display()),
        &format!("--kubeconfig={}", place.kubeconfig().display()),
        &format!("--root-dir={}", folder.display()),
        &format!("--cert-dir={}", folder.join("pki").display()),
        &format!("--hostname-override={}", place::NODE),
        &format!("--node-ip={}", place.node()),
    ]);
    processes.start("kubelet", &place.log("kubelet"), &mut command)
}

pub fn wait_until_ready(binaries: &Binaries, place: &Place, processes: &Processes) -> Result<()> {
    processes.wait("kubelet", &place.log("kubelet"), READY, || {
        let mut question = kubectl(binaries, place);
        question.args(["get", "node", place::NODE, "-o", r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#]);
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
