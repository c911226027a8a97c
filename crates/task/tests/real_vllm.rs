//! The real vLLM on the demo's base model: loads, takes adapters on and off, dies loudly, stops cleanly.
//! Needs `ATELIER_VLLM_PYTHON`; about a minute on two cores.

#[allow(dead_code)]
mod world;

use domain::reason::endpoint::AdapterReason;
use domain::{
    artefacts,
    report::{Phase, TaskMessage},
    task_spec::{WantedAdapter, WantedAdapters},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::FileTypeExt,
    time::Duration,
};
use world::*;

/// Not a test: this executable as the task.
#[test]
fn the_task_itself() {
    be_the_task();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A LoRA adapter of rank 8 on one projection, made of small constant numbers: enough to change answers.
fn put_adapter(world: &World, n: u128, rank: usize) {
    let folder = world.stored(&artefacts::model_version(&tenant(), version(n)));
    std::fs::create_dir_all(&folder).unwrap();
    let config = json!({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 16, "lora_dropout": 0.0, "bias": "none",
        "target_modules": ["o_proj"], "base_model_name_or_path": "base", "use_dora": false, "use_rslora": false});
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for layer in 0..4 {
        for (half, shape) in [("lora_A", [rank, 256]), ("lora_B", [256, rank])] {
            let start = data.len();
            for i in 0..rank * 256 {
                data.extend((((i * 7 + layer * 3) % 11) as f32 * 0.05 - 0.25).to_le_bytes());
            }
            let name = format!("base_model.model.model.layers.{layer}.self_attn.o_proj.{half}.weight");
            header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
        }
    }
    let header = Value::Object(header).to_string();
    let mut file = std::fs::File::create(folder.join("adapter_model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(&data).unwrap();
}

fn want(world: &World, task: &str, versions: &[u128]) {
    let adapters =
        versions.iter().map(|n| WantedAdapter { name: version(*n).to_string(), version: version(*n), files: Vec::new() }).collect();
    let path = world.task_folder(task).join("adapters.json");
    let beside = path.with_extension("new");
    std::fs::write(&beside, serde_json::to_vec(&WantedAdapters { adapters }).unwrap()).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// Status and body of a chat completion, greedy.
fn ask(port: u16, model: &str) -> (u16, Value) {
    let body =
        json!({"model": model, "temperature": 0, "max_tokens": 16, "messages": [{"role": "user", "content": "What are you?"}]}).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let (from, to) = (text.find('{').unwrap_or(0), text.rfind('}').map_or(0, |i| i + 1));
    (status, serde_json::from_str(&text[from..to]).unwrap_or_default())
}

fn answer(port: u16, model: &str) -> String {
    let (status, body) = ask(port, model);
    assert_eq!(status, 200, "{body}");
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

fn wait_for_adapters(task: &mut Process, loaded: &[u128], failed: usize) -> TaskMessage {
    let names: Vec<_> = loaded.iter().map(|n| version(*n).to_string()).collect();
    task.wait_for(&format!("adapters {loaded:?}"), 60, |s| match s {
        TaskMessage::Adapters { loaded, failed: f } if *loaded == names && f.len() == failed => Some(s.clone()),
        _ => None,
    })
}

#[test]
fn adapters_come_and_go_without_a_restart_and_a_dead_server_is_noticed() {
    let Some(_machine) = machine("ATELIER_VLLM_PYTHON") else { return };
    let (world, port) = (World::new(16), free_port());
    put_adapter(&world, 21, 8);
    put_adapter(&world, 22, 16);
    put_adapter(&world, 23, 64);
    let mut task = world.serve("ep-1", port);
    task.wait_for("ready", 240, |s| matches!(s, TaskMessage::Phase { phase: Phase::Ready, .. }).then_some(()));
    assert_eq!(task.phases(), [Phase::Loading, Phase::Ready]);
    let base = answer(port, "demo");
    assert!(!base.is_empty());
    // Its sockets are its own, not left to all in the machine's temporary folder.
    let is_socket = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_type().unwrap().is_socket();
    let mut own = std::fs::read_dir(world.task_folder("ep-1").join("work/tmp")).unwrap();
    assert!(own.any(is_socket), "no socket in the server's own folder");

    want(&world, "ep-1", &[21]);
    wait_for_adapters(&mut task, &[21], 0);
    let tuned = answer(port, &version(21).to_string());
    assert_ne!(base, tuned, "the adapter changed nothing");

    // A second one of another rank, one that the store does not have, and one that is too large for this server.
    want(&world, "ep-1", &[21, 22, 23, 24]);
    let TaskMessage::Adapters { failed, .. } = wait_for_adapters(&mut task, &[21, 22], 2) else { unreachable!() };
    let reason = |n: u128| failed.iter().find(|f| f.name == version(n).to_string()).unwrap().reason.clone();
    assert!(matches!(reason(23), AdapterReason::RankTooHigh { .. }), "{:?}", reason(23));
    assert_eq!(reason(24).said(), "The adapter is not in the store.");
    answer(port, &version(22).to_string());

    want(&world, "ep-1", &[22]);
    wait_for_adapters(&mut task, &[22], 0);
    assert_eq!(ask(port, &version(21).to_string()).0, 404, "an adapter that was taken off still answers");
    assert_eq!(answer(port, "demo"), base, "the base model was touched");
    assert!(!task.log().contains("HTTP/1.1"), "{}", task.log());

    let server = task.child_with("vllm.entrypoints");
    let engines = children(server);
    kill(server, "-9");
    assert_eq!(task.wait(30).code(), Some(137));
    assert!(task.log().contains("Error The model server was killed by the system"), "{}", task.log());
    engines.into_iter().for_each(wait_until_gone);
}

/// Status of `GET /ready`; 0 where nobody listens.
fn readiness(port: u16) -> u16 {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return 0 };
    let mut text = String::new();
    let _ = write!(stream, "GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .and_then(|()| stream.read_to_string(&mut text).map(drop));
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// A stream of so many tokens: told when its first piece is there, and read to its end.
fn stream(port: u16, tokens: u32, began: &std::sync::mpsc::Sender<()>) -> String {
    let body = json!({"model": "demo", "stream": true, "max_tokens": tokens, "ignore_eos": true, "messages": [{"role": "user", "content": "What are you?"}]}).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    write!(stream, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let (mut all, mut piece, mut told) = (Vec::new(), [0; 4096], false);
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        all.extend_from_slice(&piece[..read]);
        if !told && String::from_utf8_lossy(&all).contains("data: ") {
            began.send(()).unwrap();
            told = true;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_server_is_ready_after_its_first_token_and_answers_what_is_under_way_before_it_ends() {
    let Some(_machine) = machine("ATELIER_VLLM_PYTHON") else { return };
    let (port, ready_port) = (free_port(), free_port());
    let mut world = World::new(16);
    world.drains = Some((ready_port, 100));
    let mut task = world.serve("ep-1", port);
    task.wait_for("loading", 60, |s| matches!(s, TaskMessage::Phase { phase: Phase::Loading, .. }).then_some(()));
    assert_ne!(readiness(ready_port), 200, "nothing is loaded yet");
    task.wait_for("ready", 240, |s| matches!(s, TaskMessage::Phase { phase: Phase::Ready, .. }).then_some(()));
    wait_for_adapters(&mut task, &[], 0);
    assert_eq!(readiness(ready_port), 200);

    let (began, begins) = std::sync::mpsc::channel();
    let streams: Vec<_> = (0..8)
        .map(|_| {
            let began = began.clone();
            std::thread::spawn(move || stream(port, 440, &began))
        })
        .collect();
    for _ in 0..8 {
        begins.recv_timeout(Duration::from_secs(60)).expect("a stream does not begin");
    }
    task.signal("-TERM");
    task.wait_for("draining", 30, |s| matches!(s, TaskMessage::Phase { phase: Phase::Stopping, .. }).then_some(()));
    assert_eq!(readiness(ready_port), 503);
    // Whoever has not heard of it yet still gets an answer.
    assert!(!answer(port, "demo").is_empty());
    for stream in streams {
        let all = stream.join().unwrap();
        assert!(all.contains("data: [DONE]"), "a stream broke off: …{}", &all[all.len().saturating_sub(300)..]);
    }
    assert_eq!(task.wait(60).code(), Some(0), "{}", task.log());
}

#[test]
fn a_whole_model_is_served_and_one_that_hangs_is_ended() {
    let Some(_machine) = machine("ATELIER_VLLM_PYTHON") else { return };
    let (world, port) = (World::new(16), free_port());
    // What a full run publishes: weights, configuration and tokenizer under the version.
    let folder = world.stored(&artefacts::model_version(&tenant(), version(31)));
    std::fs::create_dir_all(&folder).unwrap();
    for file in std::fs::read_dir(world.stored(&artefacts::base_model(BASE))).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let mut task = world.serve_merged("ep-1", port, version(31));
    task.wait_for("ready", 240, |s| matches!(s, TaskMessage::Phase { phase: Phase::Ready, .. }).then_some(()));
    assert!(!answer(port, "demo").is_empty());
    wait_for_adapters(&mut task, &[], 0);

    // Its process is there and its port takes calls, but nobody answers.
    let server = task.child_with("vllm.entrypoints");
    kill(server, "-STOP");
    let ended = task.wait(150);
    assert!(!ended.success(), "{ended}");
    assert!(task.log().contains("has not answered for more than a minute"), "{}", task.log());
    wait_until_gone(server);
}

#[test]
fn a_merged_adapter_is_served_like_any_whole_model() {
    let Some(_machine) = machine("ATELIER_VLLM_PYTHON") else { return };
    let Some(_) = std::env::var_os("ATELIER_TRAINER_PYTHON") else {
        return testing::skip("ATELIER_TRAINER_PYTHON is not set, so nothing can be merged (make test installs it)");
    };
    let (world, port) = (World::new(64), free_port());
    let settings = domain::settings::preset("lora").unwrap().with("num_train_epochs", 1.0).with("cutoff_len", 128);
    let mut training = world.train(settings);
    assert!(training.wait(180).success(), "{}", training.log());
    let mut merging = world.merge();
    assert!(merging.wait(180).success(), "{}", merging.log());
    let published = world.stored(&artefacts::model_version(&tenant(), version(32)));
    std::fs::create_dir_all(published.parent().unwrap()).unwrap();
    std::fs::rename(world.stored(&artefacts::run_output(&tenant(), RUN, "merge")), &published).unwrap();
    let mut task = world.serve_merged("ep-1", port, version(32));
    task.wait_for("ready", 240, |s| matches!(s, TaskMessage::Phase { phase: Phase::Ready, .. }).then_some(()));
    assert!(!answer(port, "demo").is_empty());
    task.signal("-TERM");
    assert_eq!(task.wait(60).code(), Some(0), "{}", task.log());
}

#[test]
fn a_stop_while_it_loads_ends_it_at_once_and_cleanly() {
    let Some(_machine) = machine("ATELIER_VLLM_PYTHON") else { return };
    let world = World::new(16);
    let mut task = world.serve("ep-1", free_port());
    let server = task.child_with("vllm.entrypoints");
    std::thread::sleep(Duration::from_secs(4));
    task.signal("-TERM");
    assert_eq!(task.wait(30).code(), Some(0), "{}", task.log());
    wait_until_gone(server);
}
