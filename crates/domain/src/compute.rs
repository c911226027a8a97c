//! What the tasks of a tenant may use of the machines, all at once.

use crate::{counted::counted, problem::FieldProblem, size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Nothing said of a resource = no limit. What runs when a limit is lowered goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compute {
    /// Whole GPUs, of any product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Slices of GPUs by their profile, as NVIDIA names it: `1g.10gb`. Only a cluster has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mig: BTreeMap<String, u32>,
    /// Cores that are asked for; what is free beyond that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of the machines' own disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

impl Compute {
    /// Of GPUs, of slices of one profile, of cores.
    pub const MOST: u32 = 100_000;
    /// Profiles of one tenant; NVIDIA's largest card has fewer.
    const MOST_PROFILES: usize = 20;

    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    pub fn check(&self) -> Vec<FieldProblem> {
        let mut wrong = Vec::new();
        let most = Self::MOST;
        for (field, count, what) in [("gpus", self.gpus, "GPUs"), ("cpu", self.cpu, "cores")] {
            if count.is_some_and(|n| n > most) {
                wrong.push(FieldProblem::new(field, format!("At most {most} {what}.")).suggesting(most.to_string()));
            }
        }
        for (field, bytes) in [("memory_gb", self.memory), ("disk_gb", self.disk)] {
            if bytes.is_some_and(|n| n > i64::MAX as u64) {
                wrong.push(FieldProblem::new(field, "That is more than can be counted."));
            }
        }
        if self.mig.len() > Self::MOST_PROFILES {
            wrong.push(FieldProblem::new("mig", format!("At most {} profiles.", Self::MOST_PROFILES)));
        }
        for (profile, count) in &self.mig {
            if !is_profile(profile) {
                let sentence = format!("“{}” is no profile of a GPU slice.", profile.chars().take(40).collect::<String>());
                wrong.push(FieldProblem::new("mig", sentence).suggesting("1g.10gb = 2"));
            } else if *count > most {
                wrong.push(FieldProblem::new("mig", format!("At most {most} slices of {profile}.")));
            }
        }
        wrong
    }

    /// Profiles and their counts, one a line: `1g.10gb = 2`.
    pub fn read_mig(text: &str) -> Result<BTreeMap<String, u32>, Vec<FieldProblem>> {
        let (mut read, mut wrong) = (BTreeMap::new(), Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let parts = line.split_once('=').and_then(|(profile, count)| Some((profile.trim(), count.trim().parse::<u32>().ok()?)));
            match parts {
                Some((profile, count)) => {
                    read.insert(profile.to_lowercase(), count);
                }
                None => {
                    let sentence = format!("“{}” must be a profile, then = and a number.", line.chars().take(40).collect::<String>());
                    wrong.push(FieldProblem::new("mig", sentence).suggesting("1g.10gb = 2"));
                }
            }
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }

    /// One a line, as [`Compute::read_mig`] reads them.
    pub fn mig_lines(&self) -> String {
        self.mig.iter().map(|(profile, count)| format!("{profile} = {count}")).collect::<Vec<_>>().join("\n")
    }

    /// Each limit: `2 GPUs`, `64 GB of memory`; empty where there is none.
    pub fn said(&self) -> Vec<String> {
        let gpus = self.gpus.map(|n| counted(n.into(), "GPU", "GPUs"));
        let mig = self.mig.iter().map(|(profile, n)| format!("{n} × MIG {profile}"));
        let cpu = self.cpu.map(|n| counted(n.into(), "CPU core", "CPU cores"));
        let memory = self.memory.map(|n| format!("{} of memory", size::bytes(n)));
        let disk = self.disk.map(|n| format!("{} of disk", size::bytes(n)));
        gpus.into_iter().chain(mig).chain(cpu).chain(memory).chain(disk).collect()
    }
}

/// It becomes a part of a resource's name: `requests.nvidia.com/mig-1g.10gb`.
pub(crate) fn is_profile(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_read_a_line_each_and_what_is_none_is_named() {
        let read = Compute::read_mig(" 1g.10gb = 4\n\n3G.40GB=1 ").unwrap();
        let compute = Compute { mig: read, ..Compute::default() };
        assert_eq!(compute.mig_lines(), "1g.10gb = 4\n3g.40gb = 1");
        assert_eq!(Compute::read_mig(&compute.mig_lines()).unwrap(), compute.mig, "what is shown reads back");
        assert_eq!(compute.check(), []);
        assert_eq!(Compute::read_mig("1g.10gb\n1g.10gb = many\n1g.10gb = -1").unwrap_err().len(), 3);
        for bad in ["", "gpu", "1g.10gb/x", "1g 10gb", "1g.10gb.", &format!("1{}", "g".repeat(40))] {
            let mig = BTreeMap::from([(bad.to_owned(), 1)]);
            assert_eq!(Compute { mig, ..Compute::default() }.check().len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_limit_that_nobody_set_is_not_written_down_and_what_was_written_before_has_none() {
        assert_eq!(serde_json::to_string(&Compute::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<Compute>("{}").unwrap().is_unlimited());
        let two = Compute { gpus: Some(2), ..Compute::default() };
        assert_eq!(serde_json::to_string(&two).unwrap(), r#"{"gpus":2}"#);
        assert_eq!((two.said(), two.is_unlimited()), (vec!["2 GPUs".to_owned()], false));
        assert_eq!(Compute { gpus: Some(Compute::MOST + 1), memory: Some(u64::MAX), ..two }.check().len(), 2);
    }
}
