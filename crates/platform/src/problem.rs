//! The two faces of an error: a short sentence for the person, and the whole chain of causes once in the log.

use crate::blobs::BlobError;
use domain::problem::{Problem, ProblemKind};
use std::error::Error;

/// `result.doing("reading the runs")?`: what was being done when a database, the artefact store or the engine failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, Problem>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, what: &str) -> Result<T, Problem> {
        self.map_err(|e| match &e {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                unavailable("The database", &e, what)
            }
            _ if disk_is_full(&e) => full(&e, what),
            _ => internal(&e, what),
        })
    }
}

impl<T> Doing<T> for Result<T, BlobError> {
    fn doing(self, what: &str) -> Result<T, Problem> {
        self.map_err(|e| match &e {
            BlobError::Full { .. } => full(&e, what),
            BlobError::Missing { .. } | BlobError::BadPath { .. } => internal(&e, what),
            BlobError::Store { .. } => unavailable("The artefact store", &e, what),
        })
    }
}

impl<T> Doing<T> for Result<T, engine::Error> {
    fn doing(self, what: &str) -> Result<T, Problem> {
        self.map_err(|e| internal(&e, what))
    }
}

/// Our fault: the chain goes into the log, the person gets a sentence without it.
pub(crate) fn internal(e: &dyn Error, doing: &str) -> Problem {
    tracing::error!(doing, chain = chain(e), "failed");
    Problem::new(ProblemKind::Internal, format!("Something went wrong on our side while {doing}."))
        .next("Try again; if it stays, give the request number to whoever runs this portal.")
}

/// A part that is needed does not answer.
pub(crate) fn unavailable(part: &str, e: &dyn Error, doing: &str) -> Problem {
    tracing::error!(doing, chain = chain(e), "a part does not answer");
    Problem::new(ProblemKind::Unavailable, format!("{part} does not answer now.")).next("Nothing was changed. Try again in a moment.")
}

fn full(e: &dyn Error, doing: &str) -> Problem {
    tracing::error!(doing, chain = chain(e), "the disk is full");
    Problem::new(ProblemKind::Unavailable, "The disk of the artefact store is full, so nothing was stored.")
        .next("Ask whoever runs this portal to free space, then try again.")
}

/// SQLite says SQLITE_FULL (13), PostgreSQL 53100.
fn disk_is_full(e: &sqlx::Error) -> bool {
    e.as_database_error().and_then(|d| d.code()).is_some_and(|code| code == "13" || code == "53100")
}

/// All causes, outermost first.
fn chain(e: &dyn Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_not_our_fault_and_a_broken_row_is() {
        let away: Result<(), _> = Err(sqlx::Error::PoolTimedOut);
        assert_eq!(away.doing("x").unwrap_err().kind, ProblemKind::Unavailable);
        let broken: Result<(), _> = Err(sqlx::Error::RowNotFound);
        let problem = broken.doing("reading a secret table").unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Internal);
        assert!(problem.sentence.contains("while reading a secret table"), "{problem}");
    }

    #[test]
    fn the_chain_names_every_cause_once() {
        let io = std::io::Error::other("inner");
        let text = chain(&sqlx::Error::Io(io));
        assert_eq!(text.matches("inner").count(), 1, "{text}");
    }
}
