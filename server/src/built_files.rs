//! Which files the last build for the browser made.

use app::shell::Files;
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

/// What the build says about its files: by plain name, the name with the digest of the content. Written last.
const NAMES: &str = "files.json";
/// And by chunk of the program, its files.
const CHUNKS: &str = "chunks.json";

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
        let files = Files { names: read(&self.list), chunks: read(&self.list.with_file_name(CHUNKS)) };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (changed, files.clone());
        files
    }
}

/// A file that is absent says nothing.
fn read<T: serde::de::DeserializeOwned + Default>(list: &std::path::Path) -> Arc<T> {
    Arc::new(std::fs::read(list).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
}
