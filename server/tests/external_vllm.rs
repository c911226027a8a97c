//! A real vLLM that somebody else runs, as an endpoint: found, offered, called through the gateway, counted, measured, and removed.
//! Needs `ATELIER_VLLM_PYTHON`; about a minute on two cores.

mod processes;

use processes::{Setup, TaskFolders, free_port, person::Person, prepare, within, world};
use serde_json::{Value, json};
use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const TENANT: &str = "lumenta";
/// Its id at the server, and its name here.
const THERE: &str = "someone/world-4m";
const HERE: &str = "house-4m";
const KEY: &str = "sk-of-the-house-3f9c";
const PATIENCE: Duration = Duration::from_secs(120);

/// Ends with the test, with everything that it started.
struct Vllm {
    child: Child,
    port: u16,
}

impl Vllm {
    /// With a key that callers must send; `None` where there is no vLLM.
    fn start(folder: &Path) -> Option<Self> {
        let Some(python) = std::env::var_os("ATELIER_VLLM_PYTHON") else {
            testing::skip("ATELIER_VLLM_PYTHON is not set, so no real vLLM can be run (make test installs it)");
            return None;
        };
        std::fs::create_dir_all(folder).unwrap();
        let (port, log) = (free_port(), std::fs::File::create(folder.join("log")).unwrap());
        let child = Command::new(python)
            .args(["-m", "vllm.entrypoints.openai.api_server", "--served-model-name", THERE, "--host", "127.0.0.1"])
            .args(["--max-model-len", "512", "--max-num-seqs", "16", "--enforce-eager", "--distributed-executor-backend", "uni"])
            .args(["--dtype", "float32", "--port", &port.to_string(), "--api-key", KEY, "--model"])
            .arg(world("base-model"))
            .envs([("VLLM_TARGET_DEVICE", "cpu"), ("VLLM_CPU_KVCACHE_SPACE", "1"), ("VLLM_ENABLE_V1_MULTIPROCESSING", "0")])
            .envs([("OMP_NUM_THREADS", "1"), ("VLLM_NO_USAGE_STATS", "1"), ("HF_HUB_OFFLINE", "1")])
            .envs(["HOME", "XDG_CACHE_HOME", "TMPDIR"].map(|name| (name, folder)))
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Some(Self { child, port })
    }
}

impl Drop for Vllm {
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", &format!("kill -9 -{}", self.child.id())]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn question(stream: bool) -> Value {
    json!({"model": HERE, "stream": stream, "max_tokens": 12, "messages": [{"role": "user", "content": "What is Lumenta?"}]})
}

