//! Processes of this machine, as /proc shows them, and the few system calls that the standard library does not have.

use std::{
    io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::Command,
};

pub struct Stat {
    pub state: char,
    pub session: i32,
    /// Clock ticks since the machine started.
    pub start_time: u64,
}

impl Stat {
    /// Ended, only nobody has taken its status yet.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// `None` = there is no such process.
pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state ppid pgrp session ... starttime(22) ...`; the name may hold blanks and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_time = fields.nth(15)?.parse().ok()?;
    Some(Stat { state, session, start_time })
}

/// Another one after every restart of the machine.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

/// A process that is gone is fine.
pub fn signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill has no memory effects.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            e => Err(e),
        },
    }
}

/// Kills every process of a session; how many there were.
///
/// The kernel gives a session's number to no new process while one of the session lives, so members are ours, unless the number
/// was given away after all of them had ended: then a process with exactly this number leads the session, and it is not touched
/// (callers pass the leader in `except`, or know that it is dead).
pub fn kill_session(session: i32, except: &[i32]) -> usize {
    if session <= 1 || (!except.contains(&session) && stat(session).is_some_and(|s| !s.is_dead())) {
        return 0;
    }
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let members = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| !except.contains(pid) && stat(*pid).is_some_and(|s| s.session == session && !s.is_dead()));
    members.filter(|pid| signal(*pid, libc::SIGKILL).is_ok()).count()
}

/// The process gets a session of its own, default signals, and none of our files.
pub fn detach(command: &mut Command) {
    // SAFETY: between fork and exec only system calls that are allowed there.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() == -1 {
                return Err(io::Error::last_os_error());
            }
            plain_signals_and_files();
            Ok(())
        });
    }
}

/// The process gets a group of its own and dies with the thread that starts it.
pub fn attach(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: as above.
    unsafe {
        command.process_group(0).pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the line above.
            if libc::getppid().cast_unsigned() != parent {
                return Err(io::Error::other("the supervisor is gone"));
            }
            plain_signals_and_files();
            Ok(())
        });
    }
}

/// The process is in the control group of this `cgroup.procs` before it becomes the command.
pub fn enter(command: &mut Command, entrance: std::fs::File) {
    // SAFETY: as above.
    unsafe {
        command.pre_exec(move || match libc::write(entrance.as_raw_fd(), b"0".as_ptr().cast(), 1) {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Signals that the starter ignores or blocks would stay so in the program; files that it was given without "close on exec" too.
fn plain_signals_and_files() {
    // SAFETY: these calls change only this process, which is about to become another program.
    unsafe {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD, libc::SIGPIPE, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2]
        {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        // CLOSE_RANGE_CLOEXEC = 4. An old kernel refuses; what the standard library opens is closed anyway.
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 4_u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_shift_the_fields() {
        let s = parse_stat("42 (a) b (c)) S 1 42 41 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0").unwrap();
        assert_eq!((s.state, s.session, s.start_time), ('S', 41, 987_654));
        assert!(parse_stat("").is_none() && parse_stat("42 (a) S 1").is_none());
    }

    #[test]
    fn a_session_whose_leader_lives_is_only_touched_by_who_knows_the_leader() {
        let me = stat(std::process::id().cast_signed()).unwrap();
        if stat(me.session).is_some() {
            assert_eq!(kill_session(me.session, &[]), 0, "this test would have killed its own session");
        }
    }
}
