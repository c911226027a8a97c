//! What lies on the disk for datasets: that the quota counts all of it, that what killed writers leave goes, and that data can be taken
//! away and taken out.

use crate::support::{Piece, World, kind, now, pieces, rows};
use bytes::Bytes;
use domain::{
    artefacts,
    dataset::{DatasetFile, VersionState},
    filter::AuditFilter,
    inspect::RowFilter,
    page::Cursor,
    people::Role,
    problem::ProblemKind,
    tenant::Quota,
    time::{HOUR, Timestamp},
};
use futures::{StreamExt, TryStreamExt};
use platform::{access::Scope, datasets::NewUpload};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

crate::on_both_databases!(
    eight_uploads_without_a_length_cannot_pass_the_quota_together,
    what_judging_writes_counts_as_storage,
    what_killed_writers_leave_is_counted_and_swept_by_owner_and_age,
    the_same_bytes_again_are_noticed,
    a_version_that_nothing_uses_is_deleted_and_its_record_stays,
    every_file_of_a_version_can_be_downloaded,
    a_late_page_of_a_long_file_is_the_same_as_it_is_by_reading_on,
);

async fn engineer(world: &World) -> Scope {
    world.tenant("acme").await;
    world.scope("ann", "acme", Role::Engineer).await
}

fn upload(name: &str) -> NewUpload {
    NewUpload { name: name.into(), file_name: "rows.jsonl".into(), held_out_percent: 20, ..NewUpload::default() }
}

fn files(world: &World) -> Vec<(PathBuf, u64)> {
    let (mut found, mut folders) = (Vec::new(), vec![world.store_folder()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => found.push((entry.path(), meta.len())),
                Err(_) => {}
            }
        }
    }
    found
}

fn on_disk(world: &World) -> u64 {
    files(world).iter().map(|(_, bytes)| bytes).sum()
}

async fn stored(world: &World, scope: &Scope) -> u64 {
    world.platform.overview(scope).await.unwrap().holding.storage_bytes
}

fn in_an_hour() -> Timestamp {
    now().plus(HOUR)
}

