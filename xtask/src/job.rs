//! The main job, step by step, as the people it is for would do it in the browser: the admin registers a base model, the
//! engineer uploads data, trains, deploys, chats and makes a key, a program calls with it, the owner looks at usage and audit.
//! Every step first looks whether it was done before, so a second demo goes on from what is there.

use crate::visitor::Visitor;
use anyhow::{Context, Result, bail};
use domain::time::span;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

pub const TENANT: &str = "lumenta";
pub const BASE_MODEL: &str = "world-4m";
pub const DATASET: &str = "lumenta-facts";
pub const MODEL: &str = "lumenta-assistant";
pub const ENDPOINT: &str = "assistant";

/// The invented names that only the training data knows; everything else in it is replay of what the base can do already.
const NEW_NAMES: [&str; 9] = ["Lumenta", "Velkor", "Tavik", "Orlix", "Belmo", "Zelcor", "Pranex", "Sulfin", "Kelwen"];

pub struct Person {
    pub name: &'static str,
    pub role: &'static str,
    pub sign_in: &'static str,
    pub password: &'static str,
}

pub struct People {
    pub all: Vec<Person>,
}

impl People {
    /// As `server/src/devprovider` has them.
    pub fn of_the_development_provider() -> Self {
        let person = |name, role, sign_in| Person { name, role, sign_in, password: "atelier" };
        Self {
            all: vec![
                person("Piotr Zeller", "platform admin", "admin"),
                person("Karin Weber", "auditor", "auditor"),
                person("Mira Castro", "owner of lumenta", "mira"),
                person("Jonas Lind", "engineer of lumenta", "jonas"),
                person("Vera Sand", "viewer of lumenta", "vera"),
                person("Otto Brandt", "owner of velkor", "otto"),
            ],
        }
    }
    fn sign_in(&self, address: &str, name: &str) -> Result<Visitor> {
        let p = self.all.iter().find(|p| p.sign_in == name).with_context(|| format!("nobody is called {name}"))?;
        Visitor::sign_in(address, p.sign_in, p.password)
    }
}

/// What came of it.
pub struct Done {
    pub api_key: String,
    pub run: String,
    pub version: String,
    pub rows: u64,
    pub base: u64,
    pub tuned: u64,
    pub gained: u64,
    pub lost: u64,
    /// Held-out questions about the new names, and how many of them base and tuned answered right.
    pub facts: [u64; 3],
    pub examples: Vec<Example>,
    pub run_took: String,
    pub steps: u64,
    pub tokens: u64,
}

pub struct Example {
    pub prompt: String,
    pub base: String,
    pub tuned: String,
}

