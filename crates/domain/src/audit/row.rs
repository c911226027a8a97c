//! A record of the audit log in the columns of its row.

/// A record as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub chain: String,
    pub seq: i64,
    pub at: i64,
    pub tenant: Option<String>,
    pub actor_kind: String,
    pub actor: String,
    pub actor_name: String,
    pub action: String,
    pub object_kind: String,
    pub object: String,
    pub object_name: String,
    pub result: String,
    /// [`super::Detail`] as JSON; empty when there is nothing to say.
    pub detail: String,
    pub request_id: String,
    pub from_ip: String,
    pub prev_hash: String,
    pub hash: String,
    /// In the first segment: the text that was hashed then.
    pub first_entry: Option<String>,
}
