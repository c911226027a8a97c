//! Endpoints at servers that somebody else runs: added with an address and a key, offering some of the models that are there. Which these
//! are, and whether the server answers, finds `control::external`.

use super::{Endpoints, endpoint_name, not_found};
use crate::{change::Change, problem::Doing, sealing::TokenKey, store::endpoints::EndpointRecord};
use domain::{
    audit::Detail,
    endpoint::Endpoint,
    external::{self, External, Figures},
    ids::EndpointId,
    latency,
    model_server::ModelServer,
    name::Name,
    policy::Action,
    problem::{FieldProblem, Problem},
    reason::endpoint::EndpointReason,
    time::DAY,
};

/// What a person enters.
#[derive(Clone, PartialEq, Eq)]
pub struct NewExternal {
    pub name: String,
    /// `https://llm.example.org/v1`
    pub address: String,
    /// Empty: the server asks for none.
    pub key: String,
}

/// One model of such a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id at the server.
    pub there: String,
    /// What clients of this tenant write as `model`; empty: not offered any more.
    pub here: String,
}

/// The key of an external endpoint, as it is kept in the database.
fn sealed_key(keys: &TokenKey, endpoint: EndpointId, key: &str) -> String {
    keys.seal(&bound_to(endpoint), key)
}

/// None: it was sealed with another key of this portal.
pub(crate) fn opened_key(keys: &TokenKey, endpoint: EndpointId, sealed: &str) -> Option<String> {
    keys.open(&bound_to(endpoint), sealed)
}

fn bound_to(endpoint: EndpointId) -> String {
    format!("key of external endpoint {endpoint}")
}

impl Endpoints<'_> {
    /// Adds somebody else's server. It offers nothing until models are chosen.
    pub async fn add_external(&self, new: NewExternal) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::ExternalWrite)?;
        self.scope.active()?;
        let mut wrong = Vec::new();
        let mut checked = |field| wrong.push(field);
        let name = endpoint_name(&new.name).map_err(&mut checked).ok();
        let address = external::address(&new.address).map_err(&mut checked).ok();
        let key = external::key(&new.key).map_err(&mut checked).ok();
        let (Some(name), Some(address), Some(key)) = (name, address, key) else { return Err(Problem::invalid(wrong)) };
        let mut tx = Change::begin(self.platform(), &permit).await?;
        let external = External { address: address.clone(), has_key: key.is_some(), ..External::default() };
        let fresh = self.fresh(&name, tx.at(), ModelServer::External, EndpointReason::NotAskedYet);
        let record = self.insert(&mut tx, Endpoint { external: Some(external), ..fresh }).await?;
        let added = Detail::ExternalAdded { address, with_key: key.is_some() };
        let sealed = key.map(|key| sealed_key(&self.platform().inner.token_key, record.endpoint.id, &key));
        tx.set_external_key(self.tenant(), record.endpoint.id, sealed.as_deref()).await.doing("keeping the server’s key")?;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, added).await
    }

    /// Replaces the key, or takes it away when the text is empty. The server is asked again at once.
    pub async fn set_external_key(&self, name: &str, key: &str) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::ExternalWrite)?;
        let key = external::key(key).map_err(|problem| Problem::invalid(vec![problem]))?;
        let (mut tx, mut record) = self.for_change(&permit, name).await?;
        let with_key = key.is_some();
        external_of(&mut record)?.has_key = with_key;
        let sealed = key.map(|key| sealed_key(&self.platform().inner.token_key, record.endpoint.id, &key));
        record.retry_at = None;
        tx.set_external_key(self.tenant(), record.endpoint.id, sealed.as_deref()).await.doing("keeping the server’s key")?;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, Detail::ExternalKeySet { with_key }).await
    }

    /// Offers a model of the server under a name, or no more.
    pub async fn offer(&self, name: &str, offer: Offer) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::ExternalWrite)?;
        let here = match offer.here.trim() {
            "" => None,
            text => Some(text.parse::<Name>().map_err(|bad| Problem::invalid(vec![bad.in_field("here")]))?),
        };
        let endpoint = self.get(name).await?;
        if let Some(taken) = &here
            && self.served().await?.is_elsewhere(taken.as_str(), endpoint.id)
        {
            let problem = FieldProblem::new("here", format!("“{taken}” calls another model of this tenant. Choose another name."));
            return Err(Problem::invalid(vec![problem]));
        }
        let (mut tx, mut record) = self.for_change(&permit, name).await?;
        let detail = match &here {
            Some(here) => Detail::ExternalOffered { there: offer.there.clone(), here: here.clone() },
            None => Detail::ExternalWithdrawn { there: offer.there.clone() },
        };
        external_of(&mut record)?.offer(&offer.there, here).map_err(|problem| Problem::invalid(vec![problem]))?;
        record.endpoint.revision += 1;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, detail).await
    }

    /// What is measured of the server: from calls that were made and from the questions that it is asked anyway.
    pub async fn figures(&self, endpoint: &Endpoint) -> Result<Figures, Problem> {
        self.scope.permit(Action::EndpointRead)?;
        let (store, tenant, doing) = (self.platform().store(), self.tenant(), "reading the figures of a server");
        let now = self.platform().now();
        let a_day_ago = now.plus(-DAY);
        let first_tokens = store.first_tokens(tenant, endpoint.id, a_day_ago).await.doing(doing)?;
        Ok(Figures {
            by_model: store.endpoint_requests(tenant, endpoint.id, a_day_ago).await.doing(doing)?,
            first_token_p95: latency::percentile(95, &first_tokens),
            availability: store.availability(tenant, endpoint.id, now.plus(-7 * DAY)).await.doing(doing)?,
        })
    }

    /// Has the server asked at once instead of at its next turn.
    pub async fn check_external(&self, name: &str) -> Result<Endpoint, Problem> {
        let permit = self.scope.permit(Action::ExternalWrite)?;
        let (mut tx, mut record) = self.for_change(&permit, name).await?;
        external_of(&mut record)?;
        record.retry_at = None;
        tx.save_endpoint(&record).await.doing("writing the endpoint")?;
        self.commit(tx, record, Detail::ExternalChecked).await
    }
}

/// What is not external has nothing of this: for whoever asks, it is not there.
fn external_of(record: &mut EndpointRecord) -> Result<&mut External, Problem> {
    let name = record.endpoint.name.to_string();
    record.endpoint.external.as_mut().ok_or_else(|| not_found(&name))
}
