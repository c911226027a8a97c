//! What went wrong, as a person meets it: one short sentence that names the thing, and the next step.
//! The full chain of causes stays in the log, under the request id.

use serde::{Deserialize, Serialize};

/// The kinds of refusal that a person or a client can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// It does not exist, or one may not know that it does.
    NotFound,
    /// One sees the thing but may not do this to it.
    Forbidden,
    /// Not signed in, or the session ended.
    Unauthenticated,
    /// The input breaks a rule; `fields` say where.
    Invalid,
    /// The thing changed meanwhile, or its state does not allow this.
    Conflict,
    /// A quota is used up.
    QuotaExceeded,
    /// A part that is needed does not answer now.
    Unavailable,
    /// Our fault.
    Internal,
}

impl ProblemKind {
    /// The status of an HTTP answer that tells of it.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Forbidden => 403,
            Self::Unauthenticated => 401,
            Self::Invalid => 422,
            Self::Conflict => 409,
            Self::QuotaExceeded => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

/// A part that is needed and does not do its work now: what there is to say of it where nobody waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    DatabaseAway,
    /// Somebody else holds what was needed.
    DatabaseBusy,
    DatabaseFull,
    StoreAway,
    StoreFull,
    /// The store does not accept the portal's key.
    StoreKeyRefused,
    StoreBucketMissing,
}

impl Outage {
    pub const fn said(self) -> &'static str {
        match self {
            Self::DatabaseAway => "The database does not answer now.",
            Self::DatabaseBusy => "Another change takes longer than usual, so this one was not made.",
            Self::DatabaseFull => "The disk of the database is full, so nothing was stored.",
            Self::StoreAway => "The artefact store does not answer now.",
            Self::StoreFull => "The artefact store is full, so nothing was stored.",
            Self::StoreKeyRefused => "The artefact store does not accept the portal’s key.",
            Self::StoreBucketMissing => "The bucket for this is not in the artefact store.",
        }
    }

    /// What whoever waits for an answer can do.
    const fn next_step(self) -> &'static str {
        match self {
            Self::DatabaseAway | Self::StoreAway => "Nothing was changed. Try again in a moment.",
            Self::DatabaseBusy => "Nothing was changed. Try again in a few seconds.",
            Self::DatabaseFull | Self::StoreFull => "Ask whoever runs this portal to free space, then try again.",
            Self::StoreKeyRefused => {
                "Nothing was changed. Whoever runs this portal has to look at the key of the store; `atelier doctor` tries it."
            }
            Self::StoreBucketMissing => {
                "Nothing was changed. Try again in a minute; if it stays, whoever runs this portal has to make the bucket."
            }
        }
    }
}

/// One wrong field of a form or of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// The field's name in the form (LLaMA-Factory's key for run settings).
    pub field: String,
    pub sentence: String,
    /// A value that would be accepted, where one can be named.
    pub suggestion: Option<String>,
}

impl FieldProblem {
    pub fn new(field: &str, sentence: impl Into<String>) -> Self {
        Self { field: field.to_owned(), sentence: sentence.into(), suggestion: None }
    }
    pub fn suggesting(mut self, value: impl Into<String>) -> Self {
        self.suggestion = Some(value.into());
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Problem {
    pub kind: ProblemKind,
    /// What happened, in one sentence that names the thing.
    pub sentence: String,
    /// What to do now, as a sentence; empty where nothing can be done.
    #[serde(default)]
    pub next_step: String,
    #[serde(default)]
    pub fields: Vec<FieldProblem>,
    /// To find the full chain in the log; set by the server for `Internal`.
    #[serde(default)]
    pub request_id: Option<String>,
    /// Which part does not do its work, of [`ProblemKind::Unavailable`]; not for whoever asks.
    #[serde(skip)]
    pub outage: Option<Outage>,
}

impl Problem {
    pub fn new(kind: ProblemKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into(), next_step: String::new(), fields: Vec::new(), request_id: None, outage: None }
    }
    pub fn of_outage(outage: Outage) -> Self {
        Self { outage: Some(outage), ..Self::new(ProblemKind::Unavailable, outage.said()).next(outage.next_step()) }
    }
    /// `what` in the words the caller used: `the run “facts-7”`.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(ProblemKind::NotFound, format!("{what} was not found.")).next("Check the address, or go back to the list.")
    }
    pub fn conflict(sentence: impl Into<String>) -> Self {
        Self::new(ProblemKind::Conflict, sentence)
    }
    pub fn invalid(fields: Vec<FieldProblem>) -> Self {
        let sentence = match fields.as_slice() {
            [one] => one.sentence.clone(),
            many => format!("{} fields need a change.", many.len()),
        };
        Self { fields, ..Self::new(ProblemKind::Invalid, sentence) }
    }
    pub fn field(field: &str, sentence: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem::new(field, sentence)])
    }
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = step.into();
        self
    }
}
