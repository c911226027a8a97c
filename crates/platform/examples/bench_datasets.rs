//! What an upload costs: bytes to the store, hashed, every row judged and split. See `bench/datasets/README.md`.
//!
//!     bench_datasets make FILE BYTES        a file of chat rows, always the same
//!     bench_datasets take FILE              uploads and judges it; says CPU seconds and peak memory of each part

use bytes::Bytes;
use domain::{artefacts::ArtefactStore, people::Role, tenant::Quota, time::Timestamp};
use futures::StreamExt;
use platform::{
    Config, Platform, SESSION_HOURS,
    access::{Origin, PlatformScope},
    datasets::NewUpload,
    sessions::Profile,
    tenants::NewTenant,
};
use std::{
    io::{BufWriter, Read, Write},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", file, bytes] => make(file, bytes.parse()?),
        ["take", file] => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(take(file)),
        _ => Err("bench_datasets make FILE BYTES | take FILE".into()),
    }
}

/// Questions and answers of random words, some turns a row; one row in fifty stands twice, one in a hundred is broken.
fn make(file: &str, bytes: u64) -> Result<(), Box<dyn std::error::Error>> {
    const WORDS: &str = "the of press oil shift seal hall plan work year early late model answer where when how printer paper large office \
                         contract invoice customer delivery Dresden Kraków “quoted” line\\n tab naïve 42 17.5 because although machine";
    let words: Vec<&str> = WORDS.split(' ').collect();
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(file)?);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let (mut written, mut last) = (0, String::new());
    while written < bytes {
        let text = |random: &mut dyn FnMut(usize) -> usize, most: usize| {
            (0..8 + random(most)).map(|_| words[random(words.len())]).collect::<Vec<_>>().join(" ")
        };
        let row = match random(100) {
            0 => "{\"messages\":[{\"role\":\"user\"".to_owned(),
            1 | 2 if !last.is_empty() => last.clone(),
            _ => {
                let turns: Vec<String> = (0..=random(2))
                    .map(|_| {
                        let (question, answer) = (text(&mut random, 30), text(&mut random, 120));
                        format!("{{\"role\":\"user\",\"content\":\"{question}\"}},{{\"role\":\"assistant\",\"content\":\"{answer}\"}}")
                    })
                    .collect();
                format!("{{\"messages\":[{}]}}", turns.join(","))
            }
        };
        writeln!(out, "{row}")?;
        written += row.len() as u64 + 1;
        last = row;
    }
    Ok(out.flush()?)
}

async fn take(file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir_in(std::path::Path::new(file).parent().ok_or("a path with a folder")?)?;
    let config = Config {
        database_url: format!("sqlite:{}", folder.path().join("db").display()),
        store: ArtefactStore::Local { root: folder.path().join("store").display().to_string() },
        store_key: None,
        garage: None,
        engine: engine::Engine::Local(engine::local::LocalEngine::new(
            folder.path().join("tasks"),
            "/bin/false".into(),
            Default::default(),
        )),
        task_limits: Default::default(),
        outside_allowed: Default::default(),
        session_hours: SESSION_HOURS,
        session_idle_minutes: platform::SESSION_IDLE_MINUTES,
        confirm_seconds: platform::CONFIRM_SECONDS,
        token_key: platform::sealing::TokenKey::new([7; 32]),
        upload_bytes: u64::MAX,
        tenant_group: "atelier/{tenant}/{role}".into(),
        outside_host: None,
    };
    let clock = || Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64));
    let platform = Platform::open(config, clock).await?;
    let quota = Quota { storage_bytes: 1 << 40, ..Quota::default() };
    platform.tenants(&PlatformScope::command_line()).create(NewTenant { name: "bench".into(), title: String::new(), quota }).await?;
    let profile = Profile {
        issuer: "https://id.example".into(),
        subject: "bench".into(),
        name: "bench".into(),
        email: None,
        groups: Vec::new(),
        platform_role: None,
        memberships: vec![("bench".parse()?, Role::Engineer)],
        id_token: None,
        session: None,
        refresh_token: None,
    };
    let secret = platform.sessions().sign_in(profile, &Origin::default()).await?;
    let caller = platform.sessions().caller(&secret, Origin::default()).await?.ok_or("no session")?;
    let scope = caller.scope(&platform, "bench").await?;

    let gigabytes = std::fs::metadata(file)?.len() as f64 / 1e9;
    let mut source = std::fs::File::open(file)?;
    // As a request's body comes: in pieces of some ten kilobytes. Reading them is part of the figure, as receiving them would be.
    let pieces = futures::stream::iter(std::iter::from_fn(move || {
        let mut piece = vec![0; 64 * 1024];
        match source.read(&mut piece) {
            Ok(0) => None,
            Ok(n) => {
                piece.truncate(n);
                Some(Ok(Bytes::from(piece)))
            }
            Err(e) => Some(Err(e)),
        }
    }));
    let new = NewUpload { name: "rows".into(), file_name: "rows.jsonl".into(), held_out_percent: 10, ..NewUpload::default() };
    let mut part = Part::begin("upload + hash", gigabytes);
    platform.datasets(&scope).upload(new, pieces.boxed()).await?;
    let upload = part.end();
    part = Part::begin("judge", gigabytes);
    platform.run_due_jobs("bench").await?;
    let judge = part.end();
    let version = platform.datasets(&scope).version("rows", None).await?;
    let report = version.report.ok_or("not judged")?;
    println!(
        "{:<16}{:>8.2} cpu-s/GB; {} rows, {} accepted, {} held out, {} bytes of results; {}",
        "together",
        upload + judge,
        report.rows,
        report.accepted,
        report.held_out_rows,
        version.judged_bytes,
        report.findings.iter().map(|f| format!("{} {}", f.count, f.rule)).collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

struct Part {
    name: &'static str,
    gigabytes: f64,
    began: Instant,
    user: f64,
    system: f64,
}

impl Part {
    fn begin(name: &'static str, gigabytes: f64) -> Self {
        // The peak counts from here.
        drop(std::fs::write("/proc/self/clear_refs", "5"));
        let (user, system) = cpu();
        Self { name, gigabytes, began: Instant::now(), user, system }
    }

    /// CPU seconds a gigabyte.
    fn end(&self) -> f64 {
        let (user, system) = cpu();
        let [user, system] = [user - self.user, system - self.system].map(|s| s / self.gigabytes);
        let (name, seconds, peak) = (self.name, self.began.elapsed().as_secs_f64(), peak() / 1024);
        println!("{name:<16}{:>8.2} cpu-s/GB ({user:.2} own, {system:.2} kernel), {seconds:.1} s, peak {peak} MB resident", user + system);
        user + system
    }
}

/// Seconds of this process: its own, and the kernel's for it.
fn cpu() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
    // Ticks of 10 ms; fields 14 and 15 of the whole line.
    (fields.get(11).copied().unwrap_or(0.0) / 100.0, fields.get(12).copied().unwrap_or(0.0) / 100.0)
}

/// Kilobytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
