//! That no table is forgotten: whoever adds one with a tenant in it must say here what a deletion does with it.

use super::*;
use crate::store::Pool;

/// The audit log stays; events go by themselves; members go with the tenant's own row.
const NOT_IN_PIECES: [&str; 3] = ["audit_records", "events", "members"];

#[tokio::test]
async fn every_table_that_names_a_tenant_is_emptied_or_left_out_on_purpose() {
    let store = Store::connect("sqlite::memory:").await.unwrap();
    let Pool::Sqlite(db) = &store.db else { panic!("an SQLite") };
    let sql =
        "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'tenant' WHERE m.type = 'table' ORDER BY m.name";
    let tables: Vec<(String,)> = sqlx::query_as(sql).fetch_all(db).await.unwrap();
    let mut known: Vec<&str> = PIECES.iter().map(|(table, _)| *table).chain(NOT_IN_PIECES).collect();
    known.sort_unstable();
    let tables: Vec<&str> = tables.iter().map(|(table,)| table.as_str()).collect();
    assert_eq!(tables, known, "left: tables with a tenant; right: those of which a deletion knows");
}

#[tokio::test]
async fn each_piece_is_a_statement_that_the_database_takes() {
    let store = Store::connect("sqlite::memory:").await.unwrap();
    let mut tx = store.in_line(domain::time::Timestamp(0)).await.unwrap();
    assert!(!tx.delete_piece(&"nobody".parse().unwrap()).await.unwrap());
}
