//! Tenants' keys of an artefact store in S3: sealed in the database, handed to the engine when something of the tenant starts.
//! Garage makes them when the portal may use its admin API (`control::store_keys`); for any other S3 an admin gives them.

use crate::{
    Platform,
    change::Change,
    problem::Doing,
    sealing::TokenKey,
    tenants::{Tenants, not_being_deleted},
};
use domain::{
    artefacts::{ArtefactStore, StoreKey},
    audit::Detail,
    name::Name,
    policy::Action,
    problem::{Outage, Problem, ProblemKind},
    reason::store_key::NoStoreKey,
};
use storage::{AdminError, GarageAdmin, Patience, Storage};

/// What a sealed key is bound to.
fn place(tenant: &Name) -> String {
    format!("store key of {tenant}")
}

/// None when it was sealed with another key.
pub(crate) fn opened(key: &TokenKey, tenant: &Name, sealed: &str) -> Option<StoreKey> {
    key.open(&place(tenant), sealed).and_then(|text| serde_json::from_str(&text).ok())
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
        Ok(opened(&self.inner.token_key, tenant, &sealed).ok_or(NoStoreKey::Lost))
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
        let tenant = self.get(name).await?.tenant;
        not_being_deleted(&tenant)?;
        let tenant = tenant.name;
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

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// As the store calls it.
    pub access_key_id: String,
    /// The one before it; the controllers end it when nothing of the tenant works with it any more.
    pub replaced: String,
}

impl Tenants<'_> {
    /// A new key in the place of the tenant's, made by Garage, and tried before it counts. Whatever breaks off on the way leaves the tenant the
    /// key that it has; a key that was made and did not come to count is found by its name, and is the next rotation's.
    pub async fn rotate_store_key(&self, name: &str) -> Result<Rotated, Problem> {
        let permit = self.scope().permit(Action::PlatformTenantsWrite)?;
        let platform = self.platform();
        let tenant = self.get(name).await?.tenant;
        not_being_deleted(&tenant)?;
        let tenant = tenant.name;
        let (Some(own), Some(shared)) = (platform.location().bucket(&tenant), platform.location().platform_bucket()) else {
            return Err(Problem::conflict("The artefact store is a folder, which has no keys."));
        };
        let Some(garage) = platform.garage() else {
            return Err(Problem::conflict("The portal cannot make keys of this store: it has no admin API of Garage.")
                .next("Make a key in the store, and give it with `atelier tenant store-key`; or set ATELIER_GARAGE_ADMIN_URL."));
        };
        let doing = "changing a tenant’s key of the store";
        let Some(replaced) = platform.store().store_key_id(&tenant).await.doing(doing)? else {
            return Err(Problem::conflict(format!("The tenant “{tenant}” has no key of the store yet."))
                .next("The controllers make its first one."));
        };
        let ending = platform.store().store_keys_ending().await.doing(doing)?;
        let in_use = |id: &String| *id == replaced || ending.iter().any(|(of, known, _)| *of == tenant && known == id);
        let made = async {
            let key = match garage.keys(&own).await?.into_iter().find(|id| !in_use(id)) {
                Some(left) => garage.key_of_id(&left).await?,
                None => garage.another_key(&own).await?,
            };
            garage.allow(&garage.bucket(&own).await?, &key.access_key_id, true).await?;
            garage.allow(&garage.bucket(&shared).await?, &key.access_key_id, false).await?;
            Ok(key)
        };
        let key = made.await.map_err(|e: AdminError| {
            Problem::new(ProblemKind::Unavailable, format!("{e}, so the tenant keeps its key."))
                .next("Ask again when Garage works: nothing is lost.")
        })?;
        try_key(platform.location(), &tenant, &key).await?;
        let mut tx = Change::begin(platform, &permit).await?;
        // Somebody else may have been quicker.
        if tx.store_key_id(&tenant).await.doing(doing)?.as_deref() != Some(&replaced) {
            return Err(Problem::conflict(format!("The key of the tenant “{tenant}” was just changed by somebody else."))
                .next("Look at the audit log."));
        }
        let access_key_id = key.access_key_id.clone();
        tx.set_store_key(&tenant, &access_key_id, &platform.seal_store_key(&tenant, &key)).await.doing(doing)?;
        tx.store_key_ends(&tenant, &replaced).await.doing(doing)?;
        let mut entry = tx.entry_about(&tenant, "tenant", &tenant, &tenant);
        entry.action = "tenant.store_key".into();
        entry.detail = Detail::StoreKeyRotated { access_key_id: access_key_id.clone(), replaced: replaced.clone() };
        tx.commit(entry).await.doing(doing)?;
        Ok(Rotated { access_key_id, replaced })
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
