//! What a look at one part of the portal's surroundings has found: `atelier doctor` prints it, the start warns of it.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There, with what was seen.
    Good(String),
    /// Works, but somebody should know.
    Note(String),
    /// Missing or wrong: what, and how to get it right.
    Missing(String, String),
}
