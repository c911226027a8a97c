//! This process as Linux sees it, under the names that every Prometheus client uses. What cannot be read is left out.

use nix::{
    sys::resource::{Resource, UsageWho, getrlimit, getrusage},
    sys::time::TimeVal,
};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// Bytes in memory.
    pub resident: Option<u64>,
    pub open_files: Option<u64>,
    pub most_files: Option<u64>,
    /// Of all threads, in the program and in the kernel for it.
    pub cpu: Option<Duration>,
}

impl Process {
    pub fn now() -> Self {
        Self {
            resident: resident(),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            most_files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            cpu: getrusage(UsageWho::RUSAGE_SELF).ok().and_then(|used| Some(time(used.user_time())? + time(used.system_time())?)),
        }
    }
}

/// `VmRSS:      12345 kB`
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn time(value: TimeVal) -> Option<Duration> {
    Some(Duration::new(value.tv_sec().try_into().ok()?, u32::try_from(value.tv_usec()).ok()? * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_files_and_has_used_some_time() {
        let process = Process::now();
        assert!(process.resident.unwrap() > 1_000_000 && process.cpu.unwrap() > Duration::ZERO, "{process:?}");
        assert!(process.open_files.unwrap() >= 3 && process.open_files < process.most_files, "{process:?}");
    }
}
