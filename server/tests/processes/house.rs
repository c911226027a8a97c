//! A portal of its own with a stand-in for the model server, and a key to it.

use super::{Portal, Setup, TaskFolders, person::Person, postgres::Postgres, prepare, programs::Programs, within, world};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

pub const TENANT: &str = "lumenta";
pub const BASE: &str = "world-4m";
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A portal with an endpoint that answers, and a key to it.
pub struct House {
    pub setup: Setup,
    pub portal: Option<Portal>,
    database_url: String,
    pub key: String,
    pub programs: Programs,
    _tasks: TaskFolders,
    pub data: tempfile::TempDir,
}

impl House {
    pub async fn start(postgres: Option<&Postgres>) -> Self {
        Self::with(postgres, |setup| setup).await
    }

    /// `flags` may add to how the portal is started.
    pub async fn with(postgres: Option<&Postgres>, flags: impl FnOnce(Setup) -> Setup) -> Self {
        let url = postgres.map(|postgres| postgres.url.clone());
        Self::by(url.clone(), url, flags).await
    }

    /// On a database that the portal reaches by another address than this test.
    pub async fn through(address: &str, postgres: &Postgres) -> Self {
        Self::by(Some(address.to_owned()), Some(postgres.url.clone()), |setup| setup).await
    }

    /// None = on SQLite.
    async fn by(address: Option<String>, ours: Option<String>, flags: impl FnOnce(Setup) -> Setup) -> Self {
        prepare();
        let data = tempfile::tempdir().unwrap();
        let tasks = TaskFolders(data.path().to_owned());
        let programs = Programs::standins(&data.path().join("programs"), 0.02);
        let mut setup = flags(Setup::new(data.path(), "portal")).with("--vllm-python", programs.python().display());
        if let Some(address) = address {
            setup = setup.with("--database-url", address);
        }
        let database_url = ours.unwrap_or_else(|| format!("sqlite:{}", data.path().join("atelier.db").display()));
        let portal = setup.start().await;
        let at = setup.address.clone();
        let (admin, jonas) = (Person::sign_in(&at, "admin").await, Person::sign_in(&at, "jonas").await);
        let folder = world("base-model").display().to_string();
        admin
            .did(&at, "admin/base-model-register", &[("folder", &folder), ("name", BASE), ("licence", "Apache-2.0"), ("template", "")])
            .await;
        within(PATIENCE, "the base model is ready", async || {
            (admin.did(&at, "admin/base-models", &[]).await.body["models"]["rows"][0]["state"] == "ready").then_some(())
        })
        .await;
        jonas.did(&at, "endpoints/create", &[("tenant", TENANT), ("name", "front"), ("base_model", BASE)]).await;
        within(PATIENCE, "the endpoint is ready", async || {
            let e = jonas.did(&at, "endpoints/get", &[("tenant", TENANT), ("name", "front")]).await.body["endpoint"].clone();
            assert!(e["state"] != "failed", "{}", e["reason"]);
            (e["state"] == "ready").then_some(())
        })
        .await;
        let form = [("tenant", TENANT), ("form[label]", "counted"), ("form[may]", "all"), ("form[expires_in_days]", "1")];
        let key = jonas.did(&at, "keys/create", &form).await.body["secret"].as_str().unwrap().to_owned();
        let house = Self { setup, portal: Some(portal), database_url, key, programs, _tasks: tasks, data };
        within(PATIENCE, "the gateway knows key and model", async || house.call(false).await).await;
        house
    }

    /// The number of the request, if the whole answer came.
    pub async fn call(&self, stream: bool) -> Option<String> {
        call(&self.setup.address, &self.key, stream).await
    }

    /// Ids of the requests that are in the usage table, each as often as it is there.
    pub async fn recorded(&self) -> Vec<String> {
        let sql = "SELECT request_id FROM calls ORDER BY request_id";
        if self.database_url.starts_with("sqlite:") {
            let pool = sqlx::SqlitePool::connect(&self.database_url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
        } else {
            let pool = sqlx::PgPool::connect(&self.database_url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
        }
    }

    /// Each of them is there exactly once, sooner or later.
    pub async fn counts_each_once(&self, answered: &BTreeSet<String>) {
        within(PATIENCE, "every answered call is in the usage table", async || {
            let recorded: BTreeSet<String> = self.recorded().await.into_iter().collect();
            answered.is_subset(&recorded).then_some(())
        })
        .await;
        let recorded = self.recorded().await;
        let once: BTreeSet<&String> = recorded.iter().collect();
        assert_eq!(once.len(), recorded.len(), "a call was counted twice");
    }

    /// How often the portal has said this until now.
    pub fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(self.data.path().join("portal.log")).unwrap_or_default().matches(words).count()
    }

    pub fn spooled(&self) -> usize {
        std::fs::read_dir(self.data.path().join("usage-spool")).map_or(0, |files| files.count())
    }
}

/// The number of the request, if the whole answer came.
pub async fn call(address: &str, key: &str, stream: bool) -> Option<String> {
    let body = json!({"model": BASE, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]});
    let request = reqwest::Client::new().post(format!("{address}/v1/chat/completions")).bearer_auth(key).json(&body);
    let answer = request.send().await.ok()?;
    let id = number(&answer);
    let ok = answer.status() == 200;
    let end = if stream { "data: [DONE]" } else { "answered by" };
    let text = answer.text().await.ok()?;
    (ok && text.contains(end)).then_some(id)
}

/// Under which its record is found.
pub fn number(answer: &reqwest::Response) -> String {
    answer.headers()["x-request-id"].to_str().unwrap().to_owned()
}
