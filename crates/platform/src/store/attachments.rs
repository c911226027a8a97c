//! Which model versions an endpoint answers as.

use super::{Result, Tx, in_tx, json};
use domain::{
    endpoint::AdapterState,
    event::Topic,
    ids::{EndpointId, ModelVersionId},
    name::Name,
    reason::endpoint::AdapterReason,
    time::Timestamp,
};

impl Tx {
    /// Attaches a version as loading. `false` = it is attached there already.
    pub(crate) async fn attach(&mut self, tenant: &Name, endpoint: EndpointId, version: ModelVersionId, now: Timestamp) -> Result<bool> {
        let sql = "INSERT INTO attachments (tenant, endpoint, version, state, attached_at) VALUES ($1, $2, $3, 'loading', $4) ON CONFLICT DO NOTHING";
        let written = in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(endpoint.to_string()).bind(version.to_string()).bind(now.0)
            .execute(db).await.map(|done| done.rows_affected()))?;
        if written == 1 {
            self.attachment_changed(tenant, endpoint, version);
        }
        Ok(written == 1)
    }

    pub(crate) async fn set_attachment(
        &mut self,
        tenant: &Name,
        endpoint: EndpointId,
        version: ModelVersionId,
        state: AdapterState,
        reason: Option<&AdapterReason>,
    ) -> Result<()> {
        let sql = "UPDATE attachments SET state = $4, reason = $5 WHERE tenant = $1 AND endpoint = $2 AND version = $3";
        in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str()).bind(endpoint.to_string()).bind(version.to_string()).bind(state.word()).bind(reason.map(json))
            .execute(db).await.map(|_| ()))?;
        self.routes_changed(tenant, endpoint);
        Ok(())
    }

    pub(crate) async fn detach(&mut self, tenant: &Name, endpoint: EndpointId, version: ModelVersionId) -> Result<bool> {
        let sql = "DELETE FROM attachments WHERE tenant = $1 AND endpoint = $2 AND version = $3";
        let gone = in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(endpoint.to_string()).bind(version.to_string())
            .execute(db).await.map(|done| done.rows_affected()))?;
        if gone == 1 {
            self.attachment_changed(tenant, endpoint, version);
        }
        Ok(gone == 1)
    }

    fn attachment_changed(&mut self, tenant: &Name, endpoint: EndpointId, version: ModelVersionId) {
        self.changed(tenant, Topic::ModelVersion, version);
        self.routes_changed(tenant, endpoint);
    }
}
