use super::*;
use domain::{ids::CallId, time::Timestamp};
use std::{fs, io::Write, os::unix::fs::FileExt, path::Path};
use tempfile::TempDir;
use uuid::Uuid;

fn call(n: u128) -> Call {
    Call {
        id: CallId::from_uuid(Uuid::from_u128(n)),
        tenant: "acme".parse().unwrap(),
        at: Timestamp(n as i64),
        key: None,
        person: None,
        endpoint: None,
        model: format!("model-{n}"),
        model_version: None,
        route: "chat/completions".into(),
        stream: false,
        status: 200,
        error: None,
        prompt_tokens: 10,
        completion_tokens: 5,
        estimated: false,
        first_token_ms: Some(20),
        duration_ms: 100,
        finish_reason: Some("stop".into()),
        request_id: format!("req-{n}"),
    }
}

fn config(folder: &Path) -> SpoolConfig {
    SpoolConfig::new(folder.to_owned())
}

fn record(sink: &UsageSink, n: u128) {
    sink.reserve().expect("a place").record(call(n));
}

/// All that is there now, confirmed.
async fn all(receiver: &mut UsageReceiver) -> Vec<u128> {
    let mut out = Vec::new();
    while receiver.has_more() {
        out.extend(receiver.next_batch(7, Duration::ZERO).await.iter().map(|c| c.at.0 as u128));
        receiver.confirm();
    }
    out
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == extension)).collect()
}

#[test]
fn a_record_is_a_line_that_shows_when_it_was_changed() {
    let line = line::write(&call(7));
    let text = line.strip_suffix(b"\n").unwrap();
    assert_eq!(line::read(text), Some(call(7)));
    for at in 0..text.len() {
        let mut changed = text.to_vec();
        changed[at] ^= 1;
        assert_eq!(line::read(&changed), None, "byte {at}");
    }
    assert!(line::read(&text[..text.len() - 1]).is_none() && line::read(b"").is_none());
}

#[test]
fn the_largest_record_fits_its_place() {
    let long = "\u{1}".repeat(10_000);
    let most = Call {
        model: long.clone(),
        route: long.clone(),
        error: Some(long.clone()),
        finish_reason: Some(long.clone()),
        request_id: long,
        key: Some(domain::ids::KeyId::from_uuid(Uuid::max())),
        person: Some(domain::ids::PersonId::from_uuid(Uuid::max())),
        endpoint: Some(domain::ids::EndpointId::from_uuid(Uuid::max())),
        model_version: Some(domain::ids::ModelVersionId::from_uuid(Uuid::max())),
        ..call(u128::MAX)
    };
    let line = line::write(&most.cleaned());
    assert!((line.len() as u64) < RECORD_BYTES, "{}", line.len());
}

