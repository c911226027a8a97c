//! What only the lineage strip asks.

use super::{Result, Store, on_both, parsed};
use domain::{
    ids::{DatasetVersionId, EndpointId, ModelVersionId, PersonId, RunId},
    name::Name,
    time::Timestamp,
};

impl Store {
    pub(crate) async fn newest_run_on(&self, tenant: &Name, version: DatasetVersionId) -> Result<Option<RunId>> {
        let sql = "SELECT id FROM runs WHERE tenant = $1 AND dataset_version = $2 ORDER BY created_at DESC, id DESC LIMIT 1";
        let row: Option<(String,)> =
            on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).bind(version.to_string()).fetch_optional(db).await)?;
        row.map(|(id,)| parsed(&id)).transpose()
    }

    /// Calls since a time; `None` = of any version, endpoint, person.
    pub(crate) async fn requests(
        &self,
        tenant: &Name,
        since: Timestamp,
        version: Option<ModelVersionId>,
        endpoint: Option<EndpointId>,
        person: Option<PersonId>,
    ) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM calls WHERE tenant = $1 AND at >= $2 AND (CAST($3 AS TEXT) IS NULL OR model_version = $3) \
                   AND (CAST($4 AS TEXT) IS NULL OR endpoint = $4) AND (CAST($5 AS TEXT) IS NULL OR person = $5)";
        let (version, endpoint, person) = (version.map(|v| v.to_string()), endpoint.map(|e| e.to_string()), person.map(|p| p.to_string()));
        let (count,): (i64,) = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(since.0).bind(version).bind(endpoint).bind(person)
            .fetch_one(db).await)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
