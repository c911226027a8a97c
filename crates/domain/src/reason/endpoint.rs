//! Why an endpoint is in its state, and why a version on it does not answer.

use super::{
    store_key::NoStoreKey,
    task::{End, PendingCause},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum EndpointReason {
    /// Asked for; its turn comes at once.
    WaitsForStart,
    /// The process is being started.
    Starting,
    /// What the process itself says that it does now, and the model server's own log lines are.
    Loading {
        detail: String,
    },
    /// The engine has taken the task and cannot start it yet.
    Pending {
        cause: PendingCause,
    },
    /// The tenant has no key of the artefact store.
    WaitsForStoreKey {
        why: NoStoreKey,
    },
    Answers,
    /// The server runs, and fewer replicas answer than are wanted.
    ReplicasMissing {
        ready: u32,
        wanted: u32,
        /// What keeps one from starting.
        cause: Option<PendingCause>,
    },
    /// It ended without being told to.
    Restarting {
        seconds: i64,
        how: ServerEnd,
        last_error: Option<String>,
    },
    /// An adapter is larger than the server was started for.
    NeedsRank {
        needs: u32,
        had: u32,
    },
    /// It ended too often before it ever answered.
    GivenUp {
        starts: u32,
        how: ServerEnd,
        last_error: Option<String>,
    },
    TenantSuspended,
    StopAsked {
        by: String,
    },
    Stopped,
    /// Somebody else's server was not asked yet.
    NotAskedYet,
    /// Somebody else's server cannot be used now.
    Unusable {
        trouble: OutsideTrouble,
    },
    /// Written by a version of this program that kept sentences.
    Told {
        text: String,
    },
}

/// How a model server came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerEnd {
    Ended(End),
    /// It could not be started at all: what the engine said.
    NotStarted {
        error: String,
    },
}

/// What is wrong with a server that somebody else runs, or with the way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "snake_case")]
pub enum OutsideTrouble {
    /// Its name leads to this machine, to its own network or to the cloud's metadata; the portal calls no such address unless its
    /// admin lists it.
    AddressNotAllowed {
        address: String,
    },
    /// Plain http, to a place that the admin does not list.
    NotEncrypted,
    NoSuchHost,
    NoConnection,
    /// No TLS connection that can be believed.
    Certificate,
    /// Nothing came in time.
    Silent {
        seconds: u64,
    },
    /// It broke off, or said what cannot be read.
    Garbled,
    KeyRefused,
    /// It sends callers elsewhere, and the portal does not follow.
    Redirects,
    Refuses {
        status: u16,
    },
    /// The key cannot be read by this portal any more.
    KeyLost,
}

impl EndpointReason {
    /// One or two sentences: what is so, and the next step where a person can do something.
    pub fn said(&self) -> String {
        let last = |error: &Option<String>| error.as_ref().map(|e| format!(" Its last error: {e}")).unwrap_or_default();
        match self {
            Self::WaitsForStart => "Waits to be started.".into(),
            Self::Starting => "The model server is being started.".into(),
            Self::Loading { detail } => detail.clone(),
            Self::Pending { cause } => cause.said(),
            Self::WaitsForStoreKey { why } => why.said(),
            Self::Answers => "Answers.".into(),
            Self::ReplicasMissing { ready, wanted, cause } => {
                let how_many = match ready {
                    0 => "No replica answers now".to_owned(),
                    ready => format!("{ready} of {wanted} replicas answer"),
                };
                match cause {
                    Some(cause) => format!("{how_many}. {}", cause.said()),
                    None => format!("{how_many}. What is missing is being started."),
                }
            }
            Self::Restarting { seconds, how, last_error } => {
                format!("The model server is being restarted in {seconds} s, because {}.{}", how.said(), last(last_error))
            }
            Self::NeedsRank { needs, had } => {
                format!("Restarting, because an adapter needs rank {needs} and the server was started for {had}.")
            }
            Self::GivenUp { starts, how, last_error } => {
                format!("Given up after {starts} starts in a row: {}.{}", how.said(), last(last_error))
            }
            Self::TenantSuspended => "Not running, because the tenant is suspended. It starts again when the tenant is resumed.".into(),
            Self::StopAsked { by } => format!("{by} asked to stop it; waiting for the server to end."),
            Self::Stopped => "Stopped; its memory is free.".into(),
            Self::NotAskedYet => "The server is being asked for its models.".into(),
            Self::Unusable { trouble } => format!("{} The portal tries again every few seconds.", trouble.said()),
            Self::Told { text } => text.clone(),
        }
    }
}

impl ServerEnd {
    /// Half a sentence: `it was ended by signal 15`.
    pub fn said(&self) -> String {
        match self {
            Self::Ended(end) => end.said(),
            Self::NotStarted { error } => format!("it could not be started: {error}"),
        }
    }
}

