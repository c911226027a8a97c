//! The main job, step by step, as the people it is for would do it in the browser: the admin registers a base model, the
//! engineer uploads data, trains, deploys, chats and makes a key, a program calls with it, the owner looks at usage and audit.
//! Every step first looks whether it was done before, so a second demo goes on from what is there.

mod ask;
mod people;
mod run;
pub mod stop;
mod tidy;

pub use ask::Fact;
pub use people::People;

use crate::{interrupt, visitor::Visitor};
use anyhow::{Context, Result, bail};
use domain::time::span;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

pub const TENANT: &str = "lumenta";
pub const BASE_MODEL: &str = "world-4m";
pub const DATASET: &str = "lumenta-facts";
pub const MODEL: &str = "lumenta-assistant";
pub const ENDPOINT: &str = "assistant";
/// Label of the key, and its limit.
const KEY: &str = "demo";
const KEY_REQUESTS: u32 = 600;

/// The invented names that only the training data knows; everything else in it is replay of what the base can do already.
const NEW_NAMES: [&str; 9] = ["Lumenta", "Velkor", "Tavik", "Orlix", "Belmo", "Zelcor", "Pranex", "Sulfin", "Kelwen"];

/// What came of it.
pub struct Done {
    pub api_key: String,
    pub run: String,
    pub version: String,
    /// What exactly this version answers to: `lumenta-assistant@v1`.
    pub model_id: String,
    pub fact: Fact,
    /// Who asked for the fact, and what came back.
    pub answers: Vec<(&'static str, String)>,
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

/// Before anything is done: what tests in a browser have to know.
pub fn who_and_where(address: &str, people: &People) -> Value {
    serde_json::json!({"address": address, "tenant": TENANT, "people": people.described()})
}

pub fn main_job(address: &str, people: &People, python: &Path, steps: &mut Vec<(String, f64)>) -> Result<Done> {
    let mut step = |name: &str, began: Instant, said: String| {
        let seconds = began.elapsed().as_secs_f64();
        println!("  {name:<22} {seconds:>6.1} s   {said}");
        steps.push((name.to_owned(), seconds));
    };
    println!("4. The main job");

    let t = Instant::now();
    let admin = people.sign_in(address, "admin")?;
    let said = tenant(&admin)?;
    // Afterwards: who may do what in a tenant is decided at sign-in, from groups that name it.
    let (engineer, owner) = (people.sign_in(address, "jonas")?, people.sign_in(address, "mira")?);
    step("sign in, tenant", t, format!("admin, engineer, owner; {said}"));

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
    let run = run::done(&engineer)?;
    let took = run["ended_at"].as_i64().unwrap_or_default() - run["started_at"].as_i64().unwrap_or_default();
    step("fine-tuning run", t, format!("{}, {} steps", run["name"].as_str().unwrap_or_default(), run["progress"]["total_steps"]));

    let t = Instant::now();
    let version = run::version(&engineer, &run)?;
    let number = version["number"].to_string();
    engineer.page(&format!("/t/{TENANT}/models/{MODEL}?v={number}"))?;
    let digest = version["digest"].as_str().unwrap_or_default();
    step("model card", t, format!("{MODEL} v{number}, digest {}", digest.get(..12).unwrap_or(digest)));

    let t = Instant::now();
    let state = endpoint_ready(&engineer)?;
    step("endpoint ready", t, state);

    let t = Instant::now();
    engineer.send("endpoints/deploy", &[("tenant", TENANT), ("model", MODEL), ("number", &number), ("endpoint", ENDPOINT)])?;
    // The plain name would be answered by the newest version on the endpoint, which need not be this run's (decision 0006).
    let model_id = format!("{MODEL}@v{number}");
    let fact = ask::fact()?;
    let in_the_playground = wait("the first answer", Duration::from_secs(60), || ask::chat(&engineer, &model_id, &fact.question))?;
    tidy::chats(&engineer, &fact.question)?;
    step("deploy, first answer", t, in_the_playground.clone());

    let t = Instant::now();
    let key = engineer.send(
        "keys/create",
        &[
            ("tenant", TENANT),
            ("form[label]", KEY),
            ("form[may]", "all"),
            ("form[requests_per_minute]", &KEY_REQUESTS.to_string()),
            ("form[expires_in_days]", "30"),
        ],
    )?;
    let api_key = key["secret"].as_str().context("the new key has no secret")?.to_owned();
    let to_the_client =
        wait("the key to reach the gateway", Duration::from_secs(10), || ask::call(python, address, &api_key, &model_id, &fact.question))?;
    let revoked = match tidy::keys(&engineer, key["key"]["id"].as_str().context("the new key has no id")?)? {
        0 => String::new(),
        1 => " (the key of the demo before is revoked)".to_owned(),
        n => format!(" (the keys of {n} demos before are revoked)"),
    };
    step("key and openai client", t, format!("{to_the_client}{revoked}"));

    let t = Instant::now();
    let calls = wait("the calls in the usage", Duration::from_secs(15), || {
        let usage = owner.send("usage/get", &[("tenant", TENANT), ("by", "model"), ("days", "1")])?;
        let requests: u64 = usage["lines"]["rows"].as_array().into_iter().flatten().filter_map(|l| l["requests"].as_u64()).sum();
        Ok((requests > 1).then_some(requests))
    })?;
    let audit = owner.send("audit/page", &[("tenant", TENANT), ("query[verify]", "true")])?;
    let chains = audit["verified"]["chains"].as_array().cloned().unwrap_or_default();
    let records: i64 = chains.iter().filter_map(|c| c["records"].as_i64()).sum();
    if chains.is_empty() || chains.iter().any(|c| !c["broken"].is_null()) || records < 5 {
        bail!("the audit chain does not verify: {}", audit["verified"]);
    }
    step("usage and audit", t, format!("{calls} calls; {records} audit records, chain whole"));

    let id = run["id"].as_str().unwrap_or_default();
    let rows = engineer.list("runs/evaluated", &[("tenant", TENANT), ("id", id), ("which", "all")], "")?;
    let facts: Vec<&Value> =
        rows.iter().filter(|r| NEW_NAMES.iter().any(|n| r["expected"].as_str().unwrap_or_default().contains(n))).collect();
    let right = |key: &str| facts.iter().filter(|r| r[key] == true).count() as u64;
    let text = |r: &Value, key: &str| r[key].as_str().unwrap_or_default().to_owned();
    let score = |key: &str| run["scores"][key].as_u64().unwrap_or_default();
    let metrics = engineer.send("runs/metrics", &[("tenant", TENANT), ("id", id)])?;
    Ok(Done {
        api_key,
        run: id.to_owned(),
        version: version["id"].as_str().unwrap_or_default().to_owned(),
        model_id,
        fact,
        answers: vec![("the playground", in_the_playground), ("the openai client", to_the_client)],
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

/// The tenant of the demo. The development provider's portal has it from its first start.
fn tenant(admin: &Visitor) -> Result<String> {
    if admin.list("admin/tenants", &[], "tenants")?.iter().any(|t| t["tenant"]["name"] == TENANT) {
        return Ok(format!("{TENANT} is there"));
    }
    let quota = [("quota[concurrent_runs]", "1"), ("quota[endpoints]", "2"), ("quota[storage_gb]", "20")];
    admin.send("admin/tenant-create", &[&[("name", TENANT), ("title", "Lumenta")], &quota[..]].concat())?;
    Ok(format!("{TENANT} is made"))
}

fn base_model(admin: &Visitor) -> Result<String> {
    let find =
        || -> Result<Option<Value>> { Ok(admin.list("admin/base-models", &[], "models")?.into_iter().find(|m| m["name"] == BASE_MODEL)) };
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
    let all = engineer.list("endpoints/list", &[("tenant", TENANT)], "endpoints")?;
    let state =
        all.iter().map(|e| &e["endpoint"]).find(|e| e["name"] == ENDPOINT).map(|e| e["state"].as_str().unwrap_or_default().to_owned());
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
    let known = engineer.list("datasets/list", &[("tenant", TENANT), ("text", ""), ("checks", "")], "datasets")?;
    if !known.iter().any(|d| d["dataset"]["name"] == DATASET) {
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

/// The model server loads while the run trains; a later demo waits for it here.
fn endpoint_ready(engineer: &Visitor) -> Result<String> {
    let mut shown = String::new();
    wait("the endpoint", Duration::from_secs(300), || {
        let endpoint = engineer.send("endpoints/get", &[("tenant", TENANT), ("name", ENDPOINT)])?;
        let said = |key: &str| endpoint["endpoint"][key].as_str().unwrap_or_default().to_owned();
        let (state, reason) = (said("state"), said("reason"));
        match state.as_str() {
            "ready" => return Ok(Some(format!("{ENDPOINT} answers"))),
            "failed" => bail!("the endpoint failed: {reason}"),
            _ if state != shown => println!("    {ENDPOINT}: {state}. {reason}"),
            _ => {}
        }
        shown = state;
        Ok(None)
    })
}

/// Asks until there is an answer; gives up with a sentence, and when a person wants to end.
fn wait<T>(what: &str, most: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until(what, most, || {
        interrupt::check()?;
        ask()
    })
}

/// As [`wait`], but also while the demo is being stopped.
fn until<T>(what: &str, most: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
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
