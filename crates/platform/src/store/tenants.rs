//! Tenants, what they hold, and who belongs to them.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, page, parsed, word};
use domain::{
    call_rules::CallRules,
    event::Topic,
    ids::PersonId,
    name::Name,
    page::{Cursor, Page},
    people::{Member, Role},
    tenant::{Holding, Quota, RailCounts, Tenant, TenantOverview, TenantState},
    time::Timestamp,
};

type Row = (String, String, String, i64, i64, i64, i64, Option<String>);
/// Runs at work and waiting, endpoints, members, bytes.
type HoldingColumns = (i64, i64, i64, i64, i64);
type OverviewColumns = (String, String, String, i64, i64, i64, i64, Option<String>, i64, i64, i64, i64, i64);

type MemberColumns = (String, String, String, Option<String>, String, i64, i64, i64, i64, i64);

fn tenant((name, title, state, runs, storage, endpoints, created, compute): Row) -> Result<Tenant> {
    Ok(Tenant {
        name: parsed(&name)?,
        title,
        state: word(TenantState::from_word(&state), &state)?,
        quota: Quota {
            concurrent_runs: count(runs)?,
            storage_bytes: count(storage)?,
            endpoints: count(endpoints)?,
            compute: compute.as_deref().map(from_json).transpose()?.unwrap_or_default(),
        },
        created_at: at(created),
    })
}

/// Nothing where there is no limit.
fn compute(quota: &Quota) -> Option<String> {
    (!quota.compute.is_unlimited()).then(|| json(&quota.compute))
}

fn holding((active, queued, endpoints, members, bytes): HoldingColumns) -> Result<Holding> {
    Ok(Holding {
        runs_active: count(active)?,
        runs_queued: count(queued)?,
        storage_bytes: count(bytes)?,
        endpoints: count(endpoints)?,
        members: count(members)?,
    })
}

const ONE: &str =
    "SELECT name, title, state, concurrent_runs, storage_bytes, endpoints, created_at, compute_json FROM tenants WHERE name = $1";
/// What each tenant holds, after these columns: each a count or a sum over an index.
macro_rules! holdings {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            "(SELECT COUNT(*) FROM runs r WHERE r.tenant = t.name AND r.state IN ('running', 'cancelling')), \
             (SELECT COUNT(*) FROM runs r WHERE r.tenant = t.name AND r.state = 'queued'), \
             (SELECT COUNT(*) FROM endpoints e WHERE e.tenant = t.name AND e.state IN ('wanted', 'starting', 'ready', 'degraded')), \
             (SELECT COUNT(*) FROM members m WHERE m.tenant = t.name), \
             (SELECT CAST(COALESCE(SUM(v.bytes + v.judged_bytes), 0) AS BIGINT) FROM dataset_versions v WHERE v.tenant = t.name) + t.other_bytes \
             + (SELECT CAST(COALESCE(SUM(v.bytes), 0) AS BIGINT) FROM model_versions v WHERE v.tenant = t.name) FROM tenants t ",
            $rest
        )
    };
}
const HOLDING: &str = holdings!("", "WHERE t.name = $1");
const PAGE_OF: &str = holdings!(
    "t.name, t.title, t.state, t.concurrent_runs, t.storage_bytes, t.endpoints, t.created_at, t.compute_json, ",
    "WHERE t.name > $1 AND ($2 = '' OR LOWER(t.name || ' ' || t.title) LIKE LOWER($2) ESCAPE '!') ORDER BY t.name LIMIT $3"
);
/// In cursors.
const LIST: &str = "tenants, by name";
const MEMBERS: &str = "members, by name";
/// Files of datasets with what their judging wrote, those that are arriving as far as they may; and what else was measured.
const DATASET_BYTES: &str = "SELECT CAST(COALESCE(SUM(bytes + judged_bytes), 0) AS BIGINT) + \
    COALESCE((SELECT other_bytes FROM tenants WHERE name = $1), 0) FROM dataset_versions WHERE tenant = $1";
/// Of that, what has arrived whole.
const SETTLED_BYTES: &str =
    "SELECT CAST(COALESCE(SUM(bytes + judged_bytes), 0) AS BIGINT) FROM dataset_versions WHERE tenant = $1 AND state <> 'uploading'";
const MODEL_BYTES: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM model_versions WHERE tenant = $1";

macro_rules! members {
    ($rest:literal) => {
        concat!(
            "SELECT m.tenant, m.person, m.name, p.email, m.role, m.since, COALESCE(m.confirmed_at, m.since), p.last_seen_at, \
             (SELECT COUNT(*) FROM sessions s WHERE s.person = m.person AND s.expires_at > $2 AND s.last_seen_at > $3), \
             (SELECT COUNT(*) FROM api_keys k WHERE k.tenant = m.tenant AND k.owner = m.person AND k.service = 0 AND k.revoked_at IS NULL \
                 AND (k.expires_at IS NULL OR k.expires_at > $2)) \
             FROM members m JOIN people p ON p.id = m.person ",
            $rest
        )
    };
}

