//! `make dev`: builds, starts the portal, and does both again when a source file changes. Looking at times twice a second is enough
//! and needs nothing from the system.

use crate::{
    envs,
    web::{site, web},
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

const LOOK: Duration = Duration::from_millis(400);
/// What the browser's file is made of.
const BROWSER: [&str; 4] = ["app/src", "frontend/src", "crates/domain/src", "style"];
/// What the program is made of, beside that.
const PROGRAM: [&str; 6] = ["server/src", "crates/platform/src", "crates/engine/src", "crates/gateway/src", "crates/task", "migrations"];

/// `args` go to `atelier serve`. Never returns but with an error.
pub fn dev(args: &[String]) -> Result<()> {
    let mut running: Option<Child> = None;
    let (mut browser, mut program) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
    loop {
        let now = (newest(&BROWSER), newest(&PROGRAM));
        if now == (browser, program) {
            if let Some(child) = &mut running
                && let Some(status) = child.try_wait()?
            {
                println!("  the portal ended with {status}; waiting for a change");
                running = None;
            }
            sleep(LOOK);
            continue;
        }
        let began = Instant::now();
        let browser_changed = now.0 != browser;
        (browser, program) = now;
        // A mistake in a file is shown by the compiler; the portal of before goes on.
        match build(browser_changed) {
            Ok(site) => {
                running = Some(restart(running.take(), &site, args)?);
                println!("  built in {:.1} s", began.elapsed().as_secs_f32());
            }
            Err(e) => println!("  not built: {e:#}"),
        }
    }
}

/// The newest change below these folders. A removed file counts too: its folder changes.
fn newest(roots: &[&str]) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut left: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    while let Some(path) = left.pop() {
        let Ok(meta) = fs::metadata(&path) else { continue };
        newest = newest.max(meta.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        // What the build itself writes must not start the next one.
        let made = path.file_name().is_some_and(|n| n == "out.css" || n == "node_modules" || n == "__pycache__");
        if meta.is_dir() && !made {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
    }
    newest
}

fn build(browser: bool) -> Result<PathBuf> {
    if browser || !site().join("pkg/atelier.js").exists() {
        web(false)?;
    }
    envs::run(Command::new("cargo").args(["build", "--quiet", "-p", "server"]))?;
    Ok(site())
}

fn restart(running: Option<Child>, site: &Path, args: &[String]) -> Result<Child> {
    if let Some(mut child) = running {
        // SIGTERM: what is under way ends well. Runs and endpoints are processes of their own and stay.
        let told = Command::new("kill").arg(child.id().to_string()).status();
        if told.is_err() {
            child.kill()?;
        }
        child.wait()?;
    }
    let mut portal = Command::new(envs::target().join("debug/atelier"));
    portal.arg("serve").arg("--site").arg(site).args(args);
    for (variable, environment) in [("ATELIER_TRAINER_PYTHON", envs::TRAINER), ("ATELIER_VLLM_PYTHON", envs::MODEL_SERVER)] {
        if std::env::var_os(variable).is_none()
            && let Some(python) = environment.installed()?
        {
            portal.env(variable, python);
        }
    }
    portal.spawn().context("the portal could not be started")
}
