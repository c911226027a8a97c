//! Tenants' keys of the artefact store, sealed.

use super::{Result, Store, Tx, in_tx, on_both, parsed};
use domain::{event::Topic, name::Name};

/// Access key id and sealed key.
type Row = (String, String);

const ONE: &str = "SELECT access_key_id, sealed FROM tenant_store_keys WHERE tenant = $1";

impl Store {
    pub(crate) async fn sealed_store_key(&self, tenant: &Name) -> Result<Option<String>> {
        let row: Option<Row> = on_both!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).fetch_optional(db).await)?;
        Ok(row.map(|(_, sealed)| sealed))
    }

    /// By name.
    pub(crate) async fn tenants_with_store_key(&self) -> Result<Vec<Name>> {
        let sql = "SELECT tenant FROM tenant_store_keys ORDER BY tenant";
        // Unlimited: names only, once a sweep that goes through all of them.
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// By name; those for which something is left to do.
    pub(crate) async fn tenants_without_store_key(&self) -> Result<Vec<Name>> {
        // Unlimited: each gets its key at once, and is not among them any more.
        let sql = "SELECT t.name FROM tenants t LEFT JOIN tenant_store_keys k ON k.tenant = t.name WHERE k.tenant IS NULL ORDER BY t.name";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }
}

impl Tx {
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
