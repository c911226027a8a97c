//! The two faces of an error: a short sentence for the person, and the whole chain of causes once in the log.

use crate::blobs::BlobError;
use domain::{
    causes,
    problem::{Outage, Problem, ProblemKind},
};
use std::error::Error;

/// `result.doing("reading the runs")?`: what was being done when a database, the artefact store or the engine failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, Problem>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, what: &str) -> Result<T, Problem> {
        self.map_err(|e| match Trouble::of(&e) {
            Trouble::Away => outage(Outage::DatabaseAway, &e, what),
            Trouble::Busy => outage(Outage::DatabaseBusy, &e, what),
            Trouble::Full => outage(Outage::DatabaseFull, &e, what),
            Trouble::Refused | Trouble::Ours => internal(&e, what),
        })
    }
}

/// What an error of the database means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It does not answer, or ended our connection.
    Away,
    /// Somebody else holds what was needed, for longer than one waits.
    Busy,
    /// No space on its disk.
    Full,
    /// It answers, and will not store this: the same again is refused again.
    Refused,
    /// Anything else is a mistake of ours.
    Ours,
}

impl Trouble {
    pub(crate) fn of(e: &sqlx::Error) -> Self {
        use sqlx::Error as E;
        let said = match e {
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => return Self::Away,
            E::Encode(_) => return Self::Refused,
            E::Database(said) => said,
            _ => return Self::Ours,
        };
        let code = said.code().unwrap_or_default();
        if said.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
            // The lower byte is the kind, whatever the rest says.
            return match code.parse::<i32>().unwrap_or(0) & 0xff {
                5 | 6 => Self::Busy,           // SQLITE_BUSY, SQLITE_LOCKED
                13 => Self::Full,              // SQLITE_FULL
                8 | 10 | 14 => Self::Away,     // SQLITE_READONLY, SQLITE_IOERR, SQLITE_CANTOPEN
                18..=20 | 25 => Self::Refused, // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_RANGE
                _ => Self::Ours,
            };
        }
        match &*code {
            "53100" => Self::Full,
            // lock_not_available, query_canceled (the time limit of a statement), deadlock, serialization failure.
            "55P03" | "57014" | "40P01" | "40001" => Self::Busy,
            // The transaction was ended because nothing was asked in it for too long.
            "25P03" => Self::Away,
            // Connections, resources, shut down.
            code if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => Self::Away,
            // Data, constraints, triggers, limits of size.
            code if ["21", "22", "23", "54", "P0"].iter().any(|class| code.starts_with(class)) => Self::Refused,
            _ => Self::Ours,
        }
    }
}

impl<T> Doing<T> for Result<T, BlobError> {
    fn doing(self, what: &str) -> Result<T, Problem> {
        self.map_err(|e| match &e {
            BlobError::Missing { .. } | BlobError::BadPath { .. } => internal(&e, what),
            BlobError::Store { outage: of, .. } => outage(*of, &e, what),
        })
    }
}

impl<T> Doing<T> for Result<T, engine::Error> {
    fn doing(self, what: &str) -> Result<T, Problem> {
        self.map_err(|e| match &e {
            engine::Error::Outdated { .. } => Problem::conflict("Another process of this portal leads by now."),
            _ => internal(&e, what),
        })
    }
}

/// Our fault: the chain goes into the log, the person gets a sentence without it.
pub(crate) fn internal(e: &dyn Error, doing: &str) -> Problem {
    tracing::error!(doing, chain = causes::in_words(e), "failed");
    Problem::new(ProblemKind::Internal, format!("Something went wrong on our side while {doing}."))
        .next("Try again; if it stays, give the request number to whoever runs this portal.")
}

/// A part that is needed does not do its work now.
pub(crate) fn outage(outage: Outage, e: &dyn Error, doing: &str) -> Problem {
    match outage {
        Outage::DatabaseBusy => tracing::warn!(doing, chain = causes::in_words(e), "waited too long for the database"),
        _ => tracing::error!(doing, chain = causes::in_words(e), ?outage, "a part that is needed is away or full"),
    }
    Problem::of_outage(outage)
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
}
