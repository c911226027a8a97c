//! Ids with kinds: a run's id cannot be passed where a key's id is wanted.
//!
//! An id is a UUID (version 7, made by the platform) and is written as `run_` + 32 hex digits everywhere:
//! in the database, in URLs, in names of processes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of kind {0}")]
pub struct NotAnId(pub &'static str);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);
        impl $name {
            pub const PREFIX: &'static str = $prefix;
            /// From a fresh UUID; only the platform makes new ones.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(NotAnId($prefix))?;
                if hex.len() != 32 || hex.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(NotAnId($prefix));
                }
                Uuid::try_parse(hex).map(Self).map_err(|_| NotAnId($prefix))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(/// A person, known by issuer and subject of the identity provider.
    PersonId, "per");
id!(/// A signed-in session (never its secret).
    SessionId, "ses");
id!(DatasetId, "ds");
id!(/// One immutable version of a dataset.
    DatasetVersionId, "dsv");
id!(BaseModelId, "base");
id!(RunId, "run");
id!(ModelId, "mdl");
id!(/// One immutable version of a model: what a run produced.
    ModelVersionId, "mv");
id!(EndpointId, "ep");
id!(KeyId, "key");
id!(ChatId, "chat");
id!(EventId, "evt");
id!(/// One check whether a tenant's pods are apart.
    IsolationCheckId, "iso");
id!(/// One inference call, as metered by the gateway.
    CallId, "call");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_own_text() {
        let id = RunId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "run_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
    }

    #[test]
    fn an_id_of_another_kind_or_shape_is_refused() {
        let key = KeyId::from_uuid(Uuid::from_u128(7)).to_string();
        assert!(key.parse::<RunId>().is_err());
        assert!("run_7".parse::<RunId>().is_err());
        assert!("run_0000000000000000000000000000000A".parse::<RunId>().is_err());
    }
}
