//! What only the lineage strip asks.

use super::{Result, Store, on_both, parsed};
use domain::{
    ids::{DatasetVersionId, RunId},
    name::Name,
};

impl Store {
    pub(crate) async fn newest_run_on(&self, tenant: &Name, version: DatasetVersionId) -> Result<Option<RunId>> {
        let sql = "SELECT id FROM runs WHERE tenant = $1 AND dataset_version = $2 ORDER BY created_at DESC, id DESC LIMIT 1";
        let row: Option<(String,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(version.to_string()).fetch_optional(db).await)?;
        row.map(|(id,)| parsed(&id)).transpose()
    }
}
