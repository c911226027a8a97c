//! Where things lie.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the site is: `ATELIER_SITE`, else `site` in the target folder.
pub fn site() -> PathBuf {
    env::var_os("ATELIER_SITE").map_or_else(|| target().join("site"), PathBuf::from)
}
