//! People, and the roles they hold. Roles come from the identity provider's group claims at every sign-in.

use crate::{ids::PersonId, name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};

/// What a person may do inside one tenant. Ordered: an owner may do all that an engineer may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Engineer,
    Owner,
}

worded!(Role);

/// What a person may do on the platform, across tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case", const_into_str)]
#[serde(rename_all = "snake_case")]
pub enum PlatformRole {
    /// Manages tenants and base models. Sees no tenant's data.
    Admin,
    /// Reads everything, changes nothing.
    Auditor,
}

worded!(PlatformRole);

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Engineer, Role::Owner];
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub id: PersonId,
    pub issuer: String,
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
    pub platform_role: Option<PlatformRole>,
    pub last_seen_at: Timestamp,
}

/// A person's place in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub tenant: Name,
    pub person: PersonId,
    pub person_name: String,
    pub email: Option<String>,
    pub role: Role,
    pub since: Timestamp,
    /// When the identity provider last confirmed it.
    pub confirmed_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// Sessions that go on, wherever the person is signed in.
    pub sessions: u32,
    /// The person's own keys in this tenant that are neither revoked nor expired.
    pub keys: u32,
}

/// Where a person stands when signed in: what the shell of every page needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    pub person: PersonId,
    pub name: String,
    pub email: Option<String>,
    pub platform_role: Option<PlatformRole>,
    /// Tenants in which the person is a member, by name.
    pub memberships: Vec<(Name, Role)>,
    /// The first [`GROUPS_KEPT`] groups that the identity provider sent, shown when they lead to no tenant at all.
    pub groups: Vec<String>,
}

/// How many groups of a person are remembered and shown, and how much of each, characters. Roles are found in all of them before.
pub const GROUPS_KEPT: usize = 100;
pub const GROUP_CHARS: usize = 200;
