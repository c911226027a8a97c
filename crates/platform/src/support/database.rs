//! The database: what it is, what is in it, who leads, and what was recorded.

use super::{Body, Piece, Support, value};
use crate::store::{
    self, Store,
    support::{LeaseRow, MigrationRow},
};
use domain::{audit::chain::Row, event::Event, filter::AuditFilter, name::Name, page::Page};
use serde_json::{Value, json};

impl Support {
    pub(super) async fn of_database(&self) -> Vec<Piece> {
        let database = async |store: &Store| -> store::Result<_> { Ok((store.version().await?, store.table_counts().await?)) };
        let now = self.now;
        vec![
            self.read("database.json", database, |(version, rows)| Body::Json(json!({ "version": version, "rows": rows }))).await,
            self.read("migrations.json", async |store| store.migrations().await, |rows: Vec<MigrationRow>| {
                let row = |m: &MigrationRow| {
                    json!({ "version": m.version, "description": m.description, "state": m.state.word(), "applied_at": m.applied_at })
                };
                Body::Json(rows.iter().map(row).collect())
            })
            .await,
            self.read("leader.json", async |store| store.leases().await, |rows: Vec<LeaseRow>| {
                let row = |l: &LeaseRow| {
                    json!({
                        "lease": l.name, "holder": l.holder, "term": l.fence,
                        "expires_at": l.expires_at.rfc3339(), "is_over": l.expires_at <= now,
                    })
                };
                Body::Json(rows.iter().map(row).collect())
            })
            .await,
        ]
    }

    /// The newest records about this thing; `None` = about anything.
    pub(super) async fn audit(&self, object: Option<String>, most: u32) -> Piece {
        let filter = AuditFilter { object, limit: most, ..AuditFilter::default() };
        self.read(
            "audit.json",
            async |store| store.audit_page(None, &filter).await,
            |page: Page<Row>| {
                let record = |row: Row| {
                    let record = row.record();
                    let mut told = value(&record);
                    told["entry"]["at"] = record.entry.at.rfc3339().into();
                    told
                };
                Body::Json(page.rows.into_iter().map(record).collect::<Vec<Value>>().into())
            },
        )
        .await
    }

    /// What was told to open pages about this thing.
    pub(super) async fn events(&self, tenant: &Name, object: &str, most: u32) -> Piece {
        self.read(
            "events.json",
            async |store| store.events_of(tenant, object, most).await,
            |events: Vec<Event>| {
                let event = |e: &Event| json!({ "number": e.seq, "at": e.at.rfc3339(), "topic": e.topic.word(), "id": e.id });
                Body::Json(events.iter().map(event).collect())
            },
        )
        .await
    }
}
