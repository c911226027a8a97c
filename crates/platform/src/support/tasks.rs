//! What the engine sees of tasks: their states, on a cluster their objects, and what they printed that the portal has not read yet.

use super::{Body, Piece, Support, value};
use domain::{name::Name, time::Timestamp};
use engine::{Cursor, Engine, Observation, TaskState};
use serde_json::{Value, json};
use std::time::Duration;

/// Bytes of a task's output that are taken along: the portal reads on within moments, unless nobody leads.
const OUTPUT: usize = 256 * 1024;
/// The engine answers within this, or it is said that it did not.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// A task that there may be.
pub(super) struct Task {
    pub name: String,
    /// How far the portal has read what it printed; `None` = it was never seen to exist.
    pub read_to: Option<Cursor>,
}

impl Support {
    /// `prefix`: how the names of all of them begin.
    pub(super) async fn tasks_of(&self, tenant: &Name, prefix: &str, tasks: Vec<Task>) -> Vec<Piece> {
        let engine = match &self.engine {
            Ok(engine) => engine,
            Err(why) => return vec![Piece::missing("engine/tasks.json", why)],
        };
        let (mut seen, mut pieces) = (Vec::new(), Vec::new());
        for task in tasks {
            engine.belongs_to(&task.name, tenant);
            match in_time(engine.observe(&task.name)).await {
                Ok(None) => seen.push(json!({ "task": task.name, "state": "not there" })),
                Ok(Some(observation)) => {
                    seen.push(told(&observation));
                    pieces.extend(output(engine, task).await);
                }
                Err(why) => {
                    pieces.push(Piece::missing("engine/tasks.json", why));
                    // Who does not answer is not asked for each of them.
                    return pieces;
                }
            }
        }
        pieces.insert(0, Piece::json("engine/tasks.json", seen.into()));
        pieces.extend(objects(engine, Some(tenant), prefix).await);
        pieces
    }

    /// Where the database does not say which there are.
    pub(super) async fn tasks_unknown(&self, prefix: &str) -> Vec<Piece> {
        let engine = match &self.engine {
            Ok(engine) => engine,
            Err(why) => return vec![Piece::missing("engine/tasks.json", why)],
        };
        let mut pieces = vec![match in_time(engine.list(prefix)).await {
            Ok(seen) => Piece::json("engine/tasks.json", seen.iter().map(told).collect()),
            Err(why) => Piece::missing("engine/tasks.json", why),
        }];
        pieces.extend(objects(engine, None, prefix).await);
        pieces
    }
}

/// The error: a sentence.
pub(super) async fn in_time<T>(look: impl Future<Output = Result<T, engine::Error>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWERS_WITHIN, look).await {
        Ok(seen) => seen.map_err(|e| format!("Where tasks run, this could not be looked at: {e}.")),
        Err(_) => Err(format!("Where tasks run, nobody answered within {} s.", ANSWERS_WITHIN.as_secs())),
    }
}

async fn output(engine: &Engine, task: Task) -> Option<Piece> {
    let file = format!("engine/output-{}.txt", task.name);
    match in_time(engine.output(&task.name, &task.read_to.unwrap_or_default(), OUTPUT)).await {
        Ok(output) if output.bytes.is_empty() => None,
        // What a process prints need not be text.
        Ok(output) => Some(Piece::new(file, Body::Text(String::from_utf8_lossy(&output.bytes).into_owned()))),
        Err(why) => Some(Piece::missing(file, why)),
    }
}

/// Objects of a cluster; one machine has none.
async fn objects(engine: &Engine, tenant: Option<&Name>, prefix: &str) -> Vec<Piece> {
    let Engine::Kubernetes(cluster) = engine else { return Vec::new() };
    let file = "engine/objects.yaml";
    match tokio::time::timeout(ANSWERS_WITHIN, cluster.objects_of(tenant, prefix)).await {
        Ok(seen) => {
            let problems = seen.problems.into_iter().map(|why| Piece::missing(file, why));
            std::iter::once(Piece::new(file, Body::Yaml(seen.found))).chain(problems).collect()
        }
        Err(_) => vec![Piece::missing(file, format!("The cluster did not answer within {} s.", ANSWERS_WITHIN.as_secs()))],
    }
}

fn told(seen: &Observation) -> Value {
    let state = match &seen.state {
        TaskState::Pending(cause) => json!({ "pending": cause, "said": cause.said() }),
        TaskState::Running { since, node } => json!({ "running_since": Timestamp(*since).rfc3339(), "node": node }),
        TaskState::Ended(end) => json!({ "ended": end }),
    };
    json!({ "task": seen.name, "hash": seen.hash, "state": state, "replicas": value(&seen.replicas), "wanted": seen.wanted })
}
