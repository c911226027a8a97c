//! A real full disk: a file system of one megabyte under the store. Needs the right to mount; says so where it has none.

use crate::support::{World, now, rows};
use domain::{
    dataset::VersionState,
    people::Role,
    problem::ProblemKind,
    time::{HOUR, Timestamp},
};
use std::{path::PathBuf, process::Command};

crate::on_both_databases!(a_full_disk_refuses_the_upload_and_only_delays_the_inspection);

struct Small(PathBuf);

impl Small {
    fn mount(folder: PathBuf) -> Option<Self> {
        let out = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&folder).output().ok()?;
        if out.status.success() {
            return Some(Self(folder));
        }
        eprintln!("\n!!! the test of a full disk is SKIPPED: {} !!!\n", String::from_utf8_lossy(&out.stderr).trim());
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn in_an_hour() -> Timestamp {
    now().plus(HOUR)
}

async fn a_full_disk_refuses_the_upload_and_only_delays_the_inspection(world: World) {
    let Some(small) = Small::mount(world.store_folder()) else { return };
    world.tenant("acme").await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let refused = world.upload(&scope, "large", &rows(30_000)).await.unwrap_err();
    assert_eq!(refused.kind, ProblemKind::Unavailable);
    assert_eq!(refused.sentence, "The disk of the artefact store is full, so nothing was stored.");
    assert!(world.platform.datasets(&scope).list().await.unwrap().is_empty());

    // There is room again, because nothing was left; but not for what the inspection writes.
    let version = world.upload(&scope, "small", &rows(2_000)).await.unwrap();
    let filler = small.0.join("filler");
    let free = 1024 * 1024 - version.bytes as usize - 64 * 1024;
    std::fs::write(&filler, vec![0; free]).unwrap();
    assert_eq!(world.platform.work_off("tests").await.unwrap(), 1);
    let state = async || world.platform.datasets(&scope).by_version_id(version.id).await.unwrap().state;
    assert_eq!(state().await, VersionState::Checking);
    std::fs::remove_file(&filler).unwrap();
    world.replica(in_an_hour).await.work_off("tests").await.unwrap();
    assert_eq!(state().await, VersionState::Ready);
}