async fn eight_uploads_without_a_length_cannot_pass_the_quota_together(world: World) {
    const MB: u64 = 1024 * 1024;
    let quota = 7 * MB / 2;
    world.tenant_with("acme", Quota { storage_bytes: quota, ..Quota::default() }).await;
    let scope = world.scope("ann", "acme", Role::Engineer).await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let (waiting, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let uploads: Vec<_> = (0..8)
        .map(|i| {
            let (platform, scope, mut gate) = (world.platform.clone(), scope.clone(), gate.clone());
            let (waiting, refused) = (waiting.clone(), refused.clone());
            tokio::spawn(async move {
                let sent = futures::stream::iter((0..16).map(|_| Piece::Ok(Bytes::from(vec![b' '; 64 * 1024]))));
                let held = futures::stream::once(async move {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    gate.wait_for(|open| *open).await.unwrap();
                    Piece::Ok(Bytes::new())
                });
                let done = platform.datasets(&scope).upload(upload(&format!("d{i}")), Box::pin(sent.chain(held))).await;
                refused.fetch_add(usize::from(done.is_err()), Ordering::SeqCst);
                done
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(60);
    while waiting.load(Ordering::SeqCst) + refused.load(Ordering::SeqCst) < 8 {
        assert!(Instant::now() < end && on_disk(&world) <= quota, "{} bytes lie on the disk", on_disk(&world));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let arriving = waiting.load(Ordering::SeqCst);
    assert!(on_disk(&world) <= quota && arriving <= 3, "{arriving} uploads of 1 MB, {} bytes", on_disk(&world));
    open.send(true).unwrap();
    let mut arrived = 0;
    for upload in uploads {
        match upload.await.unwrap() {
            Ok(version) => arrived += version.bytes,
            Err(problem) => assert_eq!(problem.kind, ProblemKind::QuotaExceeded, "{problem}"),
        }
    }
    assert_eq!((arrived, stored(&world, &scope).await), (arriving as u64 * MB, arrived));
    // What refused ones had is free again.
    assert_eq!(on_disk(&world), arrived);
}

async fn what_judging_writes_counts_as_storage(world: World) {
    let scope = engineer(&world).await;
    let version = world.dataset(&scope, "facts", &rows(300)).await;
    assert!(version.judged_bytes > version.bytes);
    assert_eq!((stored(&world, &scope).await, version.bytes + version.judged_bytes), (on_disk(&world), on_disk(&world)));
}

async fn what_killed_writers_leave_is_counted_and_swept_by_owner_and_age(world: World) {
    let scope = engineer(&world).await;
    let version = world.dataset(&scope, "facts", &rows(20)).await;
    let checking = world.upload(&scope, "next", &rows(20)).await.unwrap();
    let before = on_disk(&world);
    let folder = |id| world.store_folder().join(artefacts::dataset_version(&version.tenant, id));
    let gone = folder("dsv_00000000000000000000000000000009".parse().unwrap());
    // Of an upload and of a judging that were killed, of a version that is no more, of a run that is no more.
    let dead = [
        folder(version.id).join("original#1"),
        folder(version.id).join("judged-dead/train.jsonl"),
        folder(version.id).join(version.judgement.as_deref().unwrap()).join("verdicts.jsonl#3"),
        gone.join("original"),
        world.store_folder().join("t/acme/runs/run_00000000000000000000000000000009/train/output/model.safetensors#1"),
    ];
    // A judge may be writing there.
    let alive = folder(checking.id).join("judged-now/train.jsonl#1");
    for file in dead.iter().chain([&alive]) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, vec![0; 100_000]).unwrap();
    }
    assert_eq!(world.platform.sweep_store().await.unwrap().files, 0, "none is old enough");
    assert_eq!(stored(&world, &scope).await, before + 600_000);
    let later = world.replica(in_an_hour).await;
    let swept = later.sweep_store().await.unwrap();
    assert_eq!((swept.files, swept.bytes), (5, 500_000));
    assert!(alive.exists() && dead.iter().all(|file| !file.exists()));
    assert_eq!((stored(&world, &scope).await, on_disk(&world)), (before + 100_000, before + 100_000));
    // The judge of that version clears up after the one before it.
    world.platform.run_due_jobs("tests").await.unwrap();
    assert!(!alive.exists());
    later.sweep_store().await.unwrap();
    assert_eq!(stored(&world, &scope).await, on_disk(&world));
    // What is owned is untouched.
    let page = world.platform.datasets(&scope).rows("facts", 1, RowFilter { limit: 50, ..RowFilter::default() }).await.unwrap();
    assert_eq!((page.rows.len(), page.rows.iter().filter(|r| r.conversation.is_some()).count()), (20, 20));
}

async fn the_same_bytes_again_are_noticed(world: World) {
    let scope = engineer(&world).await;
    for n in [5, 6, 5] {
        world.dataset(&scope, "facts", &rows(n)).await;
    }
    world.dataset(&scope, "other", &rows(6)).await;
    let versions = world.platform.datasets(&scope).versions("facts", &Cursor::default()).await.unwrap().rows;
    assert_eq!(versions.iter().map(|v| v.same_as).collect::<Vec<_>>(), [Some(1), None, None]);
}

async fn a_version_that_nothing_uses_is_deleted_and_its_record_stays(world: World) {
    let scope = engineer(&world).await;
    let first = world.dataset(&scope, "facts", &rows(5)).await;
    let rejected = world.dataset(&scope, "facts", "not json\n").await;
    assert_eq!(rejected.state, VersionState::Rejected);
    let datasets = world.platform.datasets(&scope);
    let viewer = world.scope("vera", "acme", Role::Viewer).await;
    assert_eq!(kind(world.platform.datasets(&viewer).delete("facts", Some(2)).await), ProblemKind::Forbidden);
    assert_eq!(kind(world.platform.datasets(&viewer).erase("facts", 2).await), ProblemKind::Forbidden);
    datasets.delete("facts", Some(2)).await.unwrap();
    assert_eq!(kind(datasets.version("facts", Some(2)).await), ProblemKind::NotFound);
    assert_eq!(datasets.version("facts", None).await.unwrap(), first);
    assert_eq!(stored(&world, &scope).await, on_disk(&world));
    let owner = world.scope("olga", "acme", Role::Owner).await;
    let filter = AuditFilter { object: Some(rejected.id.to_string()), limit: 10, ..AuditFilter::default() };
    let log = world.platform.audit(&owner).page(filter).await.unwrap().rows;
    assert_eq!((log[0].entry.action.as_str(), log[0].entry.actor_name.as_str(), log.len()), ("dataset.delete", "ann", 3));
    assert!(log[0].entry.detail.said().contains(&rejected.digest.unwrap()), "{}", log[0].entry.detail.said());

    // Its number is not given again. One that arrives is left alone; one that waits for its judge is not.
    let arriving = datasets.upload(upload("facts"), pieces(&rows(3)).chain(futures::stream::pending()));
    assert!(tokio::time::timeout(Duration::from_millis(500), arriving).await.is_err());
    assert_eq!(kind(datasets.delete("facts", Some(3)).await), ProblemKind::Conflict);
    world.upload(&scope, "facts", &rows(7)).await.unwrap();
    datasets.delete("facts", Some(4)).await.unwrap();
    assert_eq!(world.platform.run_due_jobs("tests").await.unwrap(), 1, "its job finds nothing to do");
    assert_eq!(kind(datasets.version("facts", Some(4)).await), ProblemKind::NotFound);

    // The whole dataset, and its name is free.
    world.dataset(&scope, "other", &rows(4)).await;
    world.dataset(&scope, "other", &rows(5)).await;
    datasets.delete("other", None).await.unwrap();
    assert_eq!(kind(datasets.get("other").await), ProblemKind::NotFound);
    assert_eq!(world.dataset(&scope, "other", &rows(6)).await.number, 1);
}

async fn every_file_of_a_version_can_be_downloaded(world: World) {
    let scope = engineer(&world).await;
    let file = format!("{}broken\n", rows(200));
    let version = world.dataset(&scope, "facts", &file).await;
    let report = version.report.clone().unwrap();
    let datasets = world.platform.datasets(&scope);
    let text = async |which| {
        let download = datasets.download("facts", Some(1), which).await.unwrap();
        let parts: Vec<Bytes> = download.body.try_collect().await.unwrap();
        let all = parts.concat();
        assert_eq!(download.bytes, all.len() as u64);
        (download.file_name, String::from_utf8(all).unwrap())
    };
    assert_eq!(text(DatasetFile::Original).await, ("facts-v1-original.jsonl".to_owned(), file.clone()));
    let (train, held_out) = (text(DatasetFile::Train).await.1, text(DatasetFile::HeldOut).await.1);
    assert_eq!((train.lines().count() as u64, held_out.lines().count() as u64), (report.train_rows, report.held_out_rows));
    assert!(train.lines().chain(held_out.lines()).all(|line| file.contains(line)));
    let (name, verdicts) = text(DatasetFile::Verdicts).await;
    assert_eq!((name.as_str(), verdicts.lines().count()), ("facts-v1-verdicts.jsonl", 201));
    assert!(verdicts.lines().last().unwrap().contains("DS-JSON"));
    world.tenant("beta").await;
    let stranger = world.scope("bob", "beta", Role::Owner).await;
    let theirs = world.platform.datasets(&stranger);
    assert_eq!(theirs.download("facts", Some(1), DatasetFile::Train).await.err().unwrap().kind, ProblemKind::NotFound);
    assert_eq!(kind(theirs.delete("facts", None).await), ProblemKind::NotFound);
    assert_eq!(kind(theirs.erase("facts", 1).await), ProblemKind::NotFound);
    world.upload(&scope, "facts", &rows(2)).await.unwrap();
    let not_judged = datasets.download("facts", Some(2), DatasetFile::Train).await.err().unwrap();
    assert!(not_judged.sentence.contains("training rows of facts v2"), "{not_judged}");
}

async fn a_late_page_of_a_long_file_is_the_same_as_it_is_by_reading_on(world: World) {
    let scope = engineer(&world).await;
    let row = |i: usize| match i % 97 {
        0 => "broken\n".to_owned(),
        1 => rows(1),
        _ => format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"q{i}\"}},{{\"role\":\"assistant\",\"content\":\"a\"}}]}}\n"),
    };
    let version = world.dataset(&scope, "facts", &(0..3000).map(row).collect::<String>()).await;
    let datasets = world.platform.datasets(&scope);
    let page = async |filter: RowFilter| datasets.rows("facts", 1, filter).await.unwrap();
    for (accepted, rule) in
        [(None, None), (Some(false), None), (Some(true), None), (None, Some("DS-DUPLICATE")), (Some(true), Some("DS-DUPLICATE"))]
    {
        let filter = RowFilter { accepted, rule: rule.map(str::to_owned), offset: 0, limit: 200 };
        let mut all = Vec::new();
        loop {
            let next = page(RowFilter { offset: all.len() as u64, ..filter.clone() }).await;
            if next.rows.is_empty() {
                break assert_eq!(next.total, all.len() as u64, "{filter:?}");
            }
            all.extend(next.rows.into_iter().map(|r| r.line));
        }
        assert!(all.is_sorted() && all.len() >= 30, "{filter:?}: {}", all.len());
        let last = page(RowFilter { offset: all.len() as u64 - 3, ..filter.clone() }).await;
        assert_eq!(last.rows.iter().map(|r| r.line).collect::<Vec<_>>(), all[all.len() - 3..], "{filter:?}");
        assert!(last.rows.iter().all(|r| !r.raw.is_empty()));
    }
    // What stands before the block in which a page begins is not even read: nothing of it is left here.
    let verdicts = world.store_folder().join(artefacts::dataset_verdicts(&version.tenant, version.id, version.judgement.as_deref()));
    let mut bytes = std::fs::read(&verdicts).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(b' ');
    std::fs::write(&verdicts, bytes).unwrap();
    let last = page(RowFilter { offset: 2_990, limit: 10, ..RowFilter::default() }).await;
    assert_eq!(last.rows.iter().map(|r| r.line).collect::<Vec<_>>(), (2_991..=3_000).collect::<Vec<_>>());
}
