//! Processes that share a SQLite file (a portal, and commands beside it): each touches a file of its own in a folder beside the database
//! after a commit, and watches the folder with inotify.

use super::{Inner, Told};
use futures::StreamExt;
use inotify::{Inotify, WatchMask};
use sqlx::sqlite::SqliteConnectOptions;
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// Where there is no inotify, others are believed to have told something this often.
const WITHOUT_INOTIFY: Duration = Duration::from_millis(500);

pub(super) struct Folder {
    folder: PathBuf,
    mine: PathBuf,
}

impl Folder {
    /// `FILE-wake` beside the database's file; none for a database in memory, and on PostgreSQL.
    pub(super) fn of_database(url: &str, me: &str) -> Option<Self> {
        if !url.starts_with("sqlite:") || url.contains(":memory:") {
            return None;
        }
        let file = SqliteConnectOptions::from_str(url).ok()?.get_filename().to_owned();
        let mut name = file.file_name()?.to_owned();
        name.push("-wake");
        let folder = file.with_file_name(name);
        Some(Self { mine: folder.join(me), folder })
    }

    /// Where it cannot be written (a full disk), others see the change later, with the next one.
    pub(super) fn tell(&self) {
        if fs::write(&self.mine, "").is_err() {
            let _ = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&self.mine, ""));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.mine);
    }
}

/// For ever.
pub(super) async fn listen(inner: &Inner) {
    let Some(Folder { folder, mine }) = &inner.folder else { return std::future::pending().await };
    if let Err(e) = follow(folder, mine.file_name(), inner).await {
        tracing::warn!(error = %e, folder = %folder.display(), "this folder cannot be watched; the database is asked twice a second instead");
    }
    loop {
        tokio::time::sleep(WITHOUT_INOTIFY).await;
        inner.wake(Told::EVERYTHING);
    }
}

/// Until the kernel refuses.
async fn follow(folder: &Path, mine: Option<&OsStr>, inner: &Inner) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let inotify = Inotify::init()?;
    inotify.watches().add(folder, WatchMask::CLOSE_WRITE)?;
    let mut events = inotify.into_event_stream([0; 4096])?;
    while let Some(event) = events.next().await {
        // Without a name, the kernel's queue ran over.
        if event?.name.is_none_or(|name| Some(name.as_os_str()) != mine) {
            inner.wake(Told::EVERYTHING);
        }
    }
    Ok(())
}