impl OutsideTrouble {
    /// What is so, and the next step.
    pub fn said(&self) -> String {
        match self {
            Self::AddressNotAllowed { address } => format!(
                "Its address leads to {address}, which the portal does not call. If this is intended, the portal's admin can list it (ATELIER_OUTSIDE_ALLOWED)."
            ),
            Self::NotEncrypted => {
                "Its address begins with http://, which would show key and prompts on the way. Use https://, or have the portal's admin list it (ATELIER_OUTSIDE_ALLOWED).".into()
            }
            Self::NoSuchHost => "The server's name cannot be resolved. Check the address.".into(),
            Self::NoConnection => "The server refuses connections. Ask whoever runs it.".into(),
            Self::Certificate => {
                "The server's certificate is not trusted. Ask whoever runs it; a certificate authority of your own must be known to the portal's machine.".into()
            }
            Self::Silent { seconds } => format!("The server did not answer within {seconds} s. Ask whoever runs it."),
            Self::Garbled => "The server does not speak the OpenAI API. Check the address.".into(),
            Self::KeyRefused => "The server refuses the key. Replace the key.".into(),
            Self::Redirects => "The server sends callers to another address, which the portal does not follow. Enter that address.".into(),
            Self::Refuses { status } => format!("The server answers with status {status}. Ask whoever runs it."),
            Self::KeyLost => "The key can no longer be read, because the portal's own key was replaced. Enter the key again.".into(),
        }
    }
}

/// Why a version on an endpoint was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum AdapterReason {
    RankTooHigh {
        said: String,
    },
    /// By the model server.
    Refused {
        status: u16,
        said: String,
    },
    NoAnswer {
        error: String,
    },
    /// Its files could not be fetched from the artefact store.
    NotFetched {
        error: String,
    },
    /// Written by a version of this program that kept sentences.
    Told {
        text: String,
    },
}

impl AdapterReason {
    pub fn said(&self) -> String {
        match self {
            Self::RankTooHigh { said } => format!("The adapter's rank is higher than this server was started for ({said})."),
            Self::Refused { status, said } => format!("The model server refused it ({status}): {said}"),
            Self::NoAnswer { error } => format!("The model server did not answer: {error}."),
            Self::NotFetched { error } => format!("{error}."),
            Self::Told { text } => text.clone(),
        }
    }

    /// Of the stored JSON, or of the line of a task that an older version started: that was the sentence itself.
    pub fn from_value(value: serde_json::Value) -> Self {
        match serde_json::from_value(value.clone()) {
            Ok(reason) => reason,
            Err(_) => Self::Told { text: value.as_str().map_or_else(|| value.to_string(), str::to_owned) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_stored_without_its_sentence_and_read_again() {
        for reason in [
            EndpointReason::WaitsForStart,
            EndpointReason::Pending { cause: PendingCause::Secret { secret: "hub".into() } },
            EndpointReason::Restarting { seconds: 4, how: ServerEnd::Ended(End::OutOfMemory), last_error: Some("boom".into()) },
            EndpointReason::GivenUp { starts: 5, how: ServerEnd::NotStarted { error: "no disk".into() }, last_error: None },
            EndpointReason::Unusable { trouble: OutsideTrouble::Refuses { status: 418 } },
            EndpointReason::ReplicasMissing {
                ready: 1,
                wanted: 2,
                cause: Some(PendingCause::Quota { what: "gpus".into(), short: Vec::new(), holders: Vec::new() }),
            },
            EndpointReason::Told { text: "as it was".into() },
        ] {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<EndpointReason>(&json).unwrap(), reason);
            assert!(!json.contains("The model server") && json.contains("\"code\":"), "{json}");
            assert!(!reason.said().is_empty());
        }
    }

    #[test]
    fn a_restart_says_when_and_why() {
        let how = ServerEnd::Ended(End::Signalled { signal: 9 });
        let said = EndpointReason::Restarting { seconds: 2, how, last_error: Some("CUDA out of memory".into()) }.said();
        assert!(said.contains("in 2 s") && said.contains("signal 9") && said.ends_with("Its last error: CUDA out of memory"), "{said}");
    }

    #[test]
    fn what_an_older_task_says_of_an_adapter_is_kept_as_its_sentence() {
        let old = AdapterReason::from_value("The adapter is missing.".into());
        assert_eq!(
            (old.said().as_str(), &old),
            ("The adapter is missing.", &AdapterReason::Told { text: "The adapter is missing.".into() })
        );
        let new = AdapterReason::Refused { status: 400, said: "no".into() };
        assert_eq!(AdapterReason::from_value(serde_json::to_value(&new).unwrap()), new);
    }
}
