//! Running other programs, cargo above all.

use crate::interrupt;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Runs a command to its end; its own output tells what is wrong, the error names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let said = format!("{command:?}");
    // Some machines switch bytecode off for everybody; it is what makes the environments start fast.
    let mut child = command
        .stdin(Stdio::null())
        .env_remove("PYTHONDONTWRITEBYTECODE")
        .spawn()
        .with_context(|| format!("{said} could not be started"))?;
    let status = interrupt::end_of(&mut child)?;
    if !status.success() {
        bail!("{said} ended with {status}");
    }
    Ok(())
}

/// Cargo as a person calls it by hand. `cargo run` tells us about the crate xtask in our environment; build scripts that look
/// there (ring's does) would find another answer than by hand, and everything above them would be built anew each time.
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(tells_of_a_crate) {
            command.env_remove(name);
        }
    }
    command
}

/// What cargo itself sets for the programs that it starts. Everything else that begins with `CARGO_` is a person's setting.
fn tells_of_a_crate(variable: &str) -> bool {
    const NAMES: [&str; 6] =
        ["CARGO", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_MAKEFLAGS", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"];
    const BEGINNINGS: [&str; 5] = ["CARGO_BIN_EXE_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_MANIFEST_", "CARGO_PKG_"];
    NAMES.contains(&variable) || BEGINNINGS.iter().any(|b| variable.starts_with(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_about_xtask_goes_and_what_a_person_sets_stays() {
        for goes in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(tells_of_a_crate(goes), "{goes}");
        }
        for stays in [
            "CARGO_TARGET_DIR",
            "CARGO_HOME",
            "CARGO_TERM_COLOR",
            "CARGO_NET_OFFLINE",
            "CARGO_INCREMENTAL",
            "CARGO_BUILD_JOBS",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "CARGO_HTTP_PROXY",
            "CARGO_PROFILE_DEV_DEBUG",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "PATH",
        ] {
            assert!(!tells_of_a_crate(stays), "{stays}");
        }
        // This test runs under cargo, so the variables are really there.
        let removed: Vec<_> = cargo().get_envs().filter(|(_, v)| v.is_none()).map(|(n, _)| n.to_owned()).collect();
        assert!(removed.iter().any(|n| n == "CARGO_MANIFEST_DIR"), "{removed:?}");
    }
}
