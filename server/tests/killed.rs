//! SIGKILL of the portal at each step of the main job: the work goes on without it, the restarted portal finds it, catches up,
//! and starts nothing twice. Once with a quick stand-in for the trainer, once with the real LLaMA-Factory where it is installed.

mod processes;

use processes::{
    Portal, Setup, TaskFolders,
    launch::Launch,
    person::{No, Person},
    prepare,
    programs::Programs,
    within, world,
};
use serde_json::Value;
use std::{path::Path, process::Command, time::Duration};

const TENANT: &str = "lumenta";
const BASE: &str = "world-4m";

/// What differs between the two trainers.
struct Pace {
    /// Longest wait for the next state of the run.
    patience: Duration,
    /// Whether the files are so large that the publishing is seen.
    publishes_slowly: bool,
    /// Rows a step.
    batch: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_stand_in_for_the_trainer_a_kill_at_every_step_loses_and_doubles_nothing() {
    let data = tempfile::tempdir().unwrap();
    let programs = Programs::standins(&data.path().join("programs"), 0.3).with_weights(64 << 20);
    let story = Story::tell(data.path(), &programs, Pace { patience: Duration::from_secs(60), publishes_slowly: true, batch: "64" }).await;
    // The stand-in logs 40 steps, and an evaluation at every tenth.
    assert_eq!(story.training_steps(), (1..=40).collect::<Vec<_>>());
    assert_eq!(story.evaluated_steps(), [10, 20, 30, 40]);
    let said: Vec<String> =
        story.log.iter().filter_map(|line| line["text"].as_str()).filter(|t| t.starts_with("trained step ")).map(str::to_owned).collect();
    assert_eq!(said, (1..=40).map(|n| format!("trained step {n:03} of 40")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_real_trainer_a_kill_at_every_step_loses_and_doubles_nothing() {
    let Some(python) = std::env::var_os("ATELIER_TRAINER_PYTHON") else {
        return testing::skip("ATELIER_TRAINER_PYTHON names no trainer (make test installs it)");
    };
    let data = tempfile::tempdir().unwrap();
    let programs = Programs::real(&data.path().join("programs"), Path::new(&python));
    let story =
        Story::tell(data.path(), &programs, Pace { patience: Duration::from_secs(400), publishes_slowly: false, batch: "16" }).await;
    let steps = story.training_steps();
    let total = story.run["progress"]["total_steps"].as_u64().unwrap();
    assert_eq!(steps.last(), Some(&total), "{steps:?}");
    assert!(steps.windows(2).all(|w| w[1] - w[0] == steps[0]), "a gap in the curve: {steps:?}");
    assert_eq!(story.evaluated_steps().len(), 4, "one evaluation an epoch");
}

/// What is there when all is done.
struct Story {
    run: Value,
    /// Rows of the dataset that were kept back.
    held_out: u64,
    log: Vec<Value>,
    metrics: Vec<Value>,
}

impl Story {
    async fn tell(data: &Path, programs: &Programs, pace: Pace) -> Self {
        prepare();
        let tasks = TaskFolders(data.to_owned());
        let setup = Setup::new(data, "portal").with("--trainer-python", programs.python().display());
        let address = setup.address.clone();
        let mut portal = setup.start().await;
        let admin = Person::sign_in(&address, "admin").await;
        let jonas = Person::sign_in(&address, "jonas").await;

        // While a base model is being copied.
        admin
            .did(
                &address,
                "admin/base-model-register",
                &[("folder", &world("base-model").display().to_string()), ("name", BASE), ("licence", "Apache-2.0"), ("template", "")],
            )
            .await;
        portal = again(portal, &setup, 0).await;
        within(Duration::from_secs(60), "the base model is ready", async || {
            let list = admin.did(&address, "admin/base-models", &[]).await.body;
            (list["models"]["rows"][0]["state"] == "ready" && list["models"]["rows"].as_array().map(Vec::len) == Some(1)).then_some(())
        })
        .await;

        // While a dataset arrives: what was sent is not kept as if it were whole.
        let rows = std::fs::read(world("datasets/lumenta-facts.jsonl")).unwrap();
        let half = rows.len() / 2;
        let (broken, restarted) = tokio::join!(jonas.upload(&address, TENANT, "facts", BASE, &rows, Some(half)), async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            again(portal, &setup, 0).await
        });
        portal = restarted;
        assert!(matches!(broken, Err(No::Gone(_))), "an upload into a killed portal: {broken:?}");
        if let Ok(half_done) = jonas.send(&address, "datasets/get", &[("tenant", TENANT), ("name", "facts"), ("number", "0")]).await {
            assert_ne!(half_done.body["version"]["state"], "ready", "half a file became a version: {}", half_done.body["version"]);
        }

        // While it is judged.
        jonas.upload(&address, TENANT, "facts", BASE, &rows, None).await.unwrap();
        portal = again(portal, &setup, 0).await;
        // The job of a worker that died is free again after a minute.
        let version = within(Duration::from_secs(150), "the dataset is judged", async || {
            let page = jonas.did(&address, "datasets/get", &[("tenant", TENANT), ("name", "facts"), ("number", "0")]).await.body;
            (page["version"]["state"] == "ready").then(|| page["version"].clone())
        })
        .await;
        let held_out = version["report"]["held_out_rows"].as_u64().unwrap();
        assert_eq!(
            (version["report"]["rows"].as_u64(), version["report"]["accepted"].as_u64()),
            (Some(380), Some(380)),
            "{}",
            version["report"]
        );

        // Right after "start": the same form sent once more leads to the same run.
        let (name, submission) = ("facts-lora", "once-and-only-once");
        let form = Launch { tenant: TENANT, name, dataset: "facts", model: "assistant", batch: pace.batch, submission }.fields();
        let first = jonas.did(&address, "runs/launch", &form).await.leads_to.unwrap();
        portal = again(portal, &setup, 0).await;
        assert_eq!(jonas.did(&address, "runs/launch", &form).await.leads_to.as_deref(), Some(first.as_str()), "one form launched two runs");
        let id = first.rsplit('/').next().unwrap().to_owned();
        let this_run = [("tenant", TENANT), ("id", id.as_str())];

        // In each state that takes time; the trainer goes on while nobody watches.
        for (state, enough) in [("prepare", 0), ("train", 0), ("train", 3), ("evaluate", 0)] {
            let what = format!("the run is {state} with {enough} points");
            let mut last = String::new();
            within(pace.patience, &what, async || {
                let run = jonas.did(&address, "runs/get", &this_run).await.body["run"].clone();
                let points = jonas.did(&address, "runs/metrics", &this_run).await.body.as_array().map_or(0, Vec::len);
                let now = does(&run);
                assert!(now != "failed", "{}", run["failure"]);
                let order = ["queued", "prepare", "train", "evaluate", "publish", "succeeded"];
                let place = |state: &str| order.iter().position(|s| *s == state);
                assert!(place(&now) <= place(state), "the run went past “{what}”: it is {now}");
                if last != now {
                    println!("{now}, {points} points");
                    last.clone_from(&now);
                }
                (now == state && points >= enough).then_some(())
            })
            .await;
            portal = again(portal, &setup, 500).await;
        }

        // Right at the end of the evaluation, and then in ever later moments of the publishing.
        within(pace.patience, "the evaluation has ended", async || {
            tasks.folders("run-", "-evaluate").first().is_some_and(|f| f.join("exit.json").exists()).then_some(())
        })
        .await;
        portal.kill();
        for ms in [120, 200, 280, 360, 440, 520, 650, 800] {
            let portal = setup.spawn();
            tokio::time::sleep(Duration::from_millis(ms)).await;
            portal.kill();
        }
        let mut portal = setup.start().await;
        if pace.publishes_slowly {
            within(pace.patience, "the run is publishing", async || {
                let run = jonas.did(&address, "runs/get", &this_run).await.body["run"].clone();
                assert!(run["state"] != "succeeded", "published before it could be killed at it");
                (does(&run) == "publish").then_some(())
            })
            .await;
            portal = again(portal, &setup, 0).await;
        }
        let run = within(pace.patience, "the run has succeeded", async || {
            let run = jonas.did(&address, "runs/get", &this_run).await.body["run"].clone();
            assert!(run["state"] != "failed", "{}", run["failure"]);
            (run["state"] == "succeeded").then_some(run)
        })
        .await;

        let story = Self::read(&jonas, &address, &this_run, run, held_out).await;
        story.holds(&jonas, &address, programs).await;
        portal.kill();
        audit_holds(data);
        story
    }

    async fn read(jonas: &Person, address: &str, this_run: &[(&str, &str); 2], run: Value, held_out: u64) -> Self {
        let mut asked = this_run.to_vec();
        asked.extend([("lines", "2000"), ("level", ""), ("text", "")]);
        let log = jonas.did(address, "runs/log", &asked).await.body;
        let metrics = jonas.did(address, "runs/metrics", this_run).await.body;
        let lines = log["lines"].as_array().unwrap().clone();
        assert_eq!(log["total"].as_u64(), Some(lines.len() as u64));
        Self { run, held_out, log: lines, metrics: metrics.as_array().unwrap().clone() }
    }

    /// What must be so with every trainer.
    async fn holds(&self, jonas: &Person, address: &str, programs: &Programs) {
        assert_eq!((programs.starts("train"), programs.starts("evaluate")), (1, 1), "each program is started exactly once");
        let numbers: Vec<u64> = self.log.iter().map(|l| l["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "the log has no gap and no double");
        let steps = self.run["steps"].as_array().unwrap();
        assert!(steps.len() == 4 && steps.iter().all(|s| s["state"] == "done"), "{steps:?}");
        assert_eq!(self.run["scores"]["rows"].as_u64(), Some(self.held_out), "every held-out row was asked: {}", self.run["scores"]);
        let model = jonas.did(address, "models/get", &[("tenant", TENANT), ("name", "assistant"), ("number", "0")]).await.body;
        assert_eq!(model["versions_total"].as_u64(), Some(1), "published once");
        let runs = jonas.did(address, "runs/list", &[("tenant", TENANT), ("state", ""), ("text", "")]).await.body;
        assert_eq!(runs["runs"]["rows"].as_array().map(Vec::len), Some(1), "launched once");
        let owner = Person::sign_in(address, "mira").await;
        let audit = owner.did(address, "audit/page", &[("tenant", TENANT), ("query[action]", "run.launch")]).await.body;
        let launches = audit["records"]["rows"].as_array().map_or(0, |r| r.iter().filter(|r| r["entry"]["action"] == "run.launch").count());
        assert_eq!(launches, 1, "recorded once: {audit}");
    }

    fn training_steps(&self) -> Vec<u64> {
        self.metrics.iter().filter(|m| m["loss"].is_number()).filter_map(|m| m["step"].as_u64()).collect()
    }

    fn evaluated_steps(&self) -> Vec<u64> {
        self.metrics.iter().filter(|m| m["eval_loss"].is_number()).filter_map(|m| m["step"].as_u64()).collect()
    }
}

/// Kills the portal, leaves the work alone for so many milliseconds, and starts the portal on the same data.
/// The kind of the step that a running run is at; else the run's own state.
fn does(run: &Value) -> String {
    let steps = || run["steps"].as_array().into_iter().flatten();
    let at_work = steps().find(|s| matches!(s["state"].as_str(), Some("starting" | "running")));
    let step = at_work.or_else(|| steps().find(|s| s["state"] == "pending")).filter(|_| run["state"] == "running");
    step.map_or(&run["state"], |s| &s["kind"]).as_str().unwrap_or_default().to_owned()
}

async fn again(portal: Portal, setup: &Setup, alone_ms: u64) -> Portal {
    portal.kill();
    tokio::time::sleep(Duration::from_millis(alone_ms)).await;
    setup.start().await
}

fn audit_holds(data: &Path) {
    let checked = Command::new(env!("CARGO_BIN_EXE_atelier")).args(["audit", "verify", "--data"]).arg(data).output().unwrap();
    assert!(checked.status.success(), "{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
}
