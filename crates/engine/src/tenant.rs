//! What a tenant is given where its tasks run.

use domain::{compute::Compute, name::Name, people::Role};

/// Where the tasks of one tenant run, as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub tenant: Name,
    /// What all of its tasks may use at once. What starts beyond it waits with [`crate::PendingCause::Quota`].
    pub compute: Compute,
    /// Groups of people, as the identity provider's tokens name them, and what they are here. Where the engine has accounts for people,
    /// it lets them look, never change.
    pub groups: Vec<(String, Role)>,
}

impl Place {
    /// Of a tenant of which nothing is said.
    pub fn of(tenant: Name) -> Self {
        Self { tenant, compute: Compute::default(), groups: Vec::new() }
    }
}
