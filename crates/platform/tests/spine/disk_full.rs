//! A real full disk: a file system of one megabyte under the store. Needs the right to mount; is skipped where it has none.

use crate::support::{World, now, rows};
use domain::{
    dataset::VersionState,
    page::Cursor,
    people::Role,
    problem::ProblemKind,
    time::{HOUR, Timestamp},
};
use std::{path::PathBuf, process::Command};

crate::on_both_databases!(a_full_disk_refuses_the_upload_and_only_delays_the_inspection);

struct Small(PathBuf);

impl Small {
    fn mount(folder: PathBuf) -> Option<Self> {
        Self::mount_with(folder, "1m")
    }

    fn mount_with(folder: PathBuf, size: &str) -> Option<Self> {
        let out = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&folder).output().unwrap();
        if out.status.success() {
            return Some(Self(folder));
        }
        testing::skip(&format!("a full disk needs the right to mount: {}", String::from_utf8_lossy(&out.stderr).trim()));
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_full_disk_the_database_takes_every_change_again() {
    let world = crate::support::sqlite().await;
    let folder = world.store_folder().join("small");
    std::fs::create_dir_all(&folder).unwrap();
    let Some(small) = Small::mount_with(folder, "6m") else { return };
    let config = platform::Config { database_url: format!("sqlite:{}", small.0.join("atelier.db").display()), ..world.config.clone() };
    let platform = platform::Platform::open(config, now).await.unwrap();
    platform.ready().await.unwrap();
    let scope = platform::access::PlatformScope::command_line();
    let create = async |name: String| {
        let new = platform::tenants::NewTenant { name, title: "t".repeat(80), quota: Default::default() };
        platform.tenants(&scope).create(new).await
    };

    // The disk fills up; what is written meanwhile fails in words, on every connection.
    let filler = small.0.join("filler");
    drop(std::fs::write(&filler, vec![0; 8 << 20]));
    let (mut tried, mut refused) = (0, 0);
    while refused < 40 {
        let tries = (0..8).map(|i| create(format!("full-{tried}-{i}")));
        for answer in futures::future::join_all(tries).await {
            if let Err(problem) = answer {
                assert_eq!(problem.kind, ProblemKind::Unavailable, "{problem}");
                refused += u32::from(problem.sentence == "The disk of the database is full, so nothing was stored.");
            }
        }
        tried += 1;
        assert!(tried < 500, "the disk does not fill up");
    }
    let ready = async |wanted: bool| {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while platform.ready().await.is_ok() != wanted {
            assert!(std::time::Instant::now() < until, "ready is not {wanted}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    ready(false).await;

    std::fs::remove_file(&filler).unwrap();
    for i in 0..50 {
        create(format!("free-{i}")).await.unwrap_or_else(|p| panic!("change {i} after there is space again: {p} {}", p.next_step));
    }
    ready(true).await;
    assert_eq!(platform.verify_audit().await.unwrap().broken(), None);
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
    assert_eq!(refused.sentence, "The artefact store is full, so nothing was stored.");
    assert!(world.platform.datasets(&scope).list(&Default::default(), &Cursor::default()).await.unwrap().rows.is_empty());

    // There is room again, because nothing was left; but not for what the inspection writes.
    let version = world.upload(&scope, "small", &rows(2_500)).await.unwrap();
    let filler = small.0.join("filler");
    let free = 1024 * 1024 - version.bytes as usize - 96 * 1024;
    std::fs::write(&filler, vec![0; free]).unwrap();
    let now = async || world.platform.datasets(&scope).by_version_id(version.id).await.unwrap();
    // Many more times than a file that is at fault is tried.
    for _ in 0..12 {
        assert_eq!(world.platform.run_due_jobs("tests").await.unwrap(), 1);
        world.execute("UPDATE jobs SET run_after = 0").await.unwrap();
    }
    let waiting = now().await;
    assert_eq!(waiting.state, VersionState::Checking);
    let reason = waiting.reason.unwrap().said();
    assert!(reason.contains("store is full") && reason.contains("checked again by itself"), "{reason}");
    std::fs::remove_file(&filler).unwrap();
    world.replica(in_an_hour).await.run_due_jobs("tests").await.unwrap();
    assert_eq!((now().await.state, now().await.reason), (VersionState::Ready, None));
    // What the twelve had written is gone.
    let folder = world.store_folder().join(domain::artefacts::dataset_version(&version.tenant, version.id));
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2, "the original, and one judging");
}