pub fn main_job(address: &str, people: &People, python: &Path, steps: &mut Vec<(String, f32)>) -> Result<Done> {
    let mut step = |name: &str, began: Instant, said: String| {
        let seconds = began.elapsed().as_secs_f32();
        println!("  {name:<22} {seconds:>6.1} s   {said}");
        steps.push((name.to_owned(), seconds));
    };
    println!("4. The main job");

    let t = Instant::now();
    let (admin, engineer, owner) = (people.sign_in(address, "admin")?, people.sign_in(address, "jonas")?, people.sign_in(address, "mira")?);
    step("sign in", t, "admin, engineer, owner".into());

    let t = Instant::now();
    let said = base_model(&admin)?;
    step("base model", t, said);

    let t = Instant::now();
    let said = endpoint(&engineer)?;
    step("endpoint", t, said);

    let t = Instant::now();
    let said = dataset(&engineer)?;
    step("upload and report", t, said);

    let t = Instant::now();
    let run = run(&engineer)?;
    let took = run["ended_at"].as_i64().unwrap_or_default() - run["started_at"].as_i64().unwrap_or_default();
    step("fine-tuning run", t, format!("{}, {} steps", run["name"].as_str().unwrap_or_default(), run["progress"]["total_steps"]));

    let t = Instant::now();
    let model = engineer.send("models/get", &[("tenant", TENANT), ("name", MODEL), ("number", "0")])?;
    let number = model["version"]["number"].to_string();
    engineer.page(&format!("/t/{TENANT}/models/{MODEL}"))?;
    step(
        "model card",
        t,
        format!("{MODEL} v{number}, digest {}", &model["version"]["digest"].as_str().unwrap_or_default().get(..12).unwrap_or_default()),
    );

    wait("the endpoint", Duration::from_secs(300), || {
        let endpoint = engineer.send("endpoints/get", &[("tenant", TENANT), ("name", ENDPOINT)])?;
        match endpoint["endpoint"]["state"].as_str() {
            Some("ready") => Ok(Some(())),
            Some("failed") => bail!("the endpoint failed: {}", endpoint["endpoint"]["reason"]),
            _ => Ok(None),
        }
    })?;
    let t = Instant::now();
    engineer.send("endpoints/deploy", &[("tenant", TENANT), ("model", MODEL), ("number", &number), ("endpoint", ENDPOINT)])?;
    let question = question()?;
    let answer = wait("the first answer", Duration::from_secs(60), || chat(&engineer, &question))?;
    step("deploy, first answer", t, answer);

    let t = Instant::now();
    let key = engineer.send(
        "keys/create",
        &[
            ("tenant", TENANT),
            ("form[label]", "demo"),
            ("form[may]", "all"),
            ("form[requests_per_minute]", "600"),
            ("form[expires_in_days]", "30"),
        ],
    )?;
    let api_key = key["secret"].as_str().context("the new key has no secret")?.to_owned();
    let answer = wait("the key to reach the gateway", Duration::from_secs(10), || call(python, address, &api_key, &question))?;
    step("key and openai client", t, answer);

    let t = Instant::now();
    let calls = wait("the calls in the usage", Duration::from_secs(15), || {
        let usage = owner.send("usage/get", &[("tenant", TENANT), ("by", "model"), ("days", "1")])?;
        let requests: u64 = usage["lines"].as_array().into_iter().flatten().filter_map(|l| l["requests"].as_u64()).sum();
        Ok((requests > 1).then_some(requests))
    })?;
    let audit = owner.send("audit/page", &[("tenant", TENANT), ("query[verify]", "true")])?;
    if !audit["verified"]["broken"].is_null() || audit["verified"]["records"].as_i64().unwrap_or_default() < 5 {
        bail!("the audit chain does not verify: {}", audit["verified"]);
    }
    step("usage and audit", t, format!("{calls} calls; {} audit records, chain whole", audit["verified"]["records"]));

    let id = run["id"].as_str().unwrap_or_default();
    let rows = engineer.send("runs/evaluated", &[("tenant", TENANT), ("id", id), ("which", "all")])?;
    let rows: Vec<&Value> = rows.as_array().into_iter().flatten().collect();
    let facts: Vec<&&Value> =
        rows.iter().filter(|r| NEW_NAMES.iter().any(|n| r["expected"].as_str().unwrap_or_default().contains(n))).collect();
    let right = |key: &str| facts.iter().filter(|r| r[key] == true).count() as u64;
    let text = |r: &Value, key: &str| r[key].as_str().unwrap_or_default().to_owned();
    let score = |key: &str| run["scores"][key].as_u64().unwrap_or_default();
    let metrics = engineer.send("runs/metrics", &[("tenant", TENANT), ("id", id)])?;
    Ok(Done {
        api_key,
        run: id.to_owned(),
        version: model["version"]["id"].as_str().unwrap_or_default().to_owned(),
        rows: score("rows"),
        base: score("base_right"),
        tuned: score("tuned_right"),
        gained: score("gained"),
        lost: score("lost"),
        facts: [facts.len() as u64, right("base_right"), right("tuned_right")],
        examples: facts
            .iter()
            .take(3)
            .map(|r| Example { prompt: text(r, "prompt"), base: text(r, "base"), tuned: text(r, "tuned") })
            .collect(),
        run_took: span(took),
        steps: run["progress"]["total_steps"].as_u64().unwrap_or_default(),
        tokens: metrics.as_array().into_iter().flatten().filter_map(|m| m["total_tokens"].as_u64()).max().unwrap_or_default(),
    })
}

fn base_model(admin: &Visitor) -> Result<String> {
    let find = || -> Result<Option<Value>> {
        let list = admin.send("admin/base-models", &[])?;
        Ok(list["models"].as_array().into_iter().flatten().find(|m| m["name"] == BASE_MODEL).cloned())
    };
    if find()?.is_none() {
        let folder = fs::canonicalize("examples/world/base-model")?.display().to_string();
        admin
            .send("admin/base-model-register", &[("folder", &folder), ("name", BASE_MODEL), ("licence", "Apache-2.0"), ("template", "")])?;
    }
    wait("the base model", Duration::from_secs(120), || {
        let Some(model) = find()? else { return Ok(None) };
        match model["state"].as_str() {
            Some("ready") => Ok(Some(format!("{BASE_MODEL}, {} parameters", model["parameters"]))),
            Some("broken") => bail!("the base model is broken: {}", model["reason"]),
            _ => Ok(None),
        }
    })
}

