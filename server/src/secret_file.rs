//! A secret in a file of its own: made once, for its owner's eyes only.

use anyhow::{Context, anyhow};
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// The text of the file; when there is none, `make` turns 32 random bytes into it.
pub fn read_or_make(file: &Path, make: impl FnOnce(&[u8]) -> String) -> anyhow::Result<String> {
    if !file.exists() {
        let mut secret = [0u8; 32];
        getrandom::fill(&mut secret).map_err(|e| anyhow!("no random numbers: {e}"))?;
        write_once(file, &make(&secret)).with_context(|| format!("writing {}", file.display()))?;
    }
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

fn write_once(file: &Path, text: &str) -> anyhow::Result<()> {
    // Two programs that start at once each have a file of their own beside it; the first link wins, both read it.
    let beside = file.with_extension(format!("new-{}", std::process::id()));
    let mut written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    let kept = fs::hard_link(&beside, file);
    fs::remove_file(&beside)?;
    match kept {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        let first = read_or_make(&file, |random| hex::encode(random)).unwrap();
        assert_eq!((first.len(), read_or_make(&file, |_| "another".into()).unwrap()), (64, first.clone()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}
