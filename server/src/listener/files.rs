//! Open files: a socket is one, and a portal that has none left answers nobody.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For the database, logs, browser files, uploads, and the sockets that are being turned away.
const RESERVED: u64 = 192;

/// Raises this process's limit of open files to what the system allows it; gives the limit that holds.
pub fn raise_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1_024 };
    // Some systems say "unlimited" and then refuse it.
    let wanted = hard.min(1 << 20);
    if soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err() {
        return soft;
    }
    wanted
}

/// Connections that leave enough files for the work they ask for: each may need a second file (a model server, an upload).
pub fn connections_that_fit(files: u64) -> usize {
    usize::try_from(files.saturating_sub(RESERVED) / 2).unwrap_or(usize::MAX).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_work_behind_them() {
        assert_eq!(connections_that_fit(1_024), 416);
        assert_eq!(connections_that_fit(100), 16);
        assert!(connections_that_fit(1 << 20) > 500_000);
    }
}
