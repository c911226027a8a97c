//! Taking an endpoint away, with everything that is only its own.

use super::{Result, Tx, in_tx};
use domain::{endpoint::Endpoint, event::Topic};

impl Tx {
    /// What names it elsewhere (calls, their sums, the audit log) stays.
    pub(crate) async fn remove_endpoint(&mut self, e: &Endpoint) -> Result<()> {
        let (tenant, endpoint) = (&e.tenant, e.id);
        for sql in [
            "DELETE FROM attachments WHERE tenant = $1 AND endpoint = $2",
            "DELETE FROM endpoint_log WHERE tenant = $1 AND endpoint = $2",
            "DELETE FROM external_hours WHERE tenant = $1 AND endpoint = $2",
            "DELETE FROM first_token_hours WHERE tenant = $1 AND endpoint = $2",
            "DELETE FROM endpoints WHERE tenant = $1 AND id = $2",
        ] {
            in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(endpoint.to_string()).execute(db).await.map(drop))?;
        }
        // Their pages say where they answer.
        for attached in &e.attachments {
            self.changed(tenant, Topic::ModelVersion, attached.version);
        }
        self.served_changed(e);
        self.routes_changed(tenant, endpoint);
        Ok(())
    }
}
