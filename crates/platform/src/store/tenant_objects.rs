//! What happened to the objects around tenants' tasks.

use super::{Result, Store, Tx, at, from_json, in_tx, json, on_both};
use domain::{name::Name, tenant_objects::ObjectChange};

type Row = (String, String, String, Option<String>, i64);

impl Store {
    /// By kind and name.
    pub(crate) async fn object_changes(&self, tenant: &Name) -> Result<Vec<ObjectChange>> {
        // Unlimited: a tenant has some fifteen objects.
        let sql = "SELECT kind, name, found_json, refused, at FROM tenant_objects WHERE tenant = $1 ORDER BY kind, name";
        let rows: Vec<Row> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(kind, name, found, refused, when)| Ok(ObjectChange { kind, name, found: from_json(&found)?, refused, at: at(when) }))
            .collect()
    }
}

impl Tx {
    /// Over what was known of the object.
    pub(crate) async fn put_object_change(&mut self, tenant: &Name, change: &ObjectChange) -> Result<()> {
        let sql = "INSERT INTO tenant_objects (tenant, kind, name, found_json, refused, at) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (tenant, kind, name) DO UPDATE SET found_json = excluded.found_json, refused = excluded.refused, at = excluded.at";
        let ObjectChange { kind, name, found, refused, at } = change;
        in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(kind).bind(name).bind(json(found)).bind(refused).bind(at.0).execute(db).await.map(drop))
    }
}
