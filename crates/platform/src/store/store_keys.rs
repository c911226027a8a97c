//! Tenants' keys of the artefact store, sealed.

use super::{Result, Store, Tx, at, in_tx, on_both, parsed};
use domain::{event::Topic, name::Name, time::Timestamp};

/// Access key id and sealed key.
type Row = (String, String);

const ONE: &str = "SELECT access_key_id, sealed FROM tenant_store_keys WHERE tenant = $1";

impl Store {
    pub(crate) async fn sealed_store_key(&self, tenant: &Name) -> Result<Option<String>> {
        let row: Option<Row> = on_both!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).fetch_optional(db).await)?;
        Ok(row.map(|(_, sealed)| sealed))
    }

    /// How the store calls the tenant's key.
    pub(crate) async fn store_key_id(&self, tenant: &Name) -> Result<Option<String>> {
        let row: Option<Row> = on_both!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).fetch_optional(db).await)?;
        Ok(row.map(|(id, _)| id))
    }

    /// Keys that were replaced and have not ended: tenant, id, when; without those of tenants that are being deleted.
    pub(crate) async fn store_keys_ending(&self) -> Result<Vec<(Name, String, Timestamp)>> {
        let sql = "SELECT e.tenant, e.access_key_id, e.replaced_at FROM store_keys_ending e JOIN tenants t ON t.name = e.tenant \
                   WHERE t.state <> 'deleting' ORDER BY e.tenant, e.access_key_id";
        // Unlimited: each ends soon after it was replaced.
        let rows: Vec<(String, String, i64)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.into_iter().map(|(tenant, id, when)| Ok((parsed(&tenant)?, id, at(when)))).collect()
    }

    /// By name; without those that are being deleted, whose buckets may be gone.
    pub(crate) async fn tenants_with_store_key(&self) -> Result<Vec<Name>> {
        let sql =
            "SELECT k.tenant FROM tenant_store_keys k JOIN tenants t ON t.name = k.tenant WHERE t.state <> 'deleting' ORDER BY k.tenant";
        // Unlimited: names only, once a sweep that goes through all of them.
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// By name; those for which something is left to do.
    pub(crate) async fn tenants_without_store_key(&self) -> Result<Vec<Name>> {
        // Unlimited: each gets its key at once, and is not among them any more.
        // One that is being deleted gets none again.
        let sql = "SELECT t.name FROM tenants t LEFT JOIN tenant_store_keys k ON k.tenant = t.name \
                   WHERE k.tenant IS NULL AND t.state <> 'deleting' ORDER BY t.name";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }
}

impl Tx {
    /// As this transaction finds it.
    pub(crate) async fn store_key_id(&mut self, tenant: &Name) -> Result<Option<String>> {
        let row: Option<Row> = in_tx!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).fetch_optional(db).await)?;
        Ok(row.map(|(id, _)| id))
    }

    /// From now on nothing new gets this key.
    pub(crate) async fn store_key_ends(&mut self, tenant: &Name, access_key_id: &str) -> Result<()> {
        let at = self.at().0;
        let sql = "INSERT INTO store_keys_ending (tenant, access_key_id, replaced_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(access_key_id).bind(at).execute(db).await.map(drop))
    }

    /// It is no more.
    pub(crate) async fn forget_ended_store_key(&mut self, tenant: &Name, access_key_id: &str) -> Result<()> {
        let sql = "DELETE FROM store_keys_ending WHERE tenant = $1 AND access_key_id = $2";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(access_key_id).execute(db).await.map(drop))
    }

    /// Over an earlier one.
    pub(crate) async fn set_store_key(&mut self, tenant: &Name, access_key_id: &str, sealed: &str) -> Result<()> {
        let at = self.at().0;
        let sql = "INSERT INTO tenant_store_keys (tenant, access_key_id, sealed, given_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (tenant) DO UPDATE SET access_key_id = excluded.access_key_id, sealed = excluded.sealed, given_at = excluded.given_at";
        in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(access_key_id).bind(sealed).bind(at).execute(db).await.map(drop))?;
        self.changed(tenant, Topic::Tenant, tenant);
        Ok(())
    }
}
