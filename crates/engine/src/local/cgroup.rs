//! Memory limits by the kernel's control groups: one group a task, made and removed by its supervisor.
//!
//! Version 2 is what present systems have; there a group can be made where the memory controller was handed on to us: beside our own
//! group or inside it, for example in a systemd service with `Delegate=memory` and `DelegateSubgroup=portal`. Version 1 is taken where
//! a machine still has its memory controller there.
//!
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>, <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group under which groups for tasks can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    path: PathBuf,
    version: Version,
}

/// The group of one task.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    version: Version,
}

impl Parent {
    /// Where this process may make groups with a memory limit; else why not, in one sentence.
    pub fn find() -> Result<Self, String> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("{path} cannot be read: {e}."));
        let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        let candidates = candidates(&mounts, &own);
        if candidates.is_empty() {
            return Err("This system shows no control groups with a memory controller.".into());
        }
        let mut why = String::new();
        for parent in candidates {
            match parent.try_out() {
                Ok(()) => return Ok(parent),
                Err(e) => why = format!("{}: {e}", parent.path.display()),
            }
        }
        Err(format!(
            "The portal may not make control groups with a memory limit ({why}). Under systemd, Delegate=memory and DelegateSubgroup=portal in the portal's service allow it."
        ))
    }

    /// Makes a group with a limit and removes it again: permissions and controllers have too many ways to be wrong to guess them.
    fn try_out(&self) -> io::Result<()> {
        if self.version == Version::Two {
            let word = |file: &str| -> io::Result<bool> {
                Ok(std::fs::read_to_string(self.path.join(file))?.split_whitespace().any(|w| w == "memory"))
            };
            if !word("cgroup.controllers")? {
                return Err(io::Error::other("its memory controller is not handed on to this group"));
            }
            if !word("cgroup.subtree_control")? {
                std::fs::write(self.path.join("cgroup.subtree_control"), "+memory")?;
            }
        }
        self.make(&format!("atelier-try-{}", std::process::id()), 1 << 30)?.remove()
    }

    /// `name`: of one path part. A group that a killed supervisor left behind is taken again.
    pub fn make(&self, name: &str, bytes: u64) -> io::Result<Group> {
        let group = Group { path: self.path.join(name), version: self.version };
        match std::fs::create_dir(&group.path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let limited = group.limit(bytes);
        if limited.is_err() {
            let _ = std::fs::remove_dir(&group.path);
        }
        limited.map(|()| group)
    }
}

