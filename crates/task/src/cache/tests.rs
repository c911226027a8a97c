//! Starts of a model server, one after the other and at once, on a volume that others cut off, change, fill and leave half-written.

use super::*;
use domain::artefacts::ArtefactStore;
use std::process::Command;
use tempfile::TempDir;

const FROM: &str = "base-models/b";

/// A store with a model of two files, a volume, and what a start prints.
struct World {
    root: TempDir,
    volume: TempDir,
    artefacts: Artefacts,
    files: Vec<StoredFile>,
}

fn stored(path: &str, bytes: &[u8]) -> StoredFile {
    StoredFile { path: path.into(), bytes: bytes.len() as u64, digest: blake3::hash(bytes).to_hex().to_string() }
}

async fn world() -> World {
    let (root, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let artefacts = Artefacts::open(&ArtefactStore::Local { root: root.path().to_string_lossy().into_owned() }).unwrap();
    let weights: Vec<u8> = (0..3_000_000).map(|i| (i % 251) as u8).collect();
    let files = vec![stored("model.safetensors", &weights), stored("deeper/config.json", b"{}")];
    artefacts.put(&format!("{FROM}/model.safetensors"), weights).await.unwrap();
    artefacts.put(&format!("{FROM}/deeper/config.json"), "{}".into()).await.unwrap();
    World { root, volume, artefacts, files }
}

impl World {
    fn cache(&self, replica: &str) -> Cache {
        Cache { folder: self.volume.path().into(), replica: replica.into() }
    }

    /// One start: what it linked, whether each is as it was stored, and what it said.
    async fn start(&self, replica: &str) -> (Vec<bool>, String) {
        let pod = tempfile::tempdir().unwrap();
        let reporter = Reporter::new(&pod.path().join("log.jsonl"), io::sink()).unwrap();
        let to = pod.path().join("weights");
        self.cache(replica).bring(&self.artefacts, &reporter, FROM, &to, &self.files).await.unwrap();
        let whole = |file: &StoredFile| {
            fs::read(to.join(&file.path)).map(|bytes| assert_eq!(stored(&file.path, &bytes), *file, "served otherwise than stored")).is_ok()
        };
        (self.files.iter().map(whole).collect(), fs::read_to_string(reporter.file()).unwrap())
    }

    fn place(&self, n: usize) -> PathBuf {
        self.cache("").place(&self.files[n])
    }

    fn parts(&self) -> usize {
        fs::read_dir(self.volume.path().join("parts")).map_or(0, Iterator::count)
    }

    /// So that what a start has can only come from the volume.
    fn empty_the_store(&self) {
        fs::remove_dir_all(self.root.path().join("base-models")).unwrap();
    }
}

fn used_ago(path: &Path, ago: Duration) {
    let writable = File::open(path).unwrap();
    writable.set_modified(SystemTime::now() - ago).unwrap();
}

#[tokio::test]
async fn a_second_start_asks_the_store_for_nothing() {
    let world = world().await;
    let (linked, said) = world.start("pod-1").await;
    assert_eq!(linked, [true, true]);
    assert!(said.contains("0 files, 0 B, checked; 2 files, 3.0 MB, fetched onto it"), "{said}");
    assert_eq!(world.parts(), 0);
    world.empty_the_store();
    let (linked, said) = world.start("pod-2").await;
    assert_eq!(linked, [true, true]);
    assert!(said.contains("2 files, 3.0 MB, checked; 0 files, 0 B, fetched onto it"), "{said}");
}

#[tokio::test]
async fn what_was_cut_off_or_changed_on_the_volume_is_fetched_anew() {
    let world = world().await;
    world.start("pod-1").await;
    let damage: [fn(&Path); 3] = [
        |path| File::options().write(true).open(path).unwrap().set_len(1_000_000).unwrap(),
        // Of the same size: only its digest says it.
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[2_000_000] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
    ];
    for harm in damage {
        harm(&world.place(0));
        let (linked, said) = world.start("pod-2").await;
        assert_eq!(linked, [true, true]);
        assert!(said.contains("1 files, 2 B, checked; 1 files, 3.0 MB, fetched onto it"), "{said}");
    }
}

/// The store's own copy is damaged: nothing of it gets a name on the volume.
#[tokio::test]
async fn what_the_store_holds_otherwise_than_stored_is_never_kept() {
    let world = world().await;
    world.artefacts.put(&format!("{FROM}/model.safetensors"), vec![7; 3_000_000]).await.unwrap();
    let pod = tempfile::tempdir().unwrap();
    let reporter = Reporter::new(&pod.path().join("log.jsonl"), io::sink()).unwrap();
    let brought = world.cache("pod-1").bring(&world.artefacts, &reporter, FROM, &pod.path().join("w"), &world.files).await;
    assert!(matches!(brought, Err(TaskError::Altered(_))), "{brought:?}");
    assert!(!world.place(0).exists() && world.parts() == 0);
}

#[tokio::test]
async fn what_a_killed_pod_left_half_written_is_not_served_and_goes() {
    let world = world().await;
    let parts = world.volume.path().join("parts");
    fs::create_dir_all(&parts).unwrap();
    // Of a pod that is gone for long, of one that may be writing, and of this pod's own container before it was killed.
    for (name, ago) in [("gone.1", 2 * ABANDONED), ("other.1", ABANDONED / 2), ("pod-1.1", Duration::ZERO)] {
        fs::write(parts.join(name), [9; 1000]).unwrap();
        used_ago(&parts.join(name), ago);
    }
    assert_eq!(world.start("pod-1").await.0, [true, true]);
    let left: Vec<_> = fs::read_dir(&parts).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["other.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_at_the_same_time_do_not_disturb_each_other() {
    let world = world().await;
    let starts = (0..6).map(|n| {
        let world = &world;
        async move { world.start(&format!("pod-{n}")).await.0 }
    });
    assert!(futures::future::join_all(starts).await.iter().all(|linked| *linked == [true, true]));
    assert_eq!((world.parts(), fs::read_dir(world.volume.path().join("blake3")).unwrap().count()), (0, 2));
}

#[tokio::test]
async fn a_start_that_is_told_to_stop_leaves_nothing_half_written() {
    let world = world().await;
    let begun = world.cache("pod-1").begin(10).unwrap();
    assert_eq!(world.parts(), 1);
    drop(begun);
    assert_eq!(world.parts(), 0);
}

/// A volume of its own size, as long as the test runs.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, bytes: u64) -> Option<Self> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"]).arg(at).output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.into()));
        }
        testing::leave_out("a full volume: only root may mount one");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_volume_gives_up_what_nobody_uses_and_else_the_pods_own_disk_takes_the_file() {
    let world = world().await;
    let Some(_mounted) = Mounted::new(world.volume.path(), 4 << 20) else { return };
    let others = world.volume.path().join("blake3");
    fs::create_dir_all(&others).unwrap();
    let old = |name: &str, ago: Duration| {
        fs::write(others.join(name), vec![1; 1 << 20]).unwrap();
        used_ago(&others.join(name), ago);
    };
    // All of it in use.
    for name in ["a", "b", "c"] {
        old(name, UNUSED / 2);
    }
    let (linked, said) = world.start("pod-1").await;
    assert_eq!(linked, [false, false], "what does not fit is left to the pod's own disk");
    assert!(said.contains("does not take 3.0 MB") && said.contains("it is full") && said.contains("onto the pod's own disk"), "{said}");
    assert_eq!(fs::read_dir(&others).unwrap().count(), 3, "what is used stays");
    // Two that nobody has used for a day: the older one first, and no more than is needed.
    old("a", UNUSED * 3);
    old("b", UNUSED * 2);
    fs::remove_file(others.join("c")).unwrap();
    let (linked, said) = world.start("pod-1").await;
    assert_eq!(linked, [true, true], "{said}");
    assert!(!others.join("a").exists() && others.join("b").exists());
}

#[tokio::test]
async fn a_volume_that_takes_nothing_is_told_and_stops_nobody() {
    let world = world().await;
    // Where the folder should be is a file: every call fails, also as root.
    let cache = Cache { folder: world.place(0).with_file_name("none"), replica: "pod-1".into() };
    fs::create_dir_all(cache.folder.parent().unwrap()).unwrap();
    fs::write(&cache.folder, "").unwrap();
    let pod = tempfile::tempdir().unwrap();
    let reporter = Reporter::new(&pod.path().join("log.jsonl"), io::sink()).unwrap();
    cache.bring(&world.artefacts, &reporter, FROM, &pod.path().join("w"), &world.files).await.unwrap();
    assert!(fs::read_to_string(reporter.file()).unwrap().contains("does not take 3.0 MB"));
    let fetched = world.artefacts.fetch_folder(FROM, &pod.path().join("w"), "The base model", &world.files).await.unwrap();
    assert_eq!(fetched.files, 2);
}

/// A name of the list that would be another place.
#[test]
fn only_digests_and_names_within_the_folder_become_paths() {
    assert!(is_digest(&"a0".repeat(32)) && !is_digest("../x") && !is_digest(&"g".repeat(64)));
    assert!(is_inside("a/b.json") && !is_inside("../b") && !is_inside("/etc/passwd") && !is_inside(""));
}

#[tokio::test]
async fn what_is_linked_stays_when_the_rest_of_the_folder_is_fetched() {
    let world = world().await;
    let pod = tempfile::tempdir().unwrap();
    let reporter = Reporter::new(&pod.path().join("log.jsonl"), io::sink()).unwrap();
    let to = pod.path().join("weights");
    world.cache("pod-1").bring(&world.artefacts, &reporter, FROM, &to, &world.files).await.unwrap();
    world.artefacts.put(&format!("{FROM}/deeper/config.json"), "[]".into()).await.unwrap();
    world.artefacts.put(&format!("{FROM}/more.json"), "{}".into()).await.unwrap();
    let fetched = world.artefacts.fetch_folder(FROM, &to, "The base model", &world.files).await.unwrap();
    assert_eq!((fetched.files, fs::read_to_string(to.join("deeper/config.json")).unwrap().as_str()), (3, "{}"));
    assert_eq!(fs::read(world.place(1)).unwrap(), b"{}", "written through the link");
    assert!(to.join("more.json").is_file());
}
