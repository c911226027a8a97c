//! Groups of the identity provider that tenants are bound to.

use super::{Result, Store, Tx, in_tx, on_both, parsed, word};
use domain::{name::Name, people::Role, tenant_groups::GroupRole};

type Row = (String, String, String);

const ALL: &str = "SELECT tenant, group_name, role FROM tenant_groups ORDER BY tenant, group_name";

fn bound(rows: Vec<Row>) -> Result<Vec<(Name, GroupRole)>> {
    rows.into_iter()
        .map(|(tenant, group, role)| Ok((parsed(&tenant)?, GroupRole { group, role: word(Role::from_word(&role), &role)? })))
        .collect()
}

impl Store {
    /// By name of the group.
    pub(crate) async fn tenant_groups(&self, tenant: &Name) -> Result<Vec<GroupRole>> {
        // Unlimited: fifty at most.
        let sql = "SELECT tenant, group_name, role FROM tenant_groups WHERE tenant = $1 ORDER BY group_name";
        let rows: Vec<Row> = on_both!(self, db => sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(db).await)?;
        Ok(bound(rows)?.into_iter().map(|(_, group)| group).collect())
    }

    /// Of every tenant.
    pub(crate) async fn bound_groups(&self) -> Result<Vec<(Name, GroupRole)>> {
        // Unlimited: a tenant has fifty at most, and a person who comes in is compared with all of them.
        let rows: Vec<Row> = on_both!(self, db => sqlx::query_as(ALL).fetch_all(db).await)?;
        bound(rows)
    }
}

impl Tx {
    /// Of every tenant.
    pub(crate) async fn bound_groups(&mut self) -> Result<Vec<(Name, GroupRole)>> {
        // Unlimited: a tenant has fifty at most, and a person who comes in is compared with all of them.
        let rows: Vec<Row> = in_tx!(self, db => sqlx::query_as(ALL).fetch_all(db).await)?;
        bound(rows)
    }

    /// In the place of those before.
    pub(crate) async fn set_tenant_groups(&mut self, tenant: &Name, groups: &[GroupRole]) -> Result<()> {
        let sql = "DELETE FROM tenant_groups WHERE tenant = $1";
        in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).execute(db).await.map(drop))?;
        for GroupRole { group, role } in groups {
            let sql = "INSERT INTO tenant_groups (tenant, group_name, role) VALUES ($1, $2, $3)";
            in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(group).bind(role.word()).execute(db).await.map(drop))?;
        }
        self.tenant_changed(tenant);
        Ok(())
    }
}
