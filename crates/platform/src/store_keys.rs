//! Tenants' keys of an artefact store in S3: sealed in the database, handed to the engine when something of the tenant starts.
//! Garage makes them when the portal may use its admin API (`control::store_keys`); for any other S3 an admin gives them.

use crate::{Platform, change::Change, problem::Doing, tenants::Tenants};
use domain::{
    artefacts::{ArtefactStore, StoreKey},
    audit::Detail,
    name::Name,
    policy::Action,
    problem::{Outage, Problem},
    reason::store_key::NoStoreKey,
};
use storage::{GarageAdmin, Patience, Storage};

/// What a sealed key is bound to.
fn place(tenant: &Name) -> String {
    format!("store key of {tenant}")
}

impl Platform {
    pub(crate) fn garage(&self) -> Option<&GarageAdmin> {
        self.inner.garage.as_ref()
    }

    /// The portal's own.
    pub(crate) fn portals_store_key(&self) -> Option<&StoreKey> {
        self.inner.store_key.as_ref()
    }

    /// The tenant's; the inner error is why it has none.
    pub(crate) async fn store_key(&self, tenant: &Name) -> Result<Result<StoreKey, NoStoreKey>, Problem> {
        let sealed = self.store().sealed_store_key(tenant).await.doing("reading a tenant’s key of the store")?;
        let Some(sealed) = sealed else {
            return Ok(Err(if self.garage().is_some() { NoStoreKey::BeingMade } else { NoStoreKey::NotGiven }));
        };
        let opened = self.inner.token_key.open(&place(tenant), &sealed);
        Ok(opened.and_then(|text| serde_json::from_str(&text).ok()).ok_or(NoStoreKey::Lost))
    }

    pub(crate) fn seal_store_key(&self, tenant: &Name, key: &StoreKey) -> String {
        self.inner.token_key.seal(&place(tenant), &crate::store::json(key))
    }
}

impl Tenants<'_> {
    /// Gives the tenant a key that somebody made by hand, over an earlier one. It is tried first: it must read and write the tenant's
    /// bucket, and read the platform's.
    pub async fn set_store_key(&self, name: &str, key: StoreKey) -> Result<(), Problem> {
        let permit = self.scope().permit(Action::PlatformTenantsWrite)?;
        let platform = self.platform();
        let tenant = self.get(name).await?.tenant.name;
        if matches!(platform.location(), ArtefactStore::Local { .. }) {
            return Err(Problem::conflict("The artefact store is a folder, which has no keys."));
        }
        if let Some(sentence) = platform.location().refuses(&tenant) {
            return Err(Problem::conflict(sentence));
        }
        try_key(platform.location(), &tenant, &key).await?;
        let doing = "writing a tenant’s key of the store";
        let mut tx = Change::begin(platform, &permit).await?;
        tx.set_store_key(&tenant, &key.access_key_id, &platform.seal_store_key(&tenant, &key)).await.doing(doing)?;
        let mut entry = tx.entry_about(&tenant, "tenant", &tenant, &tenant);
        entry.detail = Detail::StoreKeySet { access_key_id: key.access_key_id, by_garage: false };
        tx.commit(entry).await.doing(doing)
    }
}

async fn try_key(location: &ArtefactStore, tenant: &Name, key: &StoreKey) -> Result<(), Problem> {
    let storage =
        Storage::open(location, Some(key), Patience::PORTAL).map_err(|e| crate::problem::internal(&e, "trying a key of the store"))?;
    let own = location.bucket(tenant).unwrap_or_default();
    let shared = location.platform_bucket().unwrap_or_default();
    let refused = |bucket: &str, does: &str, e: object_store::Error| {
        tracing::warn!(bucket, chain = domain::causes::in_words(&e), "a key of the store was tried in vain");
        match storage::outage(&e) {
            Outage::StoreKeyRefused => Problem::field("key", format!("With this key the store does not let anybody {does} “{bucket}”.")),
            Outage::StoreBucketMissing => {
                Problem::field("key", format!("There is no bucket “{bucket}” in the store.")).next("Make it, then give the key again.")
            }
            outage => Problem::of_outage(outage),
        }
    };
    storage.probe(&format!("t/{tenant}")).await.map_err(|e| refused(&own, "read and write", e))?;
    storage.can_list("base-models").await.map_err(|e| refused(&shared, "read", e))
}
