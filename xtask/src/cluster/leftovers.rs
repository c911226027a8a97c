//! Ends a cluster and what outlives its programs: containers with their keepers, mounts, network devices, control groups, links to
//! logs. Works from what the machine shows, so that a start that was broken off can be ended too.

use super::{
    node,
    place::Place,
    processes::{Process, Processes, every_id},
};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Servers that let calls come to their end: there is nobody left whose call it would be.
const PATIENCE_WITH_SERVERS: Duration = Duration::from_secs(5);
/// Where the library behind containerd keeps what a network plug-in answered.
const NETWORK_ANSWERS: &str = "/var/lib/cni/results";
const CONTAINER_LOGS: &str = "/var/log/containers";

pub fn end(dir: &Path, processes: &mut Processes) -> Result<()> {
    let place = Place::find(dir)?;
    // Nobody may start a container while containers are ended.
    processes.end("kubelet", PATIENCE)?;
    if let Some(place) = &place {
        containers(place);
    }
    processes.ask_to_end();
    for name in processes.names() {
        processes.end(&name, PATIENCE_WITH_SERVERS)?;
    }
    let Some(place) = place else { return Ok(()) };
    devices(&place)?;
    // With its name a network goes, and all rules and sets that were made in it.
    unmount(&[dir.to_owned(), place.run()])?;
    control_groups(&place)?;
    traces(&place)?;
    fs::remove_dir_all(place.run()).with_context(|| format!("{} cannot be removed", place.run().display()))
}

/// Ends every process in the cluster's control groups, then the shims, which keep containers and outlive containerd.
fn containers(place: &Place) {
    let inside = || -> BTreeSet<u32> { node::control_group_folders(place).iter().flat_map(|folder| members(folder)).collect() };
    let until = Instant::now() + PATIENCE;
    loop {
        let processes: Vec<Process> = inside().into_iter().filter_map(Process::living).collect();
        if processes.is_empty() || Instant::now() > until {
            break;
        }
        processes.iter().for_each(|p| p.signal("KILL"));
        sleep(Duration::from_millis(100));
    }
    for shim in shims(place) {
        shim.end(PATIENCE);
    }
}

fn members(group: &Path) -> Vec<u32> {
    let here = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<u32> = here.lines().filter_map(|line| line.parse().ok()).collect();
    for child in fs::read_dir(group).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        all.extend(members(&child.path()));
    }
    all
}

/// The processes whose arguments name our containerd, but not itself or its client.
fn shims(place: &Place) -> Vec<Process> {
    let socket = place.containerd_socket().display().to_string();
    let is_ours = |id: u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0);
        let program = arguments.next().unwrap_or_default();
        String::from_utf8_lossy(program).contains("containerd-shim") && arguments.any(|a| a == socket.as_bytes())
    };
    every_id().filter(|id| is_ours(*id)).filter_map(Process::living).collect()
}

/// Everything that is mounted below these folders, the innermost first.
fn unmount(folders: &[PathBuf]) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    for point in mounted_below(&table, folders).iter().rev() {
        tidy(Command::new("umount").arg("--lazy").arg(point))?;
    }
    Ok(())
}

fn mounted_below(table: &str, folders: &[PathBuf]) -> Vec<PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescaped(point)));
    points.filter(|point| folders.iter().any(|folder| point.starts_with(folder) && point != folder)).collect()
}

/// The kernel writes a space as `\040`.
fn unescaped(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")].iter().fold(point.to_owned(), |p, (from, to)| p.replace(from, to))
}

/// Tidying goes on when a person has asked to end: that is mostly why it is done.
fn tidy(command: &mut Command) -> Result<()> {
    let out = command.process_group(0).output().with_context(|| format!("{command:?} could not be started"))?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}

fn devices(place: &Place) -> Result<()> {
    let is_ours = |name: &str| name.strip_prefix(&place.device()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    for entry in fs::read_dir("/sys/class/net")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // One end of a cable goes with the other.
        if is_ours(&name) && entry.path().exists() {
            tidy(Command::new("ip").args(["link", "delete", &name]))?;
        }
    }
    Ok(())
}

fn control_groups(place: &Place) -> Result<()> {
    for folder in node::control_group_folders(place) {
        let until = Instant::now() + PATIENCE;
        // A group is busy until the kernel has done with the processes that were in it.
        while let Err(e) = remove_groups(&folder) {
            if Instant::now() > until {
                return Err(e).with_context(|| format!("the control group {} cannot be removed", folder.display()));
            }
            sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

fn remove_groups(folder: &Path) -> std::io::Result<()> {
    let children = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        children => children?,
    };
    for child in children.flatten().filter(|entry| entry.path().is_dir()) {
        remove_groups(&child.path())?;
    }
    fs::remove_dir(folder)
}

/// Files outside of the cluster's folders: their places are fixed in the kubelet and in the network library.
fn traces(place: &Place) -> Result<()> {
    let ours = format!("{}-", place.device());
    for entry in fs::read_dir(NETWORK_ANSWERS).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&ours) {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(CONTAINER_LOGS).into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(&place.dir)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_our_folders_are_found_and_no_others() {
        let table = "22 1 8:1 / / rw - ext4 /dev/vda rw\n\
                     30 22 0:4 net:[4026532] /run/atelier-0/containerd/netns/a rw - nsfs nsfs rw\n\
                     31 22 0:9 / /big/my\\040cluster/kubelet/pods/x/volumes/tmp rw - tmpfs tmpfs rw\n\
                     32 22 0:9 / /run/atelier-01 rw - tmpfs tmpfs rw\n";
        let found = mounted_below(table, &["/big/my cluster".into(), "/run/atelier-0".into()]);
        let expected: [PathBuf; 2] = ["/run/atelier-0/containerd/netns/a".into(), "/big/my cluster/kubelet/pods/x/volumes/tmp".into()];
        assert_eq!(found, expected);
    }
}
