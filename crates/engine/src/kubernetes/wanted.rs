//! An object around a tenant's tasks, as it should be.

use serde_json::Value;

/// With what it says in the words of the admin's page.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub object: Value,
    pub content: String,
    /// The portal may not make it: see [`super::Options::provision`].
    pub by_others: bool,
}