/// Status and text of a call through the gateway.
async fn call(address: &str, key: &str, stream: bool) -> (u16, String) {
    let request = reqwest::Client::new().post(format!("{address}/v1/chat/completions")).bearer_auth(key).json(&question(stream));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Every file below this folder that holds the text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_vllm_of_somebody_else_is_offered_called_counted_measured_and_removed() {
    prepare();
    let outside = tempfile::tempdir().unwrap();
    let Some(vllm) = Vllm::start(outside.path()) else { return };
    let data = tempfile::tempdir().unwrap();
    let _tasks = TaskFolders(data.path().to_owned());
    // What it says when somebody looks for a fault: the key must not be in it even then.
    let setup = Setup::new(data.path(), "portal").with("--outside-allowed", "127.0.0.1").saying("debug");
    let portal = setup.start().await;
    let at = setup.address.as_str();
    let (mira, jonas) = (Person::sign_in(at, "mira").await, Person::sign_in(at, "jonas").await);

    let address = format!("http://127.0.0.1:{}/v1", vllm.port);
    let added = [("tenant", TENANT), ("name", "house-llm"), ("address", &address), ("key", KEY)];
    mira.did(at, "endpoints/external", &added).await;
    let this = [("tenant", TENANT), ("name", "house-llm")];
    let page = async || jonas.did(at, "endpoints/get", &this).await.body;
    // While it loads it takes no connections: told, and asked again.
    let ready = within(Duration::from_secs(300), "vLLM has listed its models", async || {
        let page = page().await;
        (page["endpoint"]["state"] == "ready").then_some(page)
    })
    .await;
    let model = &ready["endpoint"]["external"]["models"][0];
    assert_eq!((model["there"].as_str(), model["context"].as_u64()), (Some(THERE), Some(512)));
    assert!(ready["endpoint"]["external"]["certificate_until"].is_null(), "without TLS there is none");

    let of = [("tenant", TENANT), ("endpoint", "house-llm")];
    mira.did(at, "endpoints/offer", &[of[0], of[1], ("there", THERE), ("here", HERE)]).await;
    let form = [("tenant", TENANT), ("form[label]", "outside"), ("form[may]", "all"), ("form[expires_in_days]", "1")];
    let key = jonas.did(at, "keys/create", &form).await.body["secret"].as_str().unwrap().to_owned();
    let whole = within(PATIENCE, "the gateway knows key and model", async || {
        let (status, text) = call(at, &key, false).await;
        (status == 200).then_some(text)
    })
    .await;
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["model"], HERE, "answered under its name here: {whole}");
    let tokens = |field: &str| whole["usage"][field].as_i64().unwrap();
    assert!(tokens("prompt_tokens") > 0 && tokens("completion_tokens") > 0, "{whole}");
    let (status, streamed) = call(at, &key, true).await;
    assert!(
        status == 200 && streamed.contains("data: [DONE]") && streamed.contains(HERE) && !streamed.contains(THERE),
        "{status} {streamed}"
    );

    // Counted as the server counted, for both.
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", data.path().join("atelier.db").display())).await.unwrap();
    let sql = "SELECT stream, prompt_tokens, completion_tokens, estimated, first_token_ms FROM calls WHERE model = $1 AND status = 200 ORDER BY at";
    let counted: Vec<(i64, i64, i64, i64, Option<i64>)> = within(PATIENCE, "both calls are recorded", async || {
        let rows: Vec<_> = sqlx::query_as(sql).bind(HERE).fetch_all(&pool).await.unwrap();
        (rows.len() == 2).then_some(rows)
    })
    .await;
    assert_eq!(counted[0].1, tokens("prompt_tokens"));
    assert_eq!(counted[0].2, tokens("completion_tokens"));
    assert_eq!((counted[0].0, counted[1].0, counted[1].1), (0, 1, tokens("prompt_tokens")));
    assert!(counted.iter().all(|c| c.2 > 0 && c.3 == 0 && c.4.is_some()), "{counted:?}");

    // Measured from these calls and from what it was asked anyway.
    mira.did(at, "endpoints/check", &of).await;
    let figures = within(PATIENCE, "a second look says how long it was there", async || {
        let figures = page().await["figures"].clone();
        (figures["availability"]["known_ms"].as_i64() > Some(0)).then_some(figures)
    })
    .await;
    let of_model = &figures["by_model"][0];
    assert!(
        of_model["model"] == HERE && of_model["requests"].as_u64() >= Some(2) && figures["first_token_p95"].as_u64() > Some(0),
        "{figures}"
    );

    // A key that the server does not take is told as that, and calls say why.
    mira.did(at, "endpoints/external_key", &[of[0], of[1], ("key", "sk-of-nobody-77aa")]).await;
    within(PATIENCE, "the server refuses the wrong key", async || {
        (page().await["endpoint"]["reason"]["trouble"]["trouble"] == "key_refused").then_some(())
    })
    .await;
    within(PATIENCE, "calls say that it cannot be used", async || {
        let (status, text) = call(at, &key, false).await;
        (status == 503 && text.contains("refuses the key")).then_some(())
    })
    .await;

    // Removed: the gateway does not know the model any more, and the calls are still counted.
    let not_hers = jonas.send(at, "endpoints/remove", &of).await;
    assert!(matches!(not_hers, Err(processes::person::No::Refused { status: 403, .. })), "{not_hers:?}");
    mira.did(at, "endpoints/remove", &of).await;
    within(PATIENCE, "the route is gone", async || (call(at, &key, false).await.0 == 404).then_some(())).await;
    let usage = mira.did(at, "usage/get", &[("tenant", TENANT), ("by", "model"), ("days", "1")]).await.body;
    assert!(usage.to_string().contains(HERE), "{usage}");

    assert!(portal.stop().await);
    for secret in [KEY, "sk-of-nobody-77aa"] {
        assert_eq!(holding(data.path(), secret), [""; 0], "{secret}");
    }
    assert!(!holding(data.path(), "house-llm").is_empty(), "nothing was looked at");
}
