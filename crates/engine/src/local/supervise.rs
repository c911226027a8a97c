//! The process between the portal and the command: it outlives the portal, keeps the grace time of a stop, and writes down how the
//! command ended. `atelier task supervise --folder DIR`.

use super::{
    because,
    folder::{Exit, Folder, Started},
    process,
};
use crate::Error;
use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicI32, Ordering},
    time::{Duration, Instant},
};

/// Runs the task of this folder to its end. Returns the exit code for this process: 0 = the command ended and that is written down
/// (however it ended), or another supervisor has the task; 1 = it could not be started, the reason is on stderr.
///
/// Call it from a thread that lives as long as the process: the command is killed when the thread ends.
pub fn supervise(folder: &Path) -> i32 {
    match Folder::at(folder).and_then(|folder| run(&folder)) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("supervisor: {e}");
            1
        }
    }
}

fn run(folder: &Folder) -> Result<(), Error> {
    let signals = Signals::catch().map_err(because("catching signals"))?;
    let applied = folder.applied()?.ok_or_else(|| Error::Unknown(folder.name().to_owned()))?;
    let launch = folder.launch()?;
    // Children whose parent dies become ours, so that none is left when the command has ended.
    // SAFETY: prctl has no memory effects.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };

    let streams = folder.append("output").and_then(|output| Ok((output, folder.append("errors")?)));
    let (output, errors) = streams.map_err(because(format!("opening the output of {}", folder.name())))?;
    let mut command = Command::new(&launch.program);
    command.args(&applied.task.args).arg("--spec").arg(folder.path().join("spec.json"));
    if let Some(port) = launch.port {
        command.arg("--port").arg(port.to_string());
    }
    command.env_clear().envs(folder.environment(&applied.task.env)).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    process::attach(&mut command);

    let myself = Started::myself().map_err(because("looking at /proc"))?;
    if !folder.claim(&myself)? {
        return Ok(());
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            // 127 is what shells say of a command that is not there.
            folder.ended(&Exit { code: Some(127), signal: None })?;
            return Err(because(format!("starting {}", launch.program.display()))(e));
        }
    };
    let status = wait(&mut child, folder, &signals).map_err(because("waiting for the command"))?;
    // What the command started and left behind ends with it.
    let me = myself.pid;
    let until = Instant::now() + Duration::from_secs(5);
    while process::kill_session(me, &[me]) > 0 && Instant::now() < until {
        reap_strangers();
        std::thread::sleep(Duration::from_millis(2));
    }
    folder.ended(&Exit { code: status.code(), signal: status.signal() })
}

/// Waits for the command. SIGTERM to us goes on to its group; when the grace time is over, all its processes are killed.
fn wait(child: &mut std::process::Child, folder: &Folder, signals: &Signals) -> io::Result<ExitStatus> {
    let group = child.id().cast_signed();
    let mut deadline: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        reap_strangers_but(group);
        let asked = signals.wait(deadline.map(|d| d.saturating_duration_since(Instant::now())))?;
        if asked {
            // Asked again: only an earlier end counts.
            let end = Instant::now() + folder.grace().min(Duration::from_secs(86_400));
            deadline = Some(deadline.map_or(end, |d| d.min(end)));
            process::signal(-group, libc::SIGTERM)?;
        }
        if deadline.is_some_and(|d| Instant::now() >= d) {
            let me = std::process::id().cast_signed();
            process::kill_session(me, &[me]);
            // Look again soon; a process in the kernel's hands takes a moment.
            deadline = Some(Instant::now() + Duration::from_millis(100));
        }
    }
}

fn reap_strangers() {
    reap_strangers_but(0);
}

/// Takes the status of children that were handed to us, but not that of the command itself.
fn reap_strangers_but(command: i32) {
    loop {
        // SAFETY: `info` is plain memory that waitid fills; WNOWAIT leaves the child as it is.
        let pid = unsafe {
            let mut info = std::mem::zeroed::<libc::siginfo_t>();
            if libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) != 0 {
                return;
            }
            info.si_pid()
        };
        if pid == 0 || pid == command {
            return;
        }
        // SAFETY: waitpid without a status pointer.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}

/// SIGTERM, SIGINT, SIGHUP and SIGCHLD as bytes in a pipe: works in whatever thread they arrive.
struct Signals {
    pipe: OwnedFd,
}

static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(signal: libc::c_int) {
    let byte = [u8::try_from(signal).unwrap_or(0)];
    // SAFETY: write is allowed in a signal handler; the pipe does not block, and a full pipe already wakes the reader.
    unsafe { libc::write(PIPE.load(Ordering::Relaxed), byte.as_ptr().cast(), 1) };
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let (pipe, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
        PIPE.store(write.as_raw_fd(), Ordering::Relaxed);
        // The handler writes to it until the process ends.
        std::mem::forget(write);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD] {
            // SAFETY: the handler does nothing but write.
            unsafe {
                let mut action = std::mem::zeroed::<libc::sigaction>();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_RESTART;
                if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(Self { pipe })
    }

    /// Until a signal comes or the time is over. True = we were asked to end.
    fn wait(&self, at_most: Option<Duration>) -> io::Result<bool> {
        let timeout = at_most.map_or(-1, |d| i32::try_from(d.as_millis() + 1).unwrap_or(i32::MAX));
        let mut poll = libc::pollfd { fd: self.pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        if unsafe { libc::poll(&raw mut poll, 1, timeout) } < 0 {
            let e = io::Error::last_os_error();
            return if e.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(e) };
        }
        let mut bytes = [0_u8; 64];
        let read = match nix::unistd::read(&self.pipe, &mut bytes) {
            Ok(n) => n,
            Err(nix::errno::Errno::EAGAIN) => 0,
            Err(e) => return Err(e.into()),
        };
        Ok(bytes[..read].iter().any(|b| i32::from(*b) != libc::SIGCHLD))
    }
}