fn member((tenant, person, person_name, email, role, since, confirmed, seen, sessions, keys): MemberColumns) -> Result<Member> {
    Ok(Member {
        tenant: parsed(&tenant)?,
        person: parsed(&person)?,
        person_name,
        email,
        role: word(Role::from_word(&role), &role)?,
        since: at(since),
        confirmed_at: at(confirmed),
        last_seen_at: at(seen),
        sessions: count(sessions)?,
        keys: count(keys)?,
    })
}

impl Store {
    pub(crate) async fn tenant(&self, name: &Name) -> Result<Option<Tenant>> {
        let row: Option<Row> = on_both!(self, db => sqlx::query_as(ONE).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(tenant).transpose()
    }

    /// By name, with what each holds; `text` is part of name or title, empty = all.
    pub(crate) async fn tenants(&self, text: &str, after: &Cursor) -> Result<Page<TenantOverview>> {
        let (name, text) = (page::by_name(LIST, after), page::anywhere(text));
        let rows: Vec<OverviewColumns> =
            on_both!(self, db => sqlx::query_as(PAGE_OF).bind(&name).bind(&text).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, LIST, |t| t.0.clone()).try_map(
            |(name, title, state, runs, storage, most, created, compute, active, queued, held, members, bytes)| {
                Ok(TenantOverview {
                    tenant: tenant((name, title, state, runs, storage, most, created, compute))?,
                    holding: holding((active, queued, held, members, bytes))?,
                })
            },
        )
    }

    /// By name.
    pub(crate) async fn tenant_names(&self) -> Result<Vec<Name>> {
        // Unlimited: names only, once a full pass that looks at what each has on the cluster.
        let sql = "SELECT name FROM tenants ORDER BY name";
        let rows: Vec<(String,)> = on_both!(self, db => sqlx::query_as(sql).fetch_all(db).await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    pub(crate) async fn count_tenants(&self) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM tenants";
        let (tenants,): (i64,) = on_both!(self, db => sqlx::query_as(sql).fetch_one(db).await)?;
        count(tenants)
    }

    /// How its models may be called.
    pub(crate) async fn call_rules(&self, name: &Name) -> Result<CallRules> {
        let sql = "SELECT call_rules_json FROM tenants WHERE name = $1";
        let row: Option<(Option<String>,)> = on_both!(self, db => sqlx::query_as(sql).bind(name.as_str()).fetch_optional(db).await)?;
        Ok(row.and_then(|(json,)| json).as_deref().map(from_json).transpose()?.unwrap_or_default())
    }

    /// Nothing of a tenant that there is not.
    pub(crate) async fn holding(&self, name: &Name) -> Result<Holding> {
        let row: Option<HoldingColumns> = on_both!(self, db => sqlx::query_as(HOLDING).bind(name.as_str()).fetch_optional(db).await)?;
        row.map_or_else(|| Ok(Holding::default()), holding)
    }

    pub(crate) async fn rail_counts(&self, name: &Name) -> Result<RailCounts> {
        let sql = "SELECT (SELECT COUNT(*) FROM datasets WHERE tenant = $1), (SELECT COUNT(*) FROM runs WHERE tenant = $1), \
            (SELECT COUNT(*) FROM models WHERE tenant = $1), (SELECT COUNT(*) FROM endpoints WHERE tenant = $1), \
            (SELECT COUNT(*) FROM api_keys WHERE tenant = $1 AND revoked_at IS NULL)";
        let (datasets, runs, models, endpoints, keys): (i64, i64, i64, i64, i64) =
            on_both!(self, db => sqlx::query_as(sql).bind(name.as_str()).fetch_one(db).await)?;
        Ok(RailCounts {
            datasets: count(datasets)?,
            runs: count(runs)?,
            models: count(models)?,
            endpoints: count(endpoints)?,
            keys: count(keys)?,
        })
    }

    /// Bytes of dataset files that arrived and of published model files: what the rows say must lie on the disk.
    pub(crate) async fn settled_bytes(&self, name: &Name) -> Result<u64> {
        let (bytes,): (i64,) = on_both!(self, db => sqlx::query_as(SETTLED_BYTES).bind(name.as_str()).fetch_one(db).await)?;
        Ok(count::<u64>(bytes)? + self.model_bytes(name).await?)
    }

    /// Writes what lies on the disk beyond that.
    pub(crate) async fn set_other_bytes(&self, name: &Name, bytes: u64, now: Timestamp) -> Result<()> {
        let mut tx = self.in_line(now).await?;
        let sql = "UPDATE tenants SET other_bytes = $2 WHERE name = $1 AND other_bytes <> $2";
        in_tx!(tx, db => sqlx::query(sql).bind(name.as_str()).bind(bytes as i64).execute(db).await.map(drop))?;
        tx.commit().await
    }

    /// Bytes of all published model files.
    async fn model_bytes(&self, name: &Name) -> Result<u64> {
        let (bytes,): (i64,) = on_both!(self, db => sqlx::query_as(MODEL_BYTES).bind(name.as_str()).fetch_one(db).await)?;
        count(bytes)
    }

    /// By name; `text` is part of name or address, empty = all. `idle_since`: a session that was not used after it has ended.
    pub(crate) async fn members(
        &self,
        tenant: &Name,
        text: &str,
        now: Timestamp,
        idle_since: Timestamp,
        after: &Cursor,
    ) -> Result<Page<Member>> {
        let sql = members!(
            "WHERE m.tenant = $1 AND (m.name, m.person) > ($4, $5) \
             AND ($6 = '' OR LOWER(m.name || ' ' || COALESCE(p.email, '')) LIKE LOWER($6) ESCAPE '!') ORDER BY m.name, m.person LIMIT $7"
        );
        let (name, id): (String, String) = after.key(MEMBERS).unwrap_or_default();
        let rows: Vec<MemberColumns> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(now.0).bind(idle_since.0).bind(&name).bind(&id).bind(page::anywhere(text)).bind(page::READ)
            .fetch_all(db).await)?;
        Page::cut(rows, MEMBERS, |m| (m.2.clone(), m.1.clone())).try_map(member)
    }

    pub(crate) async fn member(&self, tenant: &Name, person: PersonId, now: Timestamp, idle_since: Timestamp) -> Result<Option<Member>> {
        let sql = members!("WHERE m.tenant = $1 AND m.person = $4");
        let row: Option<MemberColumns> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(now.0).bind(idle_since.0).bind(person.to_string()).fetch_optional(db).await)?;
        row.map(member).transpose()
    }
}

