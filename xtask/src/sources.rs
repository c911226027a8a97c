//! The source files of our crates, for rules that the compiler does not know.

use crate::folders::root;
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file with code that is shipped. Tests beside it (`…tests.rs`) are none.
pub struct Source {
    /// From the repository's root: `crates/domain/src/run/plan.rs`.
    pub path: String,
    pub text: String,
}

/// The folders with the sources of every crate, by the crate's name.
pub fn crates() -> Result<Vec<(String, PathBuf)>> {
    let mut all: Vec<PathBuf> = ["app", "frontend", "server", "xtask"].map(|name| root().join(name)).to_vec();
    for entry in fs::read_dir(root().join("crates"))? {
        all.push(entry?.path());
    }
    all.sort();
    let name = |folder: &Path| folder.file_name().map(|n| n.to_string_lossy().into_owned()).context("a crate without a name");
    all.into_iter().map(|folder| Ok((name(&folder)?, folder.join("src")))).collect()
}

/// Every source file below this folder, by path.
pub fn below(folder: &Path) -> Result<Vec<Source>> {
    let (mut found, mut left) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?);
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            found.push(Source { path: shown, text: fs::read_to_string(&path)? });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
