//! Long tasks of the portal. One that ends before its time, or panics, takes the portal down with it in an orderly way: half a portal
//! looks alive from outside, a process that ended with an error is started again.

use futures::FutureExt;
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tasks that run until the portal is told to stop, and are waited for together. A cheap clone.
#[derive(Clone)]
pub struct LongTasks {
    /// Told, they may end; one that ends before tells it.
    stop: CancellationToken,
    broken: Arc<OnceLock<String>>,
    tracker: TaskTracker,
}

impl LongTasks {
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, broken: Arc::default(), tracker: TaskTracker::new() }
    }

    /// Tasks of the same portal that are waited for apart.
    pub fn others(&self) -> Self {
        Self { tracker: TaskTracker::new(), ..self.clone() }
    }

    /// `name` is for the log: “the {name} task”.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let Self { stop, broken, .. } = self.clone();
        self.tracker.spawn(async move {
            let why = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => "ended by itself".to_owned(),
                Err(panic) => format!("panicked: {}", crate::layers::request::what(&*panic)),
            };
            tracing::error!(task = name, why, "a task that must run as long as the portal is over, so the portal stops");
            let _ = broken.set(format!("The {name} task {why}, so the portal stopped."));
            stop.cancel();
        });
    }

    /// When all of them have ended.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// An error, when one ended before its time.
    pub fn verdict(&self) -> anyhow::Result<()> {
        self.broken.get().map_or(Ok(()), |why| Err(anyhow::anyhow!(why.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_before_its_time_stops_the_portal_with_its_name() {
        for panics in [false, true] {
            let tasks = LongTasks::new(CancellationToken::new());
            let told = tasks.stop.clone();
            tasks.spawn("patient", async move { told.cancelled().await });
            tasks.spawn("directory", async move { assert!(!panics, "a row of its own") });
            tasks.ended().await;
            let said = tasks.verdict().unwrap_err().to_string();
            assert!(said.contains("The directory task") && (!panics || said.contains("a row of its own")), "{said}");
        }
    }

    #[tokio::test]
    async fn tasks_that_end_when_they_are_told_to_are_no_failure() {
        let tasks = LongTasks::new(CancellationToken::new());
        let (later, calls_end) = (tasks.others(), CancellationToken::new());
        let (told, told_later) = (tasks.stop.clone(), calls_end.clone());
        tasks.spawn("events", async move { told.cancelled().await });
        later.spawn("directory", async move { told_later.cancelled().await });
        tasks.stop.cancel();
        tasks.ended().await;
        calls_end.cancel();
        later.ended().await;
        assert!(tasks.verdict().is_ok() && later.verdict().is_ok());
    }
}
