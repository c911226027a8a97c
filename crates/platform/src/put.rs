//! What came of a document that somebody sent.

use domain::resource::Document;

/// The document as it holds now, and what had to be done for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Put<S> {
    pub outcome: Outcome,
    pub document: Document<S>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created,
    Changed,
    /// It held already: nothing was written, and nobody was told of anything.
    Unchanged,
}

impl Outcome {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}
