//! Which files the last build for the browser made.

use app::shell::Files;
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

/// What the build says about its files: by plain name, the name with the digest of the content.
const NAMES: &str = "files.json";

/// The names of the browser's files, as the last build gave them.
pub struct Names {
    list: PathBuf,
    known: RwLock<(Option<SystemTime>, Files)>,
}

impl Names {
    /// Of this site. There may be none: then every file goes by its plain name.
    pub fn of(site: &std::path::Path) -> Self {
        Self { list: site.join("pkg").join(NAMES), known: RwLock::default() }
    }

    /// Looks at each call whether the build has changed them: while one develops, it does so under a portal that runs.
    pub fn now(&self) -> Files {
        let changed = std::fs::metadata(&self.list).and_then(|m| m.modified()).ok();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.0 == changed {
                return known.1.clone();
            }
        }
        let read = std::fs::read(&self.list).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let files = Files(Arc::new(read));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (changed, files.clone());
        files
    }
}
