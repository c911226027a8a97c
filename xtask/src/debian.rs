//! Packages of Debian.

use crate::{envs::which, run::run};
use anyhow::{Result, bail};
use std::{os::unix::fs::MetadataExt, process::Command};

/// Installs them; whoever may not is told the command.
pub fn install(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if which("apt-get").is_none() || !is_root() {
        bail!("the tests need {}: install with `apt-get install {}`", missing.join(" and "), missing.join(" "));
    }
    println!("installing {}", missing.join(", "));
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-qq", "-y", "--no-install-recommends"])
        .args(missing))
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}
