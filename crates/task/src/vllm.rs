//! vLLM: the only place that knows its command line, its console and its calls for adapters.

use crate::{http::Http, machine::Machine, program::Ended};
use domain::{
    reason::endpoint::AdapterReason,
    run::LogLevel,
    serving::{ParserChoice, reasoning_parser_for, tool_call_parser_for},
    task_spec::Serve,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::process::Command;

/// Adapters that one batch may mix, and that stay in memory. A server with one slot would swap at every other call.
const ADAPTERS_AT_ONCE: u32 = 4;
const ADAPTERS_IN_MEMORY: u32 = 32;

/// A host that exists nowhere: with an empty list of hosts vLLM would fetch from all of them.
const NO_HOST: &str = "nothing.invalid";

/// `weights`: folder of the model. `folder`: home and caches of the server.
pub fn command(
    machine: &Machine,
    python: &Path,
    work: &Serve,
    parsers: &Parsers,
    weights: &Path,
    folder: &Path,
    at: SocketAddr,
) -> Command {
    let mut command = Command::new(python);
    // Through the module: the `vllm` program of the CPU wheel does not start.
    command.args(["-m", "vllm.entrypoints.openai.api_server", "--model"]).arg(weights);
    command.args(["--served-model-name", &work.served_name, "--host", &at.ip().to_string(), "--port", &at.port().to_string()]);
    if work.context > 0 {
        command.args(["--max-model-len", &work.context.to_string()]);
    }
    if work.max_lora_rank > 0 {
        command.args(["--enable-lora", "--max-lora-rank", &allowed_rank(work.max_lora_rank).to_string()]);
        command.args(["--max-loras", &ADAPTERS_AT_ONCE.to_string(), "--max-cpu-loras", &ADAPTERS_IN_MEMORY.to_string()]);
    }
    if machine.gpu && work.gpus > 1 {
        command.args(["--tensor-parallel-size", &work.gpus.to_string()]);
    }
    if let Some(parser) = &parsers.tool_calls {
        command.args(["--enable-auto-tool-choice", "--tool-call-parser", parser]);
    }
    if let Some(parser) = &parsers.reasoning {
        command.args(["--reasoning-parser", parser]);
    }
    // The gateway looks at every address already; the server itself follows no redirect to another place.
    command.arg("--allowed-media-domains");
    match work.media_hosts.as_slice() {
        [] => command.arg(NO_HOST),
        hosts => command.args(hosts.iter().map(|h| h.split(':').next().unwrap_or(h))),
    };
    command.env_clear().envs(machine.environment(python, folder)).current_dir(folder);
    // Only the portal's own task uses these calls: the gateway, which alone reaches the server, does not route them.
    command.env("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "1").env("VLLM_NO_USAGE_STATS", "1");
    command.env("VLLM_MEDIA_URL_ALLOW_REDIRECTS", "0");
    // Its processes meet at sockets, whose paths may have 107 characters: a folder deep in the data would be too long. Below the
    // folder in which they all run the path is short, and what they leave goes with the folder.
    command.env("VLLM_RPC_BASE_PATH", "tmp");
    if !machine.gpu {
        // One process for server and engine: half the memory and half the time to start; measured in docs/decisions/0008.
        command.args(["--dtype", "float32", "--enforce-eager", "--distributed-executor-backend", "uni", "--max-num-seqs", "16"]);
        command.envs([("VLLM_TARGET_DEVICE", "cpu"), ("VLLM_CPU_KVCACHE_SPACE", "1"), ("VLLM_ENABLE_V1_MULTIPROCESSING", "0")]);
        command.envs([("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "PASSIVE")]);
    }
    command
}

/// By which calls of tools and reasoning are found in what the model writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsers {
    pub tool_calls: Option<String>,
    pub reasoning: Option<String>,
}

impl Parsers {
    /// As they were chosen; those that were left to us by the model's own chat template.
    pub fn of(work: &Serve, weights: &Path) -> Self {
        let template = chat_template(weights);
        let chosen = |choice: &ParserChoice, fitting: fn(&str) -> Option<&'static str>| match choice {
            ParserChoice::Auto => fitting(&template).map(str::to_owned),
            ParserChoice::Off => None,
            ParserChoice::Named(name) => Some(name.clone()),
        };
        Self {
            tool_calls: chosen(&work.tool_call_parser, tool_call_parser_for),
            reasoning: chosen(&work.reasoning_parser, reasoning_parser_for),
        }
    }

    /// Only those that a person chose; none where that makes no difference.
    pub fn without_guesses(&self, work: &Serve) -> Option<Self> {
        let kept = |choice: &ParserChoice, parser: &Option<String>| parser.clone().filter(|_| *choice != ParserChoice::Auto);
        let fewer =
            Self { tool_calls: kept(&work.tool_call_parser, &self.tool_calls), reasoning: kept(&work.reasoning_parser, &self.reasoning) };
        (fewer != *self).then_some(fewer)
    }

    /// For the endpoint's log.
    pub fn sentence(&self) -> String {
        let tools =
            self.tool_calls.as_ref().map_or("none, as its chat template shows no way to call them".into(), |p| format!("parser {p}"));
        let reasoning = self.reasoning.as_ref().map_or_else(String::new, |p| format!(" Reasoning: parser {p}."));
        format!("Tool calls: {tools}.{reasoning}")
    }
}

/// The chat template of a model's folder, where vLLM looks for it: all of them where there are several. Empty where there is none.
fn chat_template(weights: &Path) -> String {
    if let Ok(text) = std::fs::read_to_string(weights.join("chat_template.jinja")) {
        return text;
    }
    let config = std::fs::read(weights.join("tokenizer_config.json")).ok();
    let config: Value = config.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    match &config["chat_template"] {
        Value::String(text) => text.clone(),
        Value::Array(several) => several.iter().filter_map(|t| t["template"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// Whether a server ended because its tokenizer lacks what a parser looks for.
pub fn parser_does_not_fit(lines: &[String]) -> bool {
    lines.iter().any(|l| l.contains("cannot be used with the tokenizer of"))
}

/// vLLM takes only these.
fn allowed_rank(rank: u32) -> u32 {
    [8, 16, 32, 64, 128, 256, 320, 512].into_iter().find(|r| *r >= rank).unwrap_or(512)
}

/// Whether server and engine say that they are well. `patience`: how long they may take to.
pub async fn is_healthy(http: &Http, patience: Duration) -> bool {
    matches!(http.get("/health", patience).await, Ok((200, _)))
}

/// Has the model write one token; an error says why it does not.
pub async fn writes_a_token(http: &Http, model: &str) -> Result<(), String> {
    let body = json!({"model": model, "prompt": "1", "max_tokens": 1, "temperature": 0});
    match http.post("/v1/completions", &body, Duration::from_secs(120)).await? {
        (200, answer) => match serde_json::from_str::<Value>(&answer).map(|a| a["choices"][0]["text"].is_string()) {
            Ok(true) => Ok(()),
            _ => Err("its answer is none".into()),
        },
        (status, said) => Err(format!("{status} {}", said.lines().next().unwrap_or_default().chars().take(300).collect::<String>())),
    }
}

/// Calls that are being answered or wait for their turn, by the server's own figures; none where it does not tell.
pub async fn under_way(http: &Http) -> Option<u64> {
    match http.get("/metrics", Duration::from_secs(10)).await {
        Ok((200, text)) => calls_under_way(&text),
        _ => None,
    }
}

/// `vllm:num_requests_running{engine="0",model_name="demo"} 2.0`
fn calls_under_way(metrics: &str) -> Option<u64> {
    let of = |name: &str| {
        let values = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
        });
        values.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or(0.0) + value))
    };
    Some((of("vllm:num_requests_running")? + of("vllm:num_requests_waiting")?).ceil() as u64)
}

/// `path`: folder of the adapter on this machine. An error says why not.
pub async fn load_adapter(http: &Http, name: &str, path: &Path) -> Result<(), AdapterReason> {
    match http.post("/v1/load_lora_adapter", &json!({"lora_name": name, "lora_path": path}), Duration::from_secs(120)).await {
        Ok((200, _)) => Ok(()),
        // A former call was not answered in time, but did its work.
        Ok((_, body)) if body.contains("has already been loaded") => Ok(()),
        Ok((status, body)) => Err(refusal(status, &body)),
        Err(e) => Err(AdapterReason::NoAnswer { error: e.to_string() }),
    }
}

pub async fn unload_adapter(http: &Http, name: &str) -> Result<(), AdapterReason> {
    match http.post("/v1/unload_lora_adapter", &json!({"lora_name": name}), Duration::from_secs(30)).await {
        Ok((200 | 404, _)) => Ok(()),
        Ok((status, body)) => Err(refusal(status, &body)),
        Err(e) => Err(AdapterReason::NoAnswer { error: e.to_string() }),
    }
}

fn refusal(status: u16, body: &str) -> AdapterReason {
    let parsed: Value = serde_json::from_str(body).unwrap_or_default();
    let said = parsed["error"]["message"].as_str().or(parsed["message"].as_str()).unwrap_or(body);
    let first = said.lines().next().unwrap_or_default();
    if said.contains("max_lora_rank") {
        return AdapterReason::RankTooHigh { said: first.chars().take(300).collect() };
    }
    AdapterReason::Refused { status, said: first.chars().take(300).collect() }
}

/// What of a line belongs into the log. Prompts are not printed by vLLM.
pub fn log_line(line: &str) -> Option<(LogLevel, String)> {
    // Every call is in the portal's usage already; the health check comes five times a second.
    let access = line.starts_with("INFO:") && line.contains("HTTP/1.1\"");
    let figures = line.contains("Avg prompt throughput") || line.contains("it/s]") || line.contains("%|") || line.contains("% Completed");
    // Forty lines at every start, of routes that the gateway does not forward.
    let routes = line.contains("Route: /") || line.contains("Available routes are:");
    let banner = line.contains('▄') || line.contains('█');
    if access || figures || routes || banner {
        return None;
    }
    // `(EngineCore pid=21246) WARNING 11-21 02:03:05 [cpu_worker.py:114] text`
    let bare = line.strip_prefix('(').and_then(|l| l.split_once(") ")).map_or(line, |(_, rest)| rest);
    let word = bare.split([' ', ':']).next().unwrap_or_default();
    let level = match word {
        "ERROR" | "CRITICAL" => LogLevel::Error,
        "WARNING" => LogLevel::Warning,
        _ => LogLevel::Info,
    };
    // The HTTP server's own lines: `INFO:     Application startup complete.`
    let bare = bare.strip_prefix(word).and_then(|rest| rest.strip_prefix(':')).filter(|_| level_word(word)).map_or(bare, str::trim_start);
    let text = match bare.split_once("] ") {
        Some((head, text)) if level_word(word) && head.contains('[') => text,
        _ => bare,
    };
    (!text.trim().is_empty() && !text.trim_end().ends_with(']') || !level_word(word)).then(|| (level, text.trim().to_owned()))
}

/// The text without places of this machine: of a path only its last part stays. What looks like an address of an HTTP server stays.
pub fn without_paths(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '=');
    for piece in text.split_inclusive(ends) {
        let bare = piece.trim_end_matches(ends);
        let is_path = bare.starts_with('/') && bare.matches('/').count() > 2 && !bare.starts_with("/v1/");
        match bare.trim_end_matches('/').rsplit_once('/') {
            Some((_, last)) if is_path => {
                out.push_str("…/");
                out.push_str(last);
                out.push_str(&piece[bare.len()..]);
            }
            _ => out.push_str(piece),
        }
    }
    out
}

fn level_word(word: &str) -> bool {
    matches!(word, "INFO" | "WARNING" | "ERROR" | "CRITICAL" | "DEBUG")
}

/// Why a server ended that should not have: a sentence.
pub fn why_it_ended(ended: Ended, lines: &[String]) -> String {
    const KNOWN: [(&str, &str); 8] = [
        (
            "cannot be used with the tokenizer of",
            "the chosen parser of tool calls or reasoning does not fit this model; choose another one, or none, in the endpoint's settings",
        ),
        ("Address already in use", "its port was taken by another program"),
        ("address already in use", "its port was taken by another program"),
        ("CUDA out of memory", "the GPU ran out of memory"),
        ("No available memory for the cache blocks", "there is not enough memory for the conversation cache"),
        ("is larger than the maximum model length", "the context length is too large for this machine"),
        ("User-specified max_model_len", "the context length is larger than the model's"),
        ("No module named vllm", "vLLM is not installed in the model server's Python"),
    ];
    for line in lines.iter().rev() {
        if let Some((_, sentence)) = KNOWN.iter().find(|(sign, _)| line.contains(sign)) {
            return format!("The model server ended ({ended}): {sentence}.");
        }
    }
    if matches!(ended, Ended::Signal(9) | Ended::Exit(137)) {
        return format!("The model server was killed by the system ({ended}), most likely because memory ran out.");
    }
    let exception = lines.iter().rev().find(|l| l.contains("Error: ") || l.contains("Exception: "));
    match exception {
        Some(line) => format!("The model server ended ({ended}): {}", line.chars().take(300).collect::<String>()),
        None => format!("The model server ended ({ended})."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(tool_call_parser: ParserChoice, media_hosts: &[&str]) -> Serve {
        let uuid = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        Serve {
            tenant: "acme".parse().unwrap(),
            endpoint: domain::ids::EndpointId::from_uuid(uuid),
            weights: domain::task_spec::Weights::Base { base_model: domain::ids::BaseModelId::from_uuid(uuid) },
            files: Vec::new(),
            served_name: "world".into(),
            context: 512,
            max_lora_rank: 0,
            gpus: 0,
            tool_call_parser,
            reasoning_parser: ParserChoice::Auto,
            media_hosts: media_hosts.iter().map(|h| (*h).to_owned()).collect(),
        }
    }

    fn flags(work: &Serve, weights: &Path) -> String {
        flags_on(&Machine::look(), work, weights)
    }

    fn flags_on(machine: &Machine, work: &Serve, weights: &Path) -> String {
        let parsers = Parsers::of(work, weights);
        let command = command(machine, Path::new("python"), work, &parsers, weights, weights, ([127, 0, 0, 1], 1).into());
        command.as_std().get_args().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_parser_that_fits_the_chat_template_is_started_unless_another_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let hermes = "{% if tools %}<tool_call>{\"name\": n, \"arguments\": a}</tool_call>{% endif %}";
        let auto = serve(ParserChoice::Auto, &[]);
        assert!(!flags(&auto, folder.path()).contains("parser"), "no template, no parser");
        let config = json!({"chat_template": [{"name": "default", "template": ""}, {"name": "tool_use", "template": hermes}]});
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        assert!(flags(&auto, folder.path()).contains("--enable-auto-tool-choice --tool-call-parser hermes"));
        std::fs::write(folder.path().join("chat_template.jinja"), "{{ messages }}").unwrap();
        assert!(!flags(&auto, folder.path()).contains("parser"), "the file goes before the configuration");
        std::fs::write(folder.path().join("chat_template.jinja"), hermes).unwrap();
        assert!(!flags(&serve(ParserChoice::Off, &[]), folder.path()).contains("parser"));
        let named = serve(ParserChoice::Named("mistral".into()), &[]);
        assert!(flags(&named, folder.path()).contains("--tool-call-parser mistral"));

        let guessed = Parsers::of(&auto, folder.path());
        assert_eq!(guessed.without_guesses(&auto), Some(Parsers::default()), "a server that does not start with our guess starts without");
        assert_eq!(Parsers::of(&named, folder.path()).without_guesses(&named), None, "what a person chose is kept");
    }

    #[test]
    fn weights_are_spread_over_the_gpus_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let on = |gpu: bool, gpus: u32| {
            let mut machine = Machine::look();
            machine.gpu = gpu;
            flags_on(&machine, &Serve { gpus, ..serve(ParserChoice::Auto, &[]) }, folder.path())
        };
        assert!(on(true, 4).contains("--tensor-parallel-size 4"));
        for (gpu, gpus) in [(true, 0), (true, 1), (false, 4)] {
            assert!(!on(gpu, gpus).contains("--tensor-parallel-size"), "{gpu} {gpus}");
        }
    }

    #[test]
    fn the_server_fetches_from_allowed_hosts_only() {
        let folder = tempfile::tempdir().unwrap();
        assert!(flags(&serve(ParserChoice::Auto, &[]), folder.path()).contains("--allowed-media-domains nothing.invalid"));
        let some = serve(ParserChoice::Auto, &["a.org", "b.org:8443"]);
        assert!(flags(&some, folder.path()).contains("--allowed-media-domains a.org b.org"));
    }

    #[test]
    fn a_rank_is_rounded_up_to_one_that_the_server_takes() {
        assert_eq!([1, 8, 9, 48, 64, 256, 1000].map(allowed_rank), [8, 8, 16, 64, 64, 256, 512]);
    }

    #[test]
    fn levels_are_found_and_calls_are_dropped() {
        let said = |line: &str| log_line(line);
        assert_eq!(said("INFO:     127.0.0.1:52038 - \"GET /health HTTP/1.1\" 200 OK"), None);
        assert_eq!(
            said("(APIServer pid=21157) INFO 11-21 02:03:48 [loggers.py:335] Engine 000: Avg prompt throughput: 107.4 tokens/s"),
            None
        );
        assert_eq!(said("(APIServer pid=21157) INFO 11-21 02:02:55 [api_utils.py:347]   █▄█▀ █     █     █     █  model"), None);
        assert_eq!(said("(APIServer pid=21157) INFO 11-21 02:02:55 [api_utils.py:347]"), None);
        assert_eq!(said("(APIServer pid=21157) INFO 11-21 02:02:55 [launcher.py:46] Route: /v1/messages, Methods: POST"), None);
        assert_eq!(
            said("(EngineCore pid=21246) WARNING 11-21 02:03:05 [cpu_worker.py:114] libiomp is not found"),
            Some((LogLevel::Warning, "libiomp is not found".into()))
        );
        assert_eq!(said("INFO:     Application startup complete."), Some((LogLevel::Info, "Application startup complete.".into())));
        assert_eq!(said("ValueError: no"), Some((LogLevel::Info, "ValueError: no".into())));
    }

    #[test]
    fn the_log_names_no_place_of_the_machine() {
        for (said, shown) in [
            (
                "non-default args: {'model': '/srv/atelier/data/work/ep_1/base', 'port': 8001}",
                "non-default args: {'model': '…/base', 'port': 8001}",
            ),
            ("File \"/opt/env/lib/python3.12/site-packages/vllm/engine.py\", line 3", "File \"…/engine.py\", line 3"),
            ("Loading /home/ops/models/world-base/, please wait", "Loading …/world-base, please wait"),
            ("lora_path=/srv/data/adapters/v2", "lora_path=…/v2"),
            (
                "1/2 done at http://127.0.0.1:8001/v1/models and /v1/chat/completions",
                "1/2 done at http://127.0.0.1:8001/v1/models and /v1/chat/completions",
            ),
        ] {
            assert_eq!(without_paths(said), shown);
        }
    }

    #[test]
    fn the_reason_of_an_end_is_found() {
        let lines = |text: &str| vec!["fine".to_owned(), text.to_owned(), "bye".to_owned()];
        assert!(why_it_ended(Ended::Exit(1), &lines("OSError: [Errno 98] Address already in use")).contains("port was taken"));
        assert!(why_it_ended(Ended::Signal(9), &lines("x")).contains("memory ran out"));
        assert_eq!(why_it_ended(Ended::Exit(1), &lines("ValueError: odd")), "The model server ended (exit 1): ValueError: odd");
        assert_eq!(why_it_ended(Ended::Exit(3), &lines("x")), "The model server ended (exit 3).");
    }

    #[test]
    fn calls_under_way_are_those_that_run_and_those_that_wait() {
        let metrics = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\",model_name=\"a b\"} 2.0\n\
            vllm:num_requests_running{engine=\"1\"} 1.0\nvllm:num_requests_waiting{engine=\"0\"} 4.0\nvllm:num_requests_waiting_by_reason{r=\"x\"} 9.0\n";
        assert_eq!(calls_under_way(metrics), Some(7));
        assert_eq!(calls_under_way("vllm:num_requests_running 0.0\nvllm:num_requests_waiting 0.0\n"), Some(0));
        assert_eq!(calls_under_way("vllm:num_requests_running 0.0\n"), None, "half of it says nothing");
    }

    #[test]
    fn a_refused_adapter_says_why() {
        assert!(
            refusal(400, r#"{"error":{"message":"LoRA rank 64 is greater than max_lora_rank 16."}}"#).said().contains("rank is higher")
        );
        assert_eq!(refusal(500, "boom").said(), "The model server refused it (500): boom");
    }
}
