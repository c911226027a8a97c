//! Endpoints: one model server with a base model and, for LoRA, adapters that come and go without a restart.

use crate::{
    external::External,
    ids::{BaseModelId, EndpointId, ModelVersionId, PersonId},
    model_server::{Capabilities, ModelServer},
    name::Name,
    reason::endpoint::{AdapterReason, EndpointReason},
    replica::Replica,
    run::Refused,
    serving::ServingSettings,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Asked for; nothing started yet.
    Wanted,
    /// The server process is there and loads weights.
    Starting,
    Ready,
    /// Fewer replicas answer than are wanted; none: it is being restarted.
    Degraded,
    Stopping,
    Stopped,
    /// Given up after repeated failures; `reason` says why.
    Failed,
}

worded!(EndpointState);

impl EndpointState {
    pub const ALL: [EndpointState; 7] =
        [Self::Wanted, Self::Starting, Self::Ready, Self::Degraded, Self::Stopping, Self::Stopped, Self::Failed];
    /// Whether a server process is there, or should be.
    pub const fn wants_server(self) -> bool {
        matches!(self, Self::Wanted | Self::Starting | Self::Ready | Self::Degraded)
    }
    /// Counts against the quota: something runs or should run.
    pub const fn is_wanted(self) -> bool {
        matches!(self, Self::Wanted | Self::Starting | Self::Ready | Self::Degraded)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// The process was started by the engine.
    Launched,
    /// As many replicas answer as are wanted.
    Answers,
    /// Fewer do, and the server runs.
    ReplicasMissing,
    /// The process ended or stopped answering without being told to.
    Died,
    /// Somebody else's server cannot be used now.
    Unusable,
    /// Too many deaths in a row.
    GiveUp,
    /// A person asks.
    Stop,
    Start,
    /// The process is gone after a stop.
    Gone,
}

impl EndpointState {
    pub fn next(self, event: EndpointEvent) -> Result<EndpointState, Refused> {
        use EndpointEvent as E;
        use EndpointState as S;
        Ok(match (self, event) {
            (S::Wanted | S::Degraded, E::Launched) => S::Starting,
            (S::Wanted | S::Starting | S::Degraded, E::Answers) => S::Ready,
            (S::Starting | S::Ready | S::Degraded, E::ReplicasMissing) => S::Degraded,
            (S::Ready | S::Starting | S::Degraded, E::Died) => S::Degraded,
            (S::Wanted | S::Ready | S::Degraded, E::Unusable) => S::Degraded,
            (S::Wanted | S::Starting | S::Degraded, E::GiveUp) => S::Failed,
            (S::Wanted | S::Starting | S::Ready | S::Degraded | S::Failed, E::Stop) => S::Stopping,
            (S::Stopping, E::Gone) => S::Stopped,
            (S::Stopped | S::Failed, E::Start) => S::Wanted,
            (S::Stopping | S::Stopped, E::Stop) => return Err(Refused("The endpoint is already stopped.".into())),
            (S::Stopping, E::Start) => return Err(Refused("The endpoint is still stopping; start it again in a moment.".into())),
            (_, E::Start) => return Err(Refused("The endpoint is already running.".into())),
            (s, e) => return Err(Refused(format!("{e:?} is not possible while the endpoint is {}.", s.word()))),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum AdapterState {
    /// Asked for; the server has not loaded it yet.
    Loading,
    Ready,
    Failed,
}

worded!(AdapterState);

/// A model version on an endpoint. Clients call it by the model's name; one version of a model per tenant answers to that name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub version: ModelVersionId,
    pub model_name: Name,
    pub number: u32,
    pub state: AdapterState,
    pub reason: Option<AdapterReason>,
    pub attached_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub tenant: Name,
    pub name: Name,
    pub state: EndpointState,
    pub reason: EndpointReason,
    pub model_server: ModelServer,
    /// None where somebody else runs the server.
    pub base: Option<ServedBase>,
    /// Set where somebody else runs the server.
    pub external: Option<External>,
    /// Set when the endpoint serves full weights instead of base plus adapters.
    pub merged_version: Option<ModelVersionId>,
    /// Counts changes of what it serves.
    pub revision: u32,
    pub attachments: Vec<Attachment>,
    /// Where the gateway reaches the copies of the server that take calls; never shown to people.
    #[serde(skip)]
    pub addresses: Vec<String>,
    /// As the engine saw them last.
    pub replicas: Vec<Replica>,
    /// Times the process was started for the present revision of its state.
    pub restarts: u32,
    pub created_by: PersonId,
    pub created_by_name: String,
    pub created_at: Timestamp,
    pub ready_at: Option<Timestamp>,
    pub settings: ServingSettings,
}

/// The base model that a server of ours loads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedBase {
    pub id: BaseModelId,
    pub name: Name,
}

impl Endpoint {
    pub const fn capabilities(&self) -> Capabilities {
        self.model_server.capabilities()
    }
    /// Whether an adapter for this base model can be put onto it.
    pub fn takes_adapters_of(&self, base: BaseModelId) -> bool {
        self.takes_adapters() && self.base.as_ref().is_some_and(|b| b.id == base)
    }
    pub const fn takes_adapters(&self) -> bool {
        self.capabilities().adapters_at_run_time && self.merged_version.is_none()
    }
    /// Where its answers come from, for a list: the base model's name, or the kind of its server.
    pub fn source(&self) -> &str {
        self.base.as_ref().map_or(self.model_server.label(), |b| b.name.as_str())
    }
}

/// One line of a model server's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointLogLine {
    /// From 1, per endpoint, across restarts.
    pub number: u64,
    pub at: Timestamp,
    pub level: crate::run::LogLevel,
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_dies_comes_back() {
        let mut s = EndpointState::Wanted;
        for e in [EndpointEvent::Launched, EndpointEvent::Answers, EndpointEvent::Died, EndpointEvent::Launched, EndpointEvent::Answers] {
            s = s.next(e).unwrap();
        }
        assert_eq!(s, EndpointState::Ready);
    }

    #[test]
    fn somebody_elses_server_that_is_away_is_degraded_until_it_answers() {
        let away = EndpointState::Wanted.next(EndpointEvent::Unusable).unwrap();
        assert_eq!(away, EndpointState::Degraded);
        assert_eq!(away.next(EndpointEvent::Unusable), Ok(away));
        let back = away.next(EndpointEvent::Answers).unwrap();
        assert_eq!((back, back.next(EndpointEvent::Unusable)), (EndpointState::Ready, Ok(away)));
        assert!(EndpointState::Stopped.next(EndpointEvent::Unusable).is_err());
    }

    #[test]
    fn a_stopped_endpoint_stays_stopped_until_someone_starts_it() {
        let s = EndpointState::Ready.next(EndpointEvent::Stop).and_then(|s| s.next(EndpointEvent::Gone)).unwrap();
        assert_eq!(s, EndpointState::Stopped);
        for e in [EndpointEvent::Launched, EndpointEvent::Answers, EndpointEvent::Died] {
            assert!(s.next(e).is_err());
        }
        assert_eq!(s.next(EndpointEvent::Start), Ok(EndpointState::Wanted));
    }

    fn of_base(name: &str) -> Endpoint {
        Endpoint {
            id: EndpointId::from_uuid(uuid::Uuid::from_u128(1)),
            tenant: "acme".parse().unwrap(),
            name: "desk".parse().unwrap(),
            state: EndpointState::Ready,
            reason: EndpointReason::WaitsForStart,
            model_server: ModelServer::Vllm,
            base: Some(ServedBase { id: BaseModelId::from_uuid(uuid::Uuid::from_u128(2)), name: name.parse().unwrap() }),
            external: None,
            merged_version: None,
            revision: 1,
            attachments: Vec::new(),
            addresses: Vec::new(),
            replicas: Vec::new(),
            restarts: 0,
            created_by: PersonId::from_uuid(uuid::Uuid::from_u128(3)),
            created_by_name: "ann".into(),
            created_at: Timestamp(0),
            ready_at: None,
            settings: ServingSettings::default(),
        }
    }

    #[test]
    fn adapters_go_onto_a_server_of_ours_with_their_own_base_and_no_full_weights() {
        let (mine, other) = (BaseModelId::from_uuid(uuid::Uuid::from_u128(2)), BaseModelId::from_uuid(uuid::Uuid::from_u128(9)));
        let desk = of_base("world-4m");
        assert!(desk.takes_adapters() && desk.takes_adapters_of(mine) && !desk.takes_adapters_of(other));
        let whole = Endpoint { merged_version: Some(ModelVersionId::from_uuid(uuid::Uuid::from_u128(4))), ..desk.clone() };
        assert!(!whole.takes_adapters() && !whole.takes_adapters_of(mine));
        let outside = Endpoint { model_server: ModelServer::External, base: None, ..desk.clone() };
        assert!(!outside.takes_adapters() && !outside.takes_adapters_of(mine));
        assert_eq!((desk.source(), outside.source()), ("world-4m", "external"));
    }
}
