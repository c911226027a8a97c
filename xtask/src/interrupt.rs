//! Ctrl-C, SIGTERM and a closed terminal. They are heard from the first moment and end nothing by themselves: whoever waits for
//! something asks here, returns [`Interrupted`], and what was started is stopped on the way out.

use anyhow::{Result, bail};
use std::{
    io::Write,
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// What shells expect of a program that was interrupted.
pub const STATUS: u8 = 130;
/// How often a wait looks whether it shall go on.
const LOOK: Duration = Duration::from_millis(50);
/// How long a program that was told to end may take.
const PATIENCE: Duration = Duration::from_secs(10);

static LISTENING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// A person asked to end. Not a fault.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From now on a signal is a question that [`check`] answers.
pub fn listen() -> Result<()> {
    if LISTENING.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        say(if ask() { "Stopping already; a model server takes up to a minute." } else { "\nInterrupted." });
    })?;
    Ok(())
}

/// Asks everything that waits to end; says whether it was asked before.
pub fn ask() -> bool {
    ASKED.swap(true, Ordering::AcqRel)
}

pub fn asked() -> bool {
    ASKED.load(Ordering::Acquire)
}

pub fn check() -> Result<()> {
    if asked() { bail!(Interrupted) } else { Ok(()) }
}

/// After a program of ours has failed: Ctrl-C goes to it as well, and it may be quicker than our own ear.
pub fn explains_a_failure() -> Result<()> {
    if LISTENING.load(Ordering::Acquire) {
        sleep(LOOK);
    }
    check()
}

/// The end of a program that we started; told to end when we are.
pub fn end_of(child: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                explains_a_failure()?;
            }
            return Ok(status);
        }
        if asked() {
            end(child, PATIENCE)?;
            bail!(Interrupted);
        }
        sleep(LOOK);
    }
}

/// SIGTERM, and SIGKILL for what does not listen.
pub fn end(child: &mut Child, patience: Duration) -> Result<()> {
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let until = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
        }
        sleep(LOOK);
    }
    Ok(())
}

/// A line for the person, who may have closed the terminal: stopping must go on all the same.
pub fn say(words: &str) {
    let _ = writeln!(std::io::stdout(), "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_ended_even_when_it_does_not_listen() {
        let mut polite = Command::new("sleep").arg("60").spawn().unwrap();
        let began = Instant::now();
        end(&mut polite, Duration::from_secs(30)).unwrap();
        let mut deaf = Command::new("sh").args(["-c", "trap '' TERM; echo; while :; do sleep 0.05; done"]).spawn().unwrap();
        sleep(Duration::from_millis(200));
        end(&mut deaf, Duration::from_millis(300)).unwrap();
        assert!(polite.try_wait().unwrap().is_some() && deaf.try_wait().unwrap().is_some());
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
