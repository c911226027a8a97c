//! What the home of a tenant shows of runs, models, endpoints and keys: a line each, with its sentences made here. The things themselves
//! hold plans, cards and file lists, and reading them is a third of what a browser would load for this page.

use domain::{
    endpoint::EndpointState,
    ids::{KeyId, RunId},
    model::Stage,
    run::RunState,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A run that works or waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveRun {
    pub id: RunId,
    pub name: String,
    pub state: RunState,
    /// Base model and data, as `world-4m, facts v2`.
    pub trains: String,
    /// Steps done or what it waits for; empty when the state says as much.
    pub progress: String,
    /// When it began to work; before that, when it was made.
    pub since: Timestamp,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedRun {
    pub id: RunId,
    pub name: String,
    /// What went wrong, as a sentence.
    pub sentence: String,
    /// What to do now; may be empty.
    pub next_step: String,
}

/// The newest version of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecentModel {
    pub name: String,
    pub number: u32,
    pub stage: Stage,
    /// How it did on the held-out rows.
    pub scores: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointLine {
    pub endpoint: String,
    pub source: String,
    pub state: EndpointState,
    /// The model versions that it answers as.
    pub serves: String,
}

/// A service key of which the responsible member has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnansweredKey {
    pub id: KeyId,
    pub label: String,
    pub owner_name: String,
}

#[cfg(feature = "ssr")]
mod from_the_things {
    use super::{ActiveRun, EndpointLine, FailedRun, RecentModel, UnansweredKey};
    use domain::{endpoint::Endpoint, key::ApiKey, model::ModelVersion, run::Run};

    impl From<Run> for ActiveRun {
        fn from(run: Run) -> Self {
            Self {
                id: run.id,
                name: run.name.to_string(),
                state: run.state,
                trains: format!("{}, {} v{}", run.base_model_name, run.dataset_name, run.dataset_number),
                progress: crate::pages::runs::where_it_stands(&run),
                since: run.started_at.unwrap_or(run.created_at),
            }
        }
    }

    impl From<Run> for FailedRun {
        fn from(run: Run) -> Self {
            let next_step = run.failure.as_ref().map(|f| f.said().next_step).unwrap_or_default();
            Self { id: run.id, name: run.name.to_string(), sentence: run.said(), next_step }
        }
    }

    impl From<ModelVersion> for RecentModel {
        fn from(version: ModelVersion) -> Self {
            let scores = version.scores.map_or_else(
                || "not evaluated".to_owned(),
                |s| format!("{} of {} held-out rows correct, base {}", s.tuned_right, s.rows, s.base_right),
            );
            Self { name: version.model_name.to_string(), number: version.number, stage: version.stage, scores }
        }
    }

    impl EndpointLine {
        /// `full_weights`: the model version, as `facts v2`, when full weights are what it serves.
        pub fn of(endpoint: &Endpoint, full_weights: Option<String>) -> Self {
            let attached = || {
                let each = endpoint.attachments.iter().map(|a| format!("{} v{}", a.model_name, a.number));
                each.collect::<Vec<_>>().join(", ")
            };
            let serves = match full_weights {
                Some(version) => format!("{version}, full weights"),
                None if endpoint.attachments.is_empty() => "base model only".to_owned(),
                None => attached(),
            };
            Self { endpoint: endpoint.name.to_string(), source: endpoint.source().to_owned(), state: endpoint.state, serves }
        }
    }

    impl From<ApiKey> for UnansweredKey {
        fn from(key: ApiKey) -> Self {
            Self { id: key.id, label: key.label, owner_name: key.owner_name }
        }
    }
}
