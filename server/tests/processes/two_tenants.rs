//! A portal with two tenants that have one of everything each, so that every page has something to show. The programs are the stand-ins.

use super::{Portal, Setup, TaskFolders, launch::Launch, person::Person, prepare, programs::Programs, within, world};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

const BASE: &str = "world-4m";
const PATIENCE: Duration = Duration::from_secs(120);

pub struct TwoTenants {
    pub address: String,
    pub tenants: [Tenant; 2],
    pub admin: Person,
    pub programs: Programs,
    portal: Portal,
    log: PathBuf,
    _tasks: TaskFolders,
    _data: tempfile::TempDir,
}

/// A tenant, its owner, and what it has. `word` is in all that belongs to it and in nothing else.
pub struct Tenant {
    pub name: &'static str,
    pub title: &'static str,
    pub word: &'static str,
    pub owner: Person,
    pub run: String,
    pub chat: String,
}

impl TwoTenants {
    pub async fn start() -> Self {
        Self::saying("info,sqlx=warn").await
    }

    /// The same, with this in the portal's log.
    pub async fn saying(filter: &str) -> Self {
        Self::with(filter, &[]).await
    }

    /// The same, with these flags of `atelier serve` and their values.
    pub async fn with(filter: &str, flags: &[(&str, &str)]) -> Self {
        prepare();
        let data = tempfile::tempdir().unwrap();
        let tasks = TaskFolders(data.path().to_owned());
        let programs = Programs::standins(&data.path().join("programs"), 0.01);
        let setup = flags
            .iter()
            .fold(Setup::new(data.path(), "portal"), |setup, (flag, value)| setup.with(flag, value))
            .with("--trainer-python", programs.python().display())
            .with("--vllm-python", programs.python().display())
            .saying(filter);
        let portal = setup.start().await;
        let address = setup.address.clone();
        let admin = Person::sign_in(&address, "admin").await;
        admin
            .did(
                &address,
                "admin/base-model-register",
                &[("folder", &world("base-model").display().to_string()), ("name", BASE), ("licence", "Apache-2.0"), ("template", "")],
            )
            .await;
        within(PATIENCE, "the base model is ready", async || {
            (admin.did(&address, "admin/base-models", &[]).await.body["models"]["rows"][0]["state"] == "ready").then_some(())
        })
        .await;
        let (lumenta, velkor) = tokio::join!(
            furnish(&address, ("lumenta", "Lumenta"), "mira", "quokka"),
            furnish(&address, ("velkor", "Velkor"), "otto", "wombat")
        );
        let log = data.path().join("portal.log");
        Self { address, tenants: [lumenta, velkor], admin, programs, portal, log, _tasks: tasks, _data: data }
    }

    /// The portal's process.
    pub fn process(&self) -> u32 {
        self.portal.id()
    }

    /// The file of the SQLite database.
    pub fn database(&self) -> PathBuf {
        self._data.path().join("atelier.db")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Bytes of memory that the portal's process holds.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.portal.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

async fn furnish(address: &str, (name, title): (&'static str, &'static str), login: &str, word: &'static str) -> Tenant {
    let owner = Person::sign_in(address, login).await;
    let rows: String = (0..40)
        .map(|n| {
            let turns = json!([{"role": "user", "content": format!("Who is {word} {n}?")}, {"role": "assistant", "content": format!("The {word} of number {n}.")}]);
            json!({ "messages": turns }).to_string() + "\n"
        })
        .collect();
    let facts = format!("{word}-facts");
    owner.upload(address, name, &facts, BASE, rows.as_bytes(), None).await.unwrap();
    within(PATIENCE, "the dataset is judged", async || {
        let page = owner.did(address, "datasets/get", &[("tenant", name), ("name", &facts), ("number", "0")]).await.body;
        (page["version"]["state"] == "ready").then_some(())
    })
    .await;
    let run = launch(&owner, address, name, word, &format!("{word}-run")).await;
    within(PATIENCE, "the run has succeeded", async || {
        let now = owner.did(address, "runs/get", &[("tenant", name), ("id", &run)]).await.body["run"].clone();
        assert!(now["state"] != "failed", "{}", now["failure"]);
        (now["state"] == "succeeded").then_some(())
    })
    .await;
    owner.did(address, "endpoints/create", &[("tenant", name), ("name", word), ("base_model", BASE)]).await;
    owner.did(address, "endpoints/deploy", &[("tenant", name), ("model", word), ("number", "1"), ("endpoint", word)]).await;
    within(PATIENCE, "the adapter is served", async || {
        let e = owner.did(address, "endpoints/get", &[("tenant", name), ("name", word)]).await.body["endpoint"].clone();
        assert!(e["state"] != "failed", "{}", e["reason"]);
        (e["state"] == "ready" && e["attachments"][0]["state"] == "ready").then_some(())
    })
    .await;
    let key = [("tenant", name), ("form[label]", word), ("form[may]", "all"), ("form[expires_in_days]", "30")];
    owner.did(address, "keys/create", &key).await;
    let asked = json!({"models": [word], "system": "", "question": format!("Who is {word}?")});
    let chat = within(PATIENCE, "the playground answers", async || {
        let stream = owner.post_json(address, &format!("/t/{name}/playground/chat"), &asked).await.ok()?;
        let from = stream.contains("event: saved").then(|| stream.find("chat_")).flatten()?;
        Some(stream[from..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>())
    })
    .await;
    Tenant { name, title, word, owner, run, chat }
}

/// Launches a run on the tenant's dataset; gives its id.
pub async fn launch(owner: &Person, address: &str, tenant: &str, word: &str, label: &str) -> String {
    let dataset = format!("{word}-facts");
    let form = Launch { tenant, name: label, dataset: &dataset, model: word, batch: "8", submission: label };
    let launched = owner.did(address, "runs/launch", &form.fields()).await.leads_to.unwrap();
    launched.rsplit('/').next().unwrap().to_owned()
}
