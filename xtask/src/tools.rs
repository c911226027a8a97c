//! Programs of others that checks need: installed by version into target/tools, so that they are these whatever else the machine has.

use crate::run::{cargo, run};
use anyhow::Result;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const FOLDER: &str = "target/tools";

pub struct Tool {
    /// The crate and its program.
    pub name: &'static str,
    pub version: &'static str,
}

pub const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
pub const MACHETE: Tool = Tool { name: "cargo-machete", version: "0.9.2" };
pub const MUTANTS: Tool = Tool { name: "cargo-mutants", version: "27.1.0" };

impl Tool {
    /// Its program, by its path: `cargo NAME` would take another version from the person's own folder. Installed if needed.
    pub fn program(&self) -> Result<PathBuf> {
        let Self { name, version } = *self;
        // Each version in a folder of its own: what is there is the right one, without asking it.
        let root = Path::new(FOLDER).join(format!("{name}-{version}"));
        let program = std::path::absolute(&root)?.join("bin").join(name);
        if !program.exists() {
            println!("installing {name} {version} into {}, once", root.display());
            run(cargo().args(["install", name, "--version", &format!("={version}"), "--locked", "--root"]).arg(&root))?;
        }
        Ok(program)
    }

    pub fn command(&self) -> Result<Command> {
        Ok(Command::new(self.program()?))
    }
}
