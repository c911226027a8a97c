//! The playground's conversations. Every function binds tenant and person: nobody reads another one's.

use super::{Result, Store, Tx, at, from_json, in_tx, json, on_both, page, parsed};
use domain::{
    chat::{Chat, ChatOverview},
    ids::{ChatId, PersonId},
    name::Name,
    page::{Cursor, Page},
};

/// In cursors.
const NEWEST: &str = "conversations, newest first";

impl Store {
    /// Newest first.
    pub(crate) async fn chats(&self, tenant: &Name, person: PersonId, after: &Cursor) -> Result<Page<ChatOverview>> {
        let sql = "SELECT id, title, updated_at FROM chats WHERE tenant = $1 AND person = $2 AND (updated_at, id) < ($3, $4) \
                   ORDER BY updated_at DESC, id DESC LIMIT $5";
        let (time, before) = page::newest(NEWEST, after);
        let rows: Vec<(String, String, i64)> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(person.to_string()).bind(time).bind(&before).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, NEWEST, |(id, _, updated)| (*updated, id.clone()))
            .try_map(|(id, title, updated)| Ok(ChatOverview { id: parsed(&id)?, title, updated_at: at(updated) }))
    }

    pub(crate) async fn chat(&self, tenant: &Name, person: PersonId, id: ChatId) -> Result<Option<Chat>> {
        let sql =
            "SELECT title, models_json, system_text, exchanges_json, updated_at FROM chats WHERE tenant = $1 AND person = $2 AND id = $3";
        let row: Option<(String, String, String, String, i64)> = on_both!(self, db => sqlx::query_as(sql)
            .bind(tenant.as_str()).bind(person.to_string()).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(|(title, models, system, exchanges, updated)| {
            Ok(Chat { id, title, models: from_json(&models)?, system, exchanges: from_json(&exchanges)?, updated_at: at(updated) })
        })
        .transpose()
    }
}

impl Tx {
    /// Writes the chat, new or over the person's own. `false` = the id is another person's.
    pub(crate) async fn put_chat(&mut self, tenant: &Name, person: PersonId, chat: &Chat) -> Result<bool> {
        let sql = "INSERT INTO chats (tenant, id, person, title, models_json, system_text, exchanges_json, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, id) DO UPDATE SET title = excluded.title, \
                   models_json = excluded.models_json, system_text = excluded.system_text, exchanges_json = excluded.exchanges_json, \
                   updated_at = excluded.updated_at WHERE chats.person = excluded.person";
        let written = in_tx!(self, db => sqlx::query(sql)
            .bind(tenant.as_str())
            .bind(chat.id.to_string())
            .bind(person.to_string())
            .bind(&chat.title)
            .bind(json(&chat.models))
            .bind(&chat.system)
            .bind(json(&chat.exchanges))
            .bind(chat.updated_at.0)
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }

    pub(crate) async fn delete_chat(&mut self, tenant: &Name, person: PersonId, id: ChatId) -> Result<bool> {
        let sql = "DELETE FROM chats WHERE tenant = $1 AND person = $2 AND id = $3";
        let gone = in_tx!(self, db => sqlx::query(sql).bind(tenant.as_str()).bind(person.to_string()).bind(id.to_string())
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(gone == 1)
    }
}
