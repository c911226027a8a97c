//! What changed, for pages that are open: small, ordered, kept for a while. The page then asks for what it shows.

use crate::{ids::EventId, name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    /// Grows by one with every event of the platform. Browsers never get it: it would tell how much happens in other tenants.
    #[serde(skip)]
    pub seq: i64,
    pub tenant: Name,
    pub at: Timestamp,
    pub topic: Topic,
    /// Id of what changed.
    pub object: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    DatasetVersion,
    Run,
    /// New metric points or log lines of a run.
    RunLive,
    ModelVersion,
    Endpoint,
    Key,
    Tenant,
}

worded!(Topic);

impl Topic {
    pub const ALL: [Topic; 7] =
        [Self::DatasetVersion, Self::Run, Self::RunLive, Self::ModelVersion, Self::Endpoint, Self::Key, Self::Tenant];
}