impl Group {
    /// As its supervisor wrote it down.
    pub fn at(path: &Path) -> Self {
        let version = if path.join("cgroup.controllers").exists() { Version::Two } else { Version::One };
        Self { path: path.to_owned(), version }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn limit(&self, bytes: u64) -> io::Result<()> {
        let set = |file: &str, value: &str| std::fs::write(self.path.join(file), value);
        match self.version {
            Version::Two => {
                set("memory.max", &bytes.to_string())?;
                // Without these a task would swap instead of ending, or lose one process and wait for it for ever. A kernel without
                // swap accounting lacks the first.
                let _ = set("memory.swap.max", "0");
                set("memory.oom.group", "1")
            }
            Version::One => {
                set("memory.limit_in_bytes", &bytes.to_string())?;
                let _ = set("memory.memsw.limit_in_bytes", &bytes.to_string());
                Ok(())
            }
        }
    }

    /// Whoever writes `0` into it is in the group from then on, with all that it starts.
    pub fn entrance(&self) -> io::Result<std::fs::File> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Whether the kernel has killed something here because the limit was reached.
    pub fn ran_out(&self) -> bool {
        let file = match self.version {
            Version::Two => "memory.events",
            Version::One => "memory.oom_control",
        };
        let text = std::fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.lines().filter_map(|l| l.strip_prefix("oom_kill ")).any(|n| n.trim().parse::<u64>().is_ok_and(|n| n > 0))
    }

    /// After its last process. One that is not there: fine.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Where groups might be made, best first. `mounts`: /proc/self/mountinfo, `own`: /proc/self/cgroup.
fn candidates(mounts: &str, own: &str) -> Vec<Parent> {
    let mut out = Vec::new();
    for line in own.lines() {
        // `0::/user.slice` or `4:memory:/user.slice`
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let version = match controllers {
            "" => Version::Two,
            some if some.split(',').any(|c| c == "memory") => Version::One,
            _ => continue,
        };
        let Some((root, mounted)) = mounts.lines().find_map(|l| mount(l, version)) else { continue };
        let Ok(inside) = Path::new(group).strip_prefix(&root) else { continue };
        let ours = mounted.join(inside);
        out.push(Parent { path: ours.clone(), version });
        if version == Version::Two
            && inside.parent().is_some()
            && let Some(above) = ours.parent()
        {
            out.push(Parent { path: above.to_owned(), version });
        }
    }
    // A machine with both has its memory controller in one of them only; the probe finds out which.
    out.sort_by_key(|p| p.version == Version::One);
    out
}

/// `36 35 98:0 / /sys/fs/cgroup rw,noatime shared:1 - cgroup2 cgroup2 rw`: the root within the hierarchy, and where it is mounted.
fn mount(line: &str, version: Version) -> Option<(PathBuf, PathBuf)> {
    let (head, tail) = line.split_once(" - ")?;
    let mut tail = tail.split(' ');
    let (kind, options) = (tail.next()?, tail.nth(1)?);
    let fits = match version {
        Version::Two => kind == "cgroup2",
        Version::One => kind == "cgroup" && options.split(',').any(|o| o == "memory"),
    };
    let mut head = head.split(' ').skip(3);
    fits.then_some((head.next()?.into(), head.next()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(mounts: &str, own: &str) -> Vec<(String, Version)> {
        candidates(mounts, own).into_iter().map(|p| (p.path.display().to_string(), p.version)).collect()
    }

    #[test]
    fn a_service_of_a_present_system_makes_groups_in_its_own_or_beside_it() {
        let mounts = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            paths(mounts, "0::/system.slice/atelier.service/portal\n"),
            [
                ("/sys/fs/cgroup/system.slice/atelier.service/portal".into(), Version::Two),
                ("/sys/fs/cgroup/system.slice/atelier.service".into(), Version::Two)
            ]
        );
        assert_eq!(paths(mounts, "0::/\n"), [("/sys/fs/cgroup/".into(), Version::Two)]);
    }

    #[test]
    fn a_machine_with_both_versions_is_asked_for_both() {
        let mounts = "31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      33 23 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      34 23 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        let found = paths(mounts, "4:memory:/jobs/7\n1:cpu:/\n0::/\n");
        assert_eq!(found, [("/sys/fs/cgroup/unified/".into(), Version::Two), ("/sys/fs/cgroup/memory/jobs/7".into(), Version::One)]);
    }

    #[test]
    fn a_container_sees_its_own_part_of_the_hierarchy_only() {
        let mounts = "29 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup rw,memory rw,memory";
        assert_eq!(paths(mounts, "4:memory:/docker/abc/x\n"), [("/sys/fs/cgroup/x".into(), Version::One)]);
        assert_eq!(paths(mounts, "4:memory:/elsewhere\n"), []);
        assert_eq!(paths("", "0::/\n"), []);
    }

    /// What is written into a group of version 2, on files that stand for it: not every machine that runs the tests has it.
    #[test]
    fn a_group_of_version_two_ends_whole_and_does_not_swap() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group { path: folder.path().to_owned(), version: Version::Two };
        group.limit(4096).unwrap();
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!((read("memory.max"), read("memory.swap.max"), read("memory.oom.group")), ("4096".into(), "0".into(), "1".into()));
        std::fs::write(folder.path().join("memory.events"), "low 0\nmax 7\noom 1\noom_kill 0\n").unwrap();
        assert!(!group.ran_out(), "the limit was reached, and the kernel found memory");
        std::fs::write(folder.path().join("memory.events"), "low 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 1\n").unwrap();
        assert!(group.ran_out());
    }
}
