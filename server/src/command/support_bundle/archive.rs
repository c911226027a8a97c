//! The file itself: tar in gzip, for its owner's eyes only, there as a whole or not at all.

use domain::time::Timestamp;
use flate2::{Compression, write::GzEncoder};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

pub struct Archive<'a> {
    /// In which all files lie when it is unpacked.
    pub folder: &'a str,
    pub at: Timestamp,
    /// Names and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    #[error("the disk is full. Name a place with more room with --out, or write it away from here: --out - > FILE")]
    Full,
    #[error("{0}. Name another place with --out, or write it away from here: --out - > FILE")]
    Io(io::Error),
}

impl From<io::Error> for NotWritten {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(e),
        }
    }
}

impl Archive<'_> {
    /// `-` = to the standard output.
    pub fn write(&self, out: &Path) -> Result<(), NotWritten> {
        if out == Path::new("-") {
            return Ok(self.write_to(io::stdout().lock()).and_then(|mut stdout| stdout.flush())?);
        }
        let beside = beside(out);
        let written = self.write_beside(&beside).and_then(|()| fs::rename(&beside, out));
        if written.is_err() {
            // What was written of it takes room that others need more.
            drop(fs::remove_file(&beside));
        }
        Ok(written?)
    }

    fn write_beside(&self, beside: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        self.write_to(file)?.sync_all()
    }

    fn write_to<W: Write>(&self, out: W) -> io::Result<W> {
        let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        for (name, contents) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(u64::try_from(self.at.0 / 1000).unwrap_or(0));
            tar.append_data(&mut header, format!("{}/{name}", self.folder), contents.as_slice())?;
        }
        tar.into_inner()?.finish()
    }
}

/// In the same folder, so that it only has to be renamed.
fn beside(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!(".{name}.new-{}", std::process::id()))
}