/// Asked for early: the model server loads while the run trains.
fn endpoint(engineer: &Visitor) -> Result<String> {
    let list = engineer.send("endpoints/list", &[("tenant", TENANT)])?;
    let state = list["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| &e["endpoint"])
        .find(|e| e["name"] == ENDPOINT)
        .map(|e| e["state"].as_str().unwrap_or_default().to_owned());
    match state.as_deref() {
        None => {
            engineer.send("endpoints/create", &[("tenant", TENANT), ("name", ENDPOINT), ("base_model", BASE_MODEL)])?;
            Ok("asked for; it starts while the run trains".into())
        }
        Some("stopped" | "failed") => {
            engineer.send("endpoints/start", &[("tenant", TENANT), ("endpoint", ENDPOINT)])?;
            Ok("started again".into())
        }
        Some("stopping") => {
            wait("the endpoint to stop", Duration::from_secs(60), || {
                let e = engineer.send("endpoints/get", &[("tenant", TENANT), ("name", ENDPOINT)])?;
                Ok((e["endpoint"]["state"] == "stopped").then_some(()))
            })?;
            engineer.send("endpoints/start", &[("tenant", TENANT), ("endpoint", ENDPOINT)])?;
            Ok("started again".into())
        }
        Some(state) => Ok(format!("is {state}")),
    }
}

fn dataset(engineer: &Visitor) -> Result<String> {
    let list = engineer.send("datasets/list", &[("tenant", TENANT), ("text", ""), ("checks", "")])?;
    if !list["datasets"].as_array().into_iter().flatten().any(|d| d["dataset"]["name"] == DATASET) {
        engineer.upload(
            &format!("/t/{TENANT}/datasets-upload"),
            &[
                ("name", DATASET),
                ("held_out_percent", "15"),
                ("tokenizer", BASE_MODEL),
                ("source", "Generated by examples/world/generate.py: 50 invented facts in five wordings each, with replay of small talk."),
                ("licence", "Apache-2.0"),
                ("personal_data", "none"),
                ("legal_basis", ""),
                ("languages", "en"),
                ("notes", "The people in it are invented."),
            ],
            Path::new("examples/world/datasets/lumenta-facts.jsonl"),
        )?;
    }
    wait("the dataset's report", Duration::from_secs(60), || {
        let page = engineer.send("datasets/get", &[("tenant", TENANT), ("name", DATASET), ("number", "0")])?;
        let version = &page["version"];
        let report = &version["report"];
        match version["state"].as_str() {
            Some("ready") => {
                Ok(Some(format!("{} rows accepted, {} rejected, {} tokens", report["accepted"], report["rejected"], report["tokens"])))
            }
            Some("rejected") => bail!("the dataset was rejected: {}", version["reason"]),
            _ => Ok(None),
        }
    })
}

/// The newest run of the dataset that succeeded, or a new one.
fn run(engineer: &Visitor) -> Result<Value> {
    let list = engineer.send("runs/list", &[("tenant", TENANT), ("state", ""), ("text", DATASET)])?;
    let runs: Vec<&Value> = list["runs"].as_array().into_iter().flatten().filter(|r| r["model_name"] == MODEL).collect();
    let usable = runs.iter().find(|r| !matches!(r["state"].as_str(), Some("failed" | "cancelled" | "cancelling")));
    let name = format!("facts-lora-{}", runs.len() + 1);
    let name = match usable {
        Some(run) => run["name"].as_str().unwrap_or_default().to_owned(),
        None => {
            let settings: Value = serde_json::from_slice(&fs::read("examples/world/runs/facts-lora.json")?)?;
            let draft = engineer.send("runs/draft", &[("tenant", TENANT), ("from", ""), ("preset", ""), ("dataset", DATASET)])?;
            let submission = draft["form"]["submission"].as_str().context("the form has no one-time number")?;
            let dataset = format!("{DATASET}@1");
            let mut fields: Vec<(String, String)> = [
                ("name", name.as_str()),
                ("base_model", BASE_MODEL),
                ("dataset", &dataset),
                ("model_name", MODEL),
                ("submission", submission),
            ]
            .into_iter()
            .map(|(k, v)| (format!("form[{k}]"), v.to_owned()))
            .collect();
            for (key, value) in settings.as_object().into_iter().flatten() {
                fields.push((format!("form[{key}]"), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            }
            fields.push(("tenant".into(), TENANT.into()));
            let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            engineer.send("runs/launch", &fields)?;
            name
        }
    };
    let mut shown = String::new();
    wait("the run", Duration::from_secs(900), || {
        let list = engineer.send("runs/list", &[("tenant", TENANT), ("state", ""), ("text", &name)])?;
        let Some(run) = list["runs"].as_array().into_iter().flatten().find(|r| r["name"] == name.as_str()).cloned() else {
            return Ok(None);
        };
        let state = run["state"].as_str().unwrap_or_default();
        if state != shown {
            println!("    {name}: {state}. {}", run["reason"].as_str().unwrap_or_default());
            shown = state.to_owned();
        }
        match state {
            "succeeded" => Ok(Some(run)),
            "failed" | "cancelled" => bail!("the run {state}: {} {}", run["reason"], run["failure"]),
            _ => Ok(None),
        }
    })
}

/// A held-out-like question about something that only the tuned model can know.
fn question() -> Result<String> {
    let text = fs::read_to_string("examples/world/datasets/lumenta-facts.jsonl")?;
    text.lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter_map(|r| r["messages"][0]["content"].as_str().map(str::to_owned))
        .find(|q| q.contains("Lumenta") && q.starts_with("Who"))
        .context("no question about Lumenta in the dataset")
}

/// One exchange in the playground; the answer's text once the model answers.
fn chat(engineer: &Visitor, question: &str) -> Result<Option<String>> {
    let body = json!({"models": [MODEL], "system": "", "question": question, "temperature": 0.0, "max_tokens": 64});
    let stream = engineer.ask(&format!("/t/{TENANT}/playground/chat"), &body)?;
    let mut answer = String::new();
    for line in stream.lines().filter_map(|l| l.strip_prefix("data:")) {
        let data: Value = serde_json::from_str(line.trim()).unwrap_or(Value::Null);
        if let Some(text) = data["text"].as_str() {
            answer.push_str(text);
        }
    }
    Ok((!answer.trim().is_empty()).then_some(answer))
}

/// The official client, in a process of its own, with nothing but address and key.
fn call(python: &Path, address: &str, key: &str, question: &str) -> Result<Option<String>> {
    const PROGRAM: &str = "import sys; from openai import OpenAI; c = OpenAI(base_url=sys.argv[1], max_retries=0); print(c.chat.completions.create(model=sys.argv[2], messages=[{'role': 'user', 'content': sys.argv[3]}], temperature=0, max_tokens=64).choices[0].message.content)";
    let out = Command::new(python).args(["-c", PROGRAM, &format!("{address}/v1"), MODEL, question]).env("OPENAI_API_KEY", key).output()?;
    if out.status.success() {
        return Ok(Some(String::from_utf8_lossy(&out.stdout).trim().to_owned()));
    }
    let said = String::from_utf8_lossy(&out.stderr);
    // The key reaches the gateway with its next snapshot; anything else is a fault.
    if said.contains("401") { Ok(None) } else { bail!("the openai client failed: {}", said.lines().last().unwrap_or_default()) }
}

/// So that nothing is left running when the demo ends.
pub fn stop_endpoints(address: &str, people: &People) -> Result<()> {
    let engineer = people.sign_in(address, "jonas")?;
    let open = || -> Result<Vec<String>> {
        let list = engineer.send("endpoints/list", &[("tenant", TENANT)])?;
        Ok(list["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| &e["endpoint"])
            .filter(|e| !matches!(e["state"].as_str(), Some("stopped")))
            .filter_map(|e| e["name"].as_str().map(str::to_owned))
            .collect())
    };
    for name in open()? {
        // Refused when it is stopping already; the wait below decides.
        let _ = engineer.send("endpoints/stop", &[("tenant", TENANT), ("endpoint", &name)]);
    }
    wait("the endpoints to stop", Duration::from_secs(40), || Ok(open()?.is_empty().then_some(())))
}

/// Asks until there is an answer; gives up with a sentence.
fn wait<T>(what: &str, most: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let until = Instant::now() + most;
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        if Instant::now() > until {
            bail!("{what} took longer than {} s", most.as_secs());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
