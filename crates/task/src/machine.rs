//! What this machine offers: Python environments (told by the portal in the environment) and a GPU (looked for).

use domain::reason::failure::{Cause, Failure};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

pub struct Machine {
    trainer_python: Option<PathBuf>,
    vllm_python: Option<PathBuf>,
    pub gpu: bool,
    pub nodes: Nodes,
}

/// Which process this is of those of one task, each on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    pub count: u32,
    /// From 0.
    pub rank: u32,
    /// The host of the first.
    pub first: String,
}

/// Where the processes of a training meet, on the first node.
const MEETING_PORT: u16 = 29500;
/// What a pod's network interface is called.
const INTERFACE: &str = "eth0";

impl Nodes {
    fn look(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| variable(name).and_then(|n| n.parse::<u32>().ok());
        let count = number("ATELIER_NODES").unwrap_or(1).max(1);
        let rank = if count > 1 { number("JOB_COMPLETION_INDEX").unwrap_or(0) } else { 0 };
        Self { count, rank, first: variable("ATELIER_FIRST_NODE").unwrap_or_default() }
    }

    /// The one that reports, stores and judges; the others only compute.
    pub const fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// What LLaMA-Factory's launcher reads; nothing for one node.
    pub fn environment(&self, gpu: bool) -> Vec<(String, String)> {
        if self.count == 1 {
            return Vec::new();
        }
        let mut out = vec![
            ("FORCE_TORCHRUN", "1".to_owned()),
            ("NNODES", self.count.to_string()),
            ("NODE_RANK", self.rank.to_string()),
            ("MASTER_ADDR", self.first.clone()),
            ("MASTER_PORT", MEETING_PORT.to_string()),
        ];
        if !gpu {
            out.push(("NPROC_PER_NODE", "1".to_owned()));
            // accelerate calls the CPU of several processes `cpu:0`, and torch loads no checkpoint there: it knows `cpu` alone.
            out.push(("ACCELERATE_TORCH_DEVICE", "cpu".to_owned()));
            if Path::new("/sys/class/net").join(INTERFACE).exists() {
                out.push(("GLOO_SOCKET_IFNAME", INTERFACE.to_owned()));
            }
        }
        out.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What a GPU program needs to find its devices and libraries; passed on where set.
const GPU_VARIABLES: [&str; 5] =
    ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "LD_LIBRARY_PATH", "CUDA_HOME"];

impl Machine {
    pub fn look() -> Self {
        let named = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        // In a container: whatever the image calls so, where the image does not say which one.
        let usual = named("ATELIER_PYTHON").and_then(|program| found_in(&named("PATH")?, &program));
        let python = |name: &str| named(name).map(PathBuf::from).or_else(|| usual.clone());
        let gpu = match std::env::var("ATELIER_DEVICE").as_deref() {
            Ok("cpu") => false,
            Ok("gpu") => true,
            // The device file is there exactly when the driver is loaded; containers get it too.
            _ => Path::new("/dev/nvidia0").exists() || nvidia_smi_lists_one(),
        };
        let nodes = Nodes::look(|name| std::env::var(name).ok());
        Self { trainer_python: python("ATELIER_TRAINER_PYTHON"), vllm_python: python("ATELIER_VLLM_PYTHON"), gpu, nodes }
    }

    pub fn trainer_python(&self) -> Result<&Path, Failure> {
        present(self.trainer_python.as_deref(), "trainer", "ATELIER_TRAINER_PYTHON")
    }
    pub fn vllm_python(&self) -> Result<&Path, Failure> {
        present(self.vllm_python.as_deref(), "model server", "ATELIER_VLLM_PYTHON")
    }

    /// A clean environment for a program: upstream reads dozens of variables, and none of them may come from outside.
    /// `folder`: its home, private to the task, so that caches of one tenant never serve another.
    pub fn environment(&self, python: &Path, folder: &Path) -> Vec<(String, String)> {
        let text = |p: &Path| p.to_string_lossy().into_owned();
        let programs = python.parent().map(text).unwrap_or_default();
        let mut out = vec![
            ("PATH".into(), format!("{programs}:/usr/local/bin:/usr/bin:/bin")),
            ("HOME".into(), text(folder)),
            // PyTorch asks for the user's name, and in a container its number may have none.
            ("USER".into(), "atelier".into()),
            ("HF_HOME".into(), text(&folder.join("hf"))),
            ("TMPDIR".into(), text(&folder.join("tmp"))),
            ("LANG".into(), "C.UTF-8".into()),
            ("HF_HUB_OFFLINE".into(), "1".into()),
            ("HF_HUB_DISABLE_TELEMETRY".into(), "1".into()),
            ("DO_NOT_TRACK".into(), "1".into()),
            ("PYTHONUNBUFFERED".into(), "1".into()),
            ("OMP_WAIT_POLICY".into(), "PASSIVE".into()),
        ];
        if self.gpu {
            out.extend(GPU_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))));
        }
        out
    }
}

fn found_in(path: &OsStr, program: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn present<'a>(python: Option<&'a Path>, what: &str, variable: &str) -> Result<&'a Path, Failure> {
    match python {
        Some(path) if path.exists() => Ok(path),
        Some(path) => {
            Err(Failure::of(Cause::NotInstalled { what: what.into(), path: Some(path.display().to_string().into()), variable: None }))
        }
        None => Err(Failure::of(Cause::NotInstalled { what: what.into(), path: None, variable: Some(variable.into()) })),
    }
}

fn nvidia_smi_lists_one() -> bool {
    std::process::Command::new("nvidia-smi").arg("-L").output().is_ok_and(|o| o.status.success() && o.stdout.starts_with(b"GPU"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(first.path().join("python3")).unwrap();
        std::fs::write(second.path().join("python3"), "").unwrap();
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        assert_eq!(found_in(&path, OsStr::new("python3")), Some(second.path().join("python3")), "a folder is no program");
        assert_eq!(found_in(&path, OsStr::new("python4")), None);
    }

    #[test]
    fn each_process_of_several_nodes_is_told_which_it_is_and_where_they_meet() {
        let of = |variables: &[(&str, &str)]| {
            let variables: Vec<(String, String)> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Nodes::look(move |name| variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        let alone = of(&[("JOB_COMPLETION_INDEX", "3")]);
        assert!(alone.is_first() && alone.environment(false).is_empty());
        let second = of(&[("ATELIER_NODES", "2"), ("JOB_COMPLETION_INDEX", "1"), ("ATELIER_FIRST_NODE", "run-1-train-0.run-1-train")]);
        assert!(!second.is_first());
        let told = second.environment(true);
        let named = |name: &str| told.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let names = ["FORCE_TORCHRUN", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "NPROC_PER_NODE"];
        let expected = [Some("1"), Some("2"), Some("1"), Some("run-1-train-0.run-1-train"), Some("29500"), None];
        assert_eq!(names.map(named), expected);
        for told in [("NPROC_PER_NODE", "1"), ("ACCELERATE_TORCH_DEVICE", "cpu")] {
            assert!(
                second.environment(false).contains(&(told.0.into(), told.1.into())),
                "a CPU is one process, and has no number: {told:?}"
            );
        }
    }
}
