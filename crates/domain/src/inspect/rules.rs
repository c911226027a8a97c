//! The rules by which a row is judged.
