//! Checks whether tenants are kept apart: the whole check as JSON, and beside it what is looked for.

use super::{Result, Store, Tx, from_json, in_tx, json, on_both, parsed};
use domain::{event::Topic, ids::IsolationCheckId, isolation::Check, name::Name};

/// Of each tenant, beside the one that goes on.
const KEPT: i64 = 10;

impl Store {
    /// Those of all tenants that go on, or of which a pod may be left.
    pub(crate) async fn open_isolation_checks(&self) -> Result<Vec<(Name, IsolationCheckId)>> {
        // Unlimited: at most one of each tenant, and seldom one at all.
        let sql = "SELECT tenant, id FROM isolation_checks WHERE state <> 'ended' ORDER BY tenant";
        let rows: Vec<(String, String)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.iter().map(|(tenant, id)| Ok((parsed(tenant)?, parsed(id)?))).collect()
    }

    pub(crate) async fn has_open_isolation_check(&self, tenant: &Name) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM isolation_checks WHERE tenant = $1 AND state <> 'ended'";
        let (open,): (i64,) = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_one(db).await)?;
        Ok(open > 0)
    }

    pub(crate) async fn isolation_check(&self, tenant: &Name, id: IsolationCheckId) -> Result<Option<Check>> {
        let row: Option<(String,)> =
            on_both!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(|(check,)| from_json(&check)).transpose()
    }

    /// The newest two, the newer first: the one that goes on, and the last result.
    pub(crate) async fn latest_isolation_checks(&self, tenant: &Name) -> Result<Vec<Check>> {
        let sql = "SELECT check_json FROM isolation_checks WHERE tenant = $1 ORDER BY asked_at DESC, id DESC LIMIT 2";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        rows.iter().map(|(check,)| from_json(check)).collect()
    }
}

const ONE: &str = "SELECT check_json FROM isolation_checks WHERE tenant = $1 AND id = $2";

impl Tx {
    pub(crate) async fn isolation_check(&mut self, tenant: &Name, id: IsolationCheckId) -> Result<Option<Check>> {
        let row: Option<(String,)> =
            in_tx!(self, db => sqlx::query_as(ONE).bind(tenant.as_str()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(|(check,)| from_json(&check)).transpose()
    }

    /// False = one of the tenant goes on already. Old results go.
    pub(crate) async fn insert_isolation_check(&mut self, check: &Check) -> Result<bool> {
        let sql = "DELETE FROM isolation_checks WHERE tenant = $1 AND state = 'ended' AND id NOT IN \
                   (SELECT id FROM isolation_checks WHERE tenant = $1 ORDER BY asked_at DESC, id DESC LIMIT $2)";
        let tenant = check.tenant.as_str();
        in_tx!(self, db => sqlx::query(sql).bind(tenant).bind(KEPT).execute(db).await.map(drop))?;
        let sql =
            "INSERT INTO isolation_checks (id, tenant, state, asked_at, check_json) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let (id, state, at) = (check.id.to_string(), check.state().word(), check.asked_at.0);
        let rows = in_tx!(self, db => sqlx::query(sql)
            .bind(id).bind(tenant).bind(state).bind(at).bind(json(check)).execute(db).await.map(|r| r.rows_affected()))?;
        self.changed(&check.tenant, Topic::Tenant, check.id);
        Ok(rows == 1)
    }

    pub(crate) async fn save_isolation_check(&mut self, check: &Check) -> Result<()> {
        let sql = "UPDATE isolation_checks SET state = $3, check_json = $4 WHERE tenant = $1 AND id = $2";
        let (id, state) = (check.id.to_string(), check.state().word());
        in_tx!(self, db => sqlx::query(sql)
            .bind(check.tenant.as_str()).bind(id).bind(state).bind(json(check)).execute(db).await.map(drop))
    }
}
