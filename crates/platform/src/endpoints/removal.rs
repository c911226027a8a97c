//! Endpoints that are not wanted any more. What was called, counted and recorded of them stays; their name is free again.

use super::{Endpoints, not_found};
use crate::{access::shortened, change::Change, problem::Doing};
use domain::{audit::Detail, endpoint::EndpointState, name::Name, policy::Action, problem::Problem};

impl Endpoints<'_> {
    /// Takes an endpoint away for good: one of ours when nothing of it runs any more, one at somebody else's server at any time.
    pub async fn remove(&self, name: &str) -> Result<(), Problem> {
        let mut permit = self.scope.permit(Action::EndpointWrite)?;
        let endpoint = self.get(name).await?;
        if endpoint.external.is_some() {
            permit = self.scope.permit(Action::ExternalWrite)?;
        }
        let parsed: Name = name.parse().map_err(|_| not_found(name))?;
        let mut tx = Change::begin(self.platform(), &permit).await?;
        let record = tx.endpoint_by_name(self.tenant(), &parsed).await.doing("reading the endpoint")?.ok_or_else(|| not_found(name))?;
        let e = record.endpoint;
        if e.id != endpoint.id {
            return Err(Problem::conflict(format!("The endpoint “{}” was replaced by another one.", shortened(name))).next("Look again."));
        }
        if e.external.is_none() && !matches!(e.state, EndpointState::Stopped | EndpointState::Failed) {
            return Err(
                Problem::conflict(format!("The endpoint “{}” is {}.", e.name, e.state.word())).next("Stop it first, then remove it.")
            );
        }
        tx.remove_endpoint(&e).await.doing("removing the endpoint")?;
        let mut entry = tx.entry("endpoint", e.id, &e.name);
        entry.detail = Detail::EndpointRemoved;
        tx.commit(entry).await.doing("removing the endpoint")
    }
}
