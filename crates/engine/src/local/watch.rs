//! Which task folders change, by inotify: one watch on the root and one on each folder, without a thread and without looking.

use super::{LocalEngine, because, folder};
use crate::Error;
use futures::{FutureExt, StreamExt};
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    io,
    path::Path,
};

pub struct Watch {
    events: EventStream<[u8; 4096]>,
    watches: Watches,
    engine: LocalEngine,
    root: WatchDescriptor,
    folders: HashMap<WatchDescriptor, String>,
    /// Seen, and not told yet.
    changed: BTreeSet<String>,
}

impl Watch {
    pub fn begin(engine: &LocalEngine) -> Result<Self, Error> {
        // The folder that is watched has to be there.
        drop(folder::lock(&engine.root)?);
        let begun = || -> io::Result<_> {
            let inotify = Inotify::init()?;
            let mut watches = inotify.watches();
            let root = watches.add(&engine.root, WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVED_FROM | WatchMask::DELETE)?;
            Ok((inotify.into_event_stream([0; 4096])?, watches, root))
        };
        let (events, watches, root) = begun().map_err(because("watching the tasks"))?;
        let mut watch = Self { events, watches, engine: engine.clone(), root, folders: HashMap::new(), changed: BTreeSet::new() };
        for name in engine.names()? {
            watch.follow(&name);
        }
        Ok(watch)
    }

    pub async fn next(&mut self) -> Result<BTreeSet<String>, Error> {
        while self.changed.is_empty() {
            // It never ends.
            let mut seen = self.events.next().await;
            // What came together is told together.
            while let Some(event) = seen {
                self.see(&event.map_err(because("watching the tasks"))?)?;
                seen = self.events.next().now_or_never().flatten();
            }
        }
        Ok(std::mem::take(&mut self.changed))
    }

    fn see<N: AsRef<OsStr>>(&mut self, event: &Event<N>) -> Result<(), Error> {
        let (at, what) = (&event.wd, event.mask);
        let name = event.name.as_ref().and_then(|n| n.as_ref().to_str());
        if what.contains(EventMask::Q_OVERFLOW) {
            // Some were lost, and nobody knows which.
            for name in self.engine.names()? {
                self.follow(&name);
                self.changed.insert(name);
            }
        } else if *at == self.root {
            if let Some(name) = name.filter(|n| crate::is_task_name(n)) {
                if what.intersects(EventMask::CREATE | EventMask::MOVED_TO) {
                    self.follow(name);
                }
                self.changed.insert(name.to_owned());
            }
        } else if what.contains(EventMask::IGNORED) {
            self.folders.remove(at);
        } else if let Some(task) = self.folders.get(at)
            && name.is_none_or(|n| !n.starts_with('.'))
        {
            self.changed.insert(task.clone());
        }
        Ok(())
    }

    /// A folder that is gone by now is told by the root's watch.
    fn follow(&mut self, name: &str) {
        let path: &Path = &self.engine.root.join(name);
        let what = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MODIFY | WatchMask::ONLYDIR;
        if let Ok(at) = self.watches.add(path, what) {
            self.folders.insert(at, name.to_owned());
        }
    }
}
