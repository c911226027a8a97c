//! Keys and passwords of one cluster: drawn once, kept in files that only their owner may read.

use anyhow::{Context, Result};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The text of the file; made of `bytes` random bytes, in hex, when there is none.
pub fn drawn(path: &Path, bytes: usize) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("{} cannot be read", path.display())),
    }
    let mut random = vec![0; bytes];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let text = hex::encode(random);
    write(path, &text)?;
    Ok(text)
}

/// Whole or not at all: another process may read it at any time.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    let written = (|| {
        let mut file = fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&partial, path)
    })();
    written.with_context(|| format!("{} cannot be written", path.display()))
}

pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).with_context(|| format!("{} cannot be removed", path.display())),
        _ => Ok(()),
    }
}
