//! The local engine with real processes. The program is a shell script that plays the command, and hands `supervise` to this very
//! test executable (see `the_supervisor_itself`), so that what runs here is what runs in production.

mod files;
mod house;
mod lost;
mod starts;
mod stops;
mod takeover;

use crate::house::{job, local_engine};
use engine::local::supervise;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Not a test: this executable as the supervisor, when the script asks for it.
#[test]
fn the_supervisor_itself() {
    if let Ok(folder) = std::env::var("SUPERVISE_FOLDER") {
        std::process::exit(supervise(Path::new(&folder)));
    }
}

/// Not a test: this executable as a portal that applies one task and then goes on living.
#[tokio::test]
async fn the_portal_itself() {
    if let Ok(folder) = std::env::var("PORTAL_FOLDER") {
        let folder = PathBuf::from(folder);
        local_engine(&folder).apply(&job("job-1")).await.unwrap();
        std::thread::sleep(Duration::from_secs(60));
    }
}
