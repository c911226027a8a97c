//! An engine under test, and how tasks are made for it.

use engine::{Cursor, Engine, Observation, Resources, Runtime, Task, TaskKind, TaskState};
use std::time::{Duration, Instant};

/// Starting, ending and being told of it, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct World {
    pub engine: Engine,
    /// Everything that others than the task can see of what runs: files, command lines and environments of processes, or objects of a
    /// cluster. A secret must not be in it.
    pub seen_by_others: Box<dyn Fn() -> String>,
    /// How long a task may take to begin here, from when its deadline counts; for tests of deadlines.
    pub start: Duration,
    /// What has to stay as long as the engine is used.
    pub _keep: Box<dyn std::any::Any>,
}

impl World {
    /// A job that runs this shell script. The runtime is one that every engine has.
    pub fn job(&self, name: &str, script: &str) -> Task {
        Task {
            tenant: "acme".parse().unwrap(),
            name: name.into(),
            kind: TaskKind::Batch,
            runtime: Runtime::Trainer,
            args: vec!["task".into(), "run".into()],
            spec: script.into(),
            resources: Resources::default(),
            secrets: Vec::new(),
            replicas: 1,
            deadline: None,
            grace: Duration::from_secs(20),
        }
    }

    /// `$PORT` is the port that it should listen on.
    pub fn server(&self, name: &str, script: &str) -> Task {
        Task { kind: TaskKind::Server, runtime: Runtime::Vllm, ..self.job(name, script) }
    }

    pub async fn until(&self, name: &str, what: impl Fn(&Observation) -> bool) -> Observation {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.engine.observe(name).await.unwrap();
            match seen {
                Some(seen) if what(&seen) => return seen,
                other => assert!(Instant::now() < end, "{name} is {other:?}; it said: {:?}", self.said(name).await),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn until_it_says(&self, name: &str, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.said(name).await.contains(text) {
            assert!(Instant::now() < end, "{name} does not say {text}: {:?}", self.said(name).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How it ended, once it has.
    pub async fn end(&self, name: &str) -> engine::End {
        match self.until(name, |o| o.state.end().is_some()).await.state {
            TaskState::Ended(end) => end,
            other => panic!("{other:?}"),
        }
    }

    /// All that it has printed.
    pub async fn said(&self, name: &str) -> String {
        match self.engine.output(name, &Cursor::start(), 1 << 20).await {
            Ok(output) => String::from_utf8_lossy(&output.bytes).into_owned(),
            Err(e) => e.to_string(),
        }
    }
}