impl Tx {
    pub(crate) async fn tenant(&mut self, name: &Name) -> Result<Option<Tenant>> {
        let row: Option<Row> = in_tx!(self, db => sqlx::query_as(ONE).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(tenant).transpose()
    }

    /// What the tenant's quota of storage counts: all that lies on the disk for it, and what was promised to uploads that are under way.
    pub(crate) async fn stored_bytes(&mut self, name: &Name) -> Result<u64> {
        let (datasets,): (i64,) = in_tx!(self, db => sqlx::query_as(DATASET_BYTES).bind(name.as_str()).fetch_one(db).await)?;
        let (models,): (i64,) = in_tx!(self, db => sqlx::query_as(MODEL_BYTES).bind(name.as_str()).fetch_one(db).await)?;
        Ok(count::<u64>(datasets)? + count::<u64>(models)?)
    }

    /// False when the name is taken.
    pub(crate) async fn insert_tenant(&mut self, t: &Tenant) -> Result<bool> {
        let sql = "INSERT INTO tenants (name, title, state, concurrent_runs, storage_bytes, endpoints, created_at, compute_json) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING";
        let q = &t.quota;
        let rows = in_tx!(self, db => sqlx::query(sql)
            .bind(t.name.as_str()).bind(&t.title).bind(t.state.word())
            .bind(i64::from(q.concurrent_runs)).bind(q.storage_bytes as i64).bind(i64::from(q.endpoints)).bind(t.created_at.0)
            .bind(compute(q))
            .execute(db).await.map(|r| r.rows_affected()))?;
        if rows == 1 {
            self.tenant_changed(&t.name);
        }
        Ok(rows == 1)
    }

    pub(crate) async fn set_call_rules(&mut self, name: &Name, rules: &CallRules) -> Result<()> {
        let sql = "UPDATE tenants SET call_rules_json = $2 WHERE name = $1";
        in_tx!(self, db => sqlx::query(sql).bind(name.as_str()).bind(json(rules)).execute(db).await.map(drop))?;
        self.tenant_changed(name);
        Ok(())
    }

    pub(crate) async fn update_tenant(&mut self, t: &Tenant) -> Result<()> {
        let sql = "UPDATE tenants SET title = $2, state = $3, concurrent_runs = $4, storage_bytes = $5, endpoints = $6, compute_json = $7 \
            WHERE name = $1";
        let q = &t.quota;
        in_tx!(self, db => sqlx::query(sql)
            .bind(t.name.as_str()).bind(&t.title).bind(t.state.word())
            .bind(i64::from(q.concurrent_runs)).bind(q.storage_bytes as i64).bind(i64::from(q.endpoints)).bind(compute(q))
            .execute(db).await.map(drop))?;
        self.tenant_changed(&t.name);
        Ok(())
    }

    pub(super) fn tenant_changed(&mut self, name: &Name) {
        self.changed(name, Topic::Tenant, name);
        self.directory_changed();
    }
}
