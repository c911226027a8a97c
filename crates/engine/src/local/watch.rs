//! Which task folders change, by inotify: one watch on the root and one on each folder, without a thread and without looking.

use super::{LocalEngine, because, folder};
use crate::Error;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::Path,
};
use tokio::io::{Interest, unix::AsyncFd};

pub struct Watch {
    inotify: AsyncFd<Fd>,
    engine: LocalEngine,
    root: WatchDescriptor,
    folders: HashMap<WatchDescriptor, String>,
    /// Seen, and not told yet.
    changed: BTreeSet<String>,
}

struct Fd(Inotify);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    pub fn begin(engine: &LocalEngine) -> Result<Self, Error> {
        let doing = because("watching the tasks");
        // The folder that is watched has to be there.
        drop(folder::lock(&engine.root)?);
        let begun = || -> io::Result<(Inotify, WatchDescriptor)> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let root = inotify.add_watch(
                &engine.root,
                AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_DELETE,
            )?;
            Ok((inotify, root))
        };
        let (inotify, root) = begun().map_err(&doing)?;
        // SAFETY: `Fd` owns the one descriptor that it shows, and closes it when it is dropped.
        let inotify = unsafe { AsyncFd::register_with_interest(Fd(inotify), Interest::READABLE) }.map_err(|e| doing(e.into()))?;
        let mut watch = Self { inotify, engine: engine.clone(), root, folders: HashMap::new(), changed: BTreeSet::new() };
        for name in engine.names()? {
            watch.follow(&name);
        }
        Ok(watch)
    }

    pub async fn next(&mut self) -> Result<BTreeSet<String>, Error> {
        let doing = because("watching the tasks");
        loop {
            if !self.changed.is_empty() {
                return Ok(std::mem::take(&mut self.changed));
            }
            let mut ready = self.inotify.readable().await.map_err(&doing)?;
            match self.inotify.get_ref().0.read_events() {
                Ok(events) => {
                    drop(ready);
                    for event in events {
                        self.see(event.wd, event.mask, event.name.as_deref().and_then(|n| n.to_str()))?;
                    }
                }
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(doing(e.into())),
            }
        }
    }

    fn see(&mut self, at: WatchDescriptor, what: AddWatchFlags, name: Option<&str>) -> Result<(), Error> {
        if what.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            // Some were lost, and nobody knows which.
            for name in self.engine.names()? {
                self.follow(&name);
                self.changed.insert(name);
            }
        } else if at == self.root {
            if let Some(name) = name.filter(|n| folder::is_task_name(n)) {
                if what.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO) {
                    self.follow(name);
                }
                self.changed.insert(name.to_owned());
            }
        } else if what.contains(AddWatchFlags::IN_IGNORED) {
            self.folders.remove(&at);
        } else if let Some(task) = self.folders.get(&at)
            && name.is_none_or(|n| !n.starts_with('.'))
        {
            self.changed.insert(task.clone());
        }
        Ok(())
    }

    /// A folder that is gone by now is told by the root's watch.
    fn follow(&mut self, name: &str) {
        let path: &Path = &self.engine.root.join(name);
        let what = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR;
        if let Ok(at) = self.inotify.get_ref().0.add_watch(path, what) {
            self.folders.insert(at, name.to_owned());
        }
    }
}
