//! A program that the task starts: its lines, its end, and how it is stopped. It never outlives the task.

use std::{fmt, io, os::unix::process::ExitStatusExt, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

/// Longest line that is kept, in bytes; a program that never ends its line must not fill the memory.
const LONGEST: usize = 64 * 1024;

/// SIGTERM or SIGINT to this process: stop what runs, then say so.
#[derive(Clone)]
pub struct StopSign(watch::Receiver<bool>);

impl StopSign {
    pub fn listen() -> io::Result<Self> {
        let (tell, told) = watch::channel(false);
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            tell.send_replace(true);
            // Kept, so that waiting never ends for another reason.
            tell.closed().await;
        });
        Ok(Self(told))
    }
    pub async fn asked(&self) {
        let mut told = self.0.clone();
        if told.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    Signal(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl From<std::process::ExitStatus> for Ended {
    fn from(status: std::process::ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}

pub struct Program {
    child: Child,
    group: i32,
    ended: Option<Ended>,
    lines: mpsc::Receiver<(Stream, String)>,
}

/// What a program does next.
pub enum Next {
    Line(Stream, String),
    Ended(Ended),
}

impl Program {
    /// Starts it in a process group of its own, with both streams read line by line.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let parent = std::process::id();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        // SAFETY: only system calls that are allowed between fork and exec.
        unsafe {
            command.pre_exec(move || {
                // Dies with this task, whatever kills it: a trainer that nobody watches would run on for days.
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                if nix::unistd::getppid().as_raw().cast_unsigned() != parent {
                    return Err(io::Error::other("the task is gone"));
                }
                Ok(())
            });
        }
        let mut child = command.spawn()?;
        let group = child.id().map_or(0, u32::cast_signed);
        let (tell, lines) = mpsc::channel(1024);
        if let Some(out) = child.stdout.take() {
            tokio::spawn(read_lines(out, Stream::Out, tell.clone()));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(read_lines(err, Stream::Err, tell));
        }
        Ok(Self { child, group, ended: None, lines })
    }

    /// The next line, or the end once all lines were given. Safe to drop and call again.
    pub async fn next(&mut self) -> io::Result<Next> {
        let ended = match self.ended {
            Some(ended) => ended,
            None => tokio::select! {
                biased;
                Some((stream, line)) = self.lines.recv() => return Ok(Next::Line(stream, line)),
                status = self.child.wait() => {
                    let ended = Ended::from(status?);
                    self.ended = Some(ended);
                    // What it started and left behind ends with it.
                    self.signal(KILL);
                    ended
                }
            },
        };
        // Someone may still hold the streams open; what they say counts for a moment only.
        match tokio::time::timeout(Duration::from_secs(2), self.lines.recv()).await {
            Ok(Some((stream, line))) => Ok(Next::Line(stream, line)),
            _ => Ok(Next::Ended(ended)),
        }
    }

    /// SIGTERM, and nothing more: [`Program::next`] tells what follows.
    pub fn ask_to_stop(&self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
    }

    /// SIGTERM, then SIGKILL to everything it started. Lines said meanwhile are dropped.
    pub async fn stop(&mut self, grace: Duration) -> io::Result<Ended> {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let drain = async {
            loop {
                if let Next::Ended(ended) = self.next().await? {
                    return Ok::<_, io::Error>(ended);
                }
            }
        };
        if let Ok(ended) = tokio::time::timeout(grace, drain).await {
            return ended;
        }
        self.signal(KILL);
        Ok(self.child.wait().await?.into())
    }

    /// To the whole group; one that is gone is fine.
    fn signal(&self, signal: nix::sys::signal::Signal) {
        if self.group > 1 {
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.group), signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(KILL);
        }
    }
}

const KILL: nix::sys::signal::Signal = nix::sys::signal::Signal::SIGKILL;

/// Splits at `\n` and at `\r` (progress bars), drops terminal codes and empty lines, and reads wrong UTF-8 as well as it can.
async fn read_lines(mut from: impl AsyncRead + Unpin, stream: Stream, tell: mpsc::Sender<(Stream, String)>) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let complete = if read == 0 { lines.rest().into_iter().collect() } else { lines.take(&buffer[..read]) };
        for line in complete {
            if tell.send((stream, line)).await.is_err() {
                return;
            }
        }
        if read == 0 {
            return;
        }
    }
}

#[derive(Default)]
struct Lines {
    torn: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                out.extend(self.rest());
            } else if self.torn.len() < LONGEST {
                self.torn.push(byte);
            }
        }
        out
    }
    fn rest(&mut self) -> Option<String> {
        let line = plain(&String::from_utf8_lossy(&std::mem::take(&mut self.torn)));
        (!line.trim().is_empty()).then_some(line)
    }
}

/// Without `ESC [ ... letter` and other control characters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines_are_told_apart_and_codes_are_dropped() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\r\n 50%|#"), ["one"]);
        assert_eq!(lines.take(b"#|\r100%|##|\x1b[A\n\n\x1b[31mred\x1b[0m"), [" 50%|##|", "100%|##|"]);
        assert_eq!(lines.rest().as_deref(), Some("red"));
        assert_eq!(lines.take(&vec![b'a'; LONGEST * 2]), Vec::<String>::new());
        assert_eq!(lines.take(b"\n")[0].len(), LONGEST);
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn all_lines_come_before_the_end() {
        let mut program = Program::start(sh("for i in 1 2 3; do echo $i; done; echo e >&2; exit 4")).unwrap();
        let mut said = Vec::new();
        let ended = loop {
            match program.next().await.unwrap() {
                Next::Line(_, line) => said.push(line),
                Next::Ended(ended) => break ended,
            }
        };
        said.sort();
        assert_eq!((said.join(" "), ended), ("1 2 3 e".into(), Ended::Exit(4)));
    }

    #[tokio::test]
    async fn who_does_not_stop_is_killed() {
        let mut program = Program::start(sh("trap '' TERM; while :; do sleep 0.05; done")).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(program.stop(Duration::from_millis(200)).await.unwrap(), Ended::Signal(9));
        let mut program = Program::start(sh("trap 'exit 7' TERM; while :; do sleep 0.05; done")).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(program.stop(Duration::from_secs(20)).await.unwrap(), Ended::Exit(7));
    }
}
