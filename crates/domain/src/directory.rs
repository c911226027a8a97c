//! What the gateway needs to know, as one snapshot of plain data: routes, keys, limits. The platform makes it, the gateway
//! only reads it; a call that succeeds asks no database.

mod pass;
pub use pass::BadPass;

use crate::{
    call_rules::CallRules,
    ids::{EndpointId, KeyId, ModelVersionId, PersonId},
    key::Limits,
    model_server::ModelServer,
    name::Name,
    serving::ServingSettings,
    time::{MINUTE, Timestamp},
};
use std::collections::{HashMap, HashSet};

#[derive(Clone, Default)]
pub struct Directory {
    /// Grows with every snapshot.
    pub revision: u64,
    pub tenants: HashMap<Name, TenantEntry>,
    /// By BLAKE3 of the key's whole text. Revoked and expired keys stay for a day, so that the error can say which it is.
    pub keys: HashMap<[u8; 32], KeyEntry>,
    /// People whose sessions were ended: passes that were made at this moment or before are refused.
    pub passes_from: HashMap<PersonId, Timestamp>,
    /// HMAC-SHA256 secret of session passes (see [`Pass`]).
    pub pass_secret: [u8; 32],
}

#[derive(Clone, Debug, Default)]
pub struct TenantEntry {
    /// False while suspended.
    pub active: bool,
    /// By model id as clients name it.
    pub routes: HashMap<String, Route>,
    /// People who may call with a session pass now; a leaver is not in here.
    pub members: HashSet<PersonId>,
    pub calls: CallRules,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub endpoint: EndpointId,
    pub endpoint_name: Name,
    /// Of each copy of the server that takes calls: `http://127.0.0.1:43121`; none while no server answers.
    pub upstreams: Vec<String>,
    /// What the model server calls it.
    pub upstream_model: String,
    /// What is sent to the model server as its bearer token.
    pub upstream_key: Option<UpstreamKey>,
    pub model_server: ModelServer,
    /// None = the base model itself, or one of somebody else's server.
    pub model_version: Option<ModelVersionId>,
    /// Of the base model, for `/v1/models`.
    pub parent: Option<String>,
    pub created: Timestamp,
    /// Most tokens of a prompt and its answer together; 0 = not known.
    pub context: u32,
    pub settings: ServingSettings,
    /// Why it does not answer, when there is no upstream: a sentence for the client.
    pub reason: Option<String>,
}

/// The key of somebody else's server. It is shown in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamKey(std::sync::Arc<str>);

impl UpstreamKey {
    pub fn new(text: String) -> Self {
        Self(text.into())
    }
    /// For the header of a call, and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for UpstreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UpstreamKey(hidden)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    pub id: KeyId,
    pub tenant: Name,
    /// Whose key it is; of a service key, the member who answers for it.
    pub owner: PersonId,
    pub models: Option<Vec<String>>,
    pub limits: Limits,
    pub expires_at: Option<Timestamp>,
    pub revoked: bool,
    /// The key stops here unless the identity provider confirms its owner again. None: a service key, which belongs to the tenant.
    pub confirmed_until: Option<Timestamp>,
}

impl KeyEntry {
    /// Belongs to the tenant and to no person.
    pub fn is_service(&self) -> bool {
        self.confirmed_until.is_none()
    }
}

/// What lets a signed-in person's page call the gateway: signed by the web role, checked by the gateway, good for minutes.
/// Text form: `atlp_` + base64url(JSON) + `.` + base64url(HMAC-SHA256).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pass {
    pub tenant: Name,
    pub person: PersonId,
    pub expires_at: Timestamp,
}

pub const PASS_PREFIX: &str = "atlp_";
/// How long a page may call the gateway with one pass, milliseconds.
pub const PASS_LASTS: i64 = 10 * MINUTE;

impl Pass {
    pub fn made_at(&self) -> Timestamp {
        self.expires_at.plus(-PASS_LASTS)
    }
}