#[tokio::test]
async fn what_was_recorded_before_the_process_was_gone_comes_out_at_the_next_start_once() {
    let folder = TempDir::new().unwrap();
    let (sink, receiver) = UsageSink::open(config(folder.path())).unwrap();
    (0..20).for_each(|n| record(&sink, n));
    // As after SIGKILL: nothing was read out, nothing was tidied up.
    drop((sink, receiver));
    let (sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    assert!(sink.waiting_bytes() > 0);
    record(&sink, 20);
    assert_eq!(all(&mut receiver).await, (0..=20).collect::<Vec<_>>());
    assert_eq!(sink.waiting_bytes(), 0);
    drop((sink, receiver));
    let (_sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    // The last file was still being written to, so it comes once more; the one before is gone.
    assert_eq!(all(&mut receiver).await, [20]);
    assert!(!receiver.has_more());
}

#[tokio::test]
async fn what_was_handed_out_but_not_confirmed_comes_again() {
    let folder = TempDir::new().unwrap();
    let (sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    (0..5).for_each(|n| record(&sink, n));
    assert_eq!(receiver.next_batch(3, Duration::ZERO).await.len(), 3);
    assert_eq!(receiver.next_batch(9, Duration::ZERO).await.len(), 3, "the same again");
    drop((sink, receiver));
    let (_sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    assert_eq!(all(&mut receiver).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_torn_end_is_left_out_and_the_records_before_it_are_not() {
    let folder = TempDir::new().unwrap();
    let (sink, receiver) = UsageSink::open(config(folder.path())).unwrap();
    (0..3).for_each(|n| record(&sink, n));
    drop((sink, receiver));
    let file = files(folder.path(), "calls").pop().unwrap();
    let length = fs::metadata(&file).unwrap().len();
    fs::File::options().write(true).open(&file).unwrap().set_len(length - 5).unwrap();
    let (_sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    assert_eq!(all(&mut receiver).await, [0, 1]);
    assert!(files(folder.path(), "calls").is_empty() && files(folder.path(), "damaged").is_empty());
}

#[tokio::test]
async fn a_damaged_record_costs_no_other_and_its_file_is_kept() {
    let folder = TempDir::new().unwrap();
    let (sink, receiver) = UsageSink::open(config(folder.path())).unwrap();
    (0..3).for_each(|n| record(&sink, n));
    drop((sink, receiver));
    let path = files(folder.path(), "calls").pop().unwrap();
    let text = fs::read(&path).unwrap();
    let second = text.iter().position(|b| *b == b'\n').unwrap() as u64 + 1;
    fs::File::options().write(true).open(&path).unwrap().write_all_at(&[0; 40], second).unwrap();
    let (_sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    assert_eq!(all(&mut receiver).await, [0, 2]);
    assert_eq!((files(folder.path(), "calls").len(), files(folder.path(), "damaged").len()), (0, 1));
}

#[tokio::test]
async fn what_is_no_spool_at_all_is_kept_and_stops_nothing() {
    let folder = TempDir::new().unwrap();
    let mut rubbish = fs::File::create(folder.path().join("x.calls")).unwrap();
    rubbish.write_all(&vec![b'x'; 700 * 1024]).unwrap();
    drop(rubbish);
    fs::write(folder.path().join("y.calls"), "").unwrap();
    fs::write(folder.path().join("z.begun"), "").unwrap();
    let (sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    record(&sink, 1);
    let batch = tokio::time::timeout(Duration::from_secs(30), receiver.next_batch(7, Duration::ZERO)).await.expect("it stands still");
    assert_eq!(batch, [call(1)]);
    receiver.confirm();
    assert_eq!((files(folder.path(), "calls").len(), files(folder.path(), "begun").len()), (1, 0));
    assert_eq!(sink.waiting_bytes(), 0);
}

#[tokio::test]
async fn two_gateways_in_one_folder_share_no_file_and_the_one_that_stays_reads_what_the_other_left() {
    let folder = TempDir::new().unwrap();
    let (one, mut from_one) = UsageSink::open(config(folder.path())).unwrap();
    record(&one, 1);
    let (two, mut from_two) = UsageSink::open(config(folder.path())).unwrap();
    record(&two, 2);
    record(&one, 3);
    assert_eq!(files(folder.path(), "calls").len(), 2);
    // A third that starts meanwhile takes nothing away from those that live.
    let (_three, mut from_three) = UsageSink::open(config(folder.path())).unwrap();
    assert_eq!(all(&mut from_three).await, []);
    assert_eq!(all(&mut from_one).await, [1, 3]);
    drop((two, from_two));
    from_three.look().unwrap();
    assert_eq!(all(&mut from_three).await, [2]);
    from_two = UsageSink::open(config(folder.path())).unwrap().1;
    assert!(!from_two.has_more());
}

#[tokio::test]
async fn a_full_spool_refuses_calls_before_they_are_forwarded_and_takes_them_again_when_it_was_read_out() {
    let folder = TempDir::new().unwrap();
    let (sink, mut receiver) = UsageSink::open(SpoolConfig { max_bytes: 3 * RECORD_BYTES, ..config(folder.path()) }).unwrap();
    let held: Vec<_> = (0..3).map(|_| sink.reserve().expect("a place")).collect();
    assert!(sink.reserve().is_none(), "every place is held");
    for (n, slot) in held.into_iter().enumerate() {
        slot.record(call(n as u128));
    }
    let mut n = 3;
    while let Some(slot) = sink.reserve() {
        slot.record(call(n));
        n += 1;
    }
    assert!(n > 10, "records take less than their place: {n}");
    assert_eq!(all(&mut receiver).await, (0..n).collect::<Vec<_>>());
    assert!(sink.reserve().is_some());
}

#[tokio::test]
async fn files_are_closed_at_their_size_and_removed_when_they_were_read_out() {
    let folder = TempDir::new().unwrap();
    let (sink, mut receiver) = UsageSink::open(SpoolConfig { segment_bytes: 2_000, ..config(folder.path()) }).unwrap();
    (0..50).for_each(|n| record(&sink, n));
    assert!(files(folder.path(), "calls").len() > 3);
    assert_eq!(all(&mut receiver).await, (0..50).collect::<Vec<_>>());
    assert_eq!(files(folder.path(), "calls").len(), 1, "the one that is written to");
    record(&sink, 50);
    assert_eq!(all(&mut receiver).await, [50]);
}

#[tokio::test]
async fn records_are_brought_to_the_disk_itself_soon_after() {
    let folder = TempDir::new().unwrap();
    let (sink, receiver) = UsageSink::open(SpoolConfig { sync_every: Duration::from_millis(10), ..config(folder.path()) }).unwrap();
    let syncing = tokio::spawn(receiver.sync());
    record(&sink, 1);
    let synced = || sink.spool.state().segments.iter().all(|s| s.synced == s.written());
    for _ in 0..3_000 {
        if synced() {
            syncing.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never synced");
}

#[tokio::test]
async fn many_calls_at_once_are_each_there_once() {
    let folder = TempDir::new().unwrap();
    let (sink, mut receiver) = UsageSink::open(SpoolConfig { segment_bytes: 10_000, ..config(folder.path()) }).unwrap();
    let writers: Vec<_> = (0..8)
        .map(|t| {
            let sink = sink.clone();
            std::thread::spawn(move || (0..200).for_each(|n| record(&sink, t * 1_000 + n)))
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < 1_600 {
        let batch = tokio::time::timeout(Duration::from_secs(60), receiver.next_batch(50, Duration::from_millis(1))).await.expect("lost");
        seen.extend(batch.iter().map(|c| c.at.0 as u128));
        receiver.confirm();
    }
    writers.into_iter().for_each(|w| w.join().unwrap());
    seen.sort_unstable();
    assert_eq!(seen, (0..8).flat_map(|t| (0..200).map(move |n| t * 1_000 + n)).collect::<Vec<_>>());
    assert!(!receiver.has_more());
}

#[tokio::test]
async fn how_many_records_wait_and_for_how_long_is_known_also_of_those_that_a_process_before_left() {
    let folder = TempDir::new().unwrap();
    let (sink, receiver) = UsageSink::open(config(folder.path())).unwrap();
    for n in 1..=3 {
        record(&sink, n);
    }
    let bytes = sink.waiting_bytes();
    assert_eq!(sink.status(), SpoolStatus { records: 3, bytes, max_bytes: 1 << 30, oldest: None });
    drop((sink, receiver));
    let (sink, mut receiver) = UsageSink::open(config(folder.path())).unwrap();
    assert_eq!((sink.status().records, sink.status().bytes), (3, bytes), "left by the one before");
    record(&sink, 4);
    assert_eq!(receiver.next_batch(2, Duration::ZERO).await.len(), 2);
    assert_eq!(sink.status().oldest, Some(Timestamp(101)), "when the oldest of the batch ended");
    receiver.confirm();
    assert_eq!((sink.status().records, sink.status().oldest), (2, None));
    all(&mut receiver).await;
    assert_eq!((sink.status().records, sink.status().bytes), (0, 0));
}
