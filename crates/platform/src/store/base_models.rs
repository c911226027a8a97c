//! Base models: rows of the platform, seen by every tenant.

use super::{Result, Store, Tx, at, count, from_json, in_tx, json, on_both, page, parsed, word};
use domain::{
    base_model::{BaseModel, BaseModelState},
    filter::BaseModelFilter,
    ids::BaseModelId,
    name::Name,
    page::{Cursor, Page},
    reason::base_model::BaseModelReason,
};
use std::collections::HashMap;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    state: String,
    reason: Option<String>,
    architecture: String,
    parameters: i64,
    context: i64,
    template: String,
    licence: String,
    digest: String,
    files_json: String,
    created_at: i64,
}

macro_rules! select_base_models {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, state, reason, architecture, parameters, context, template, licence, digest, files_json, created_at \
             FROM base_models ",
            $rest
        )
    };
}

const CONTEXTS: &str = "SELECT b.id, b.context FROM base_models b WHERE EXISTS (SELECT 1 FROM endpoints e WHERE e.tenant = ";
/// In cursors.
const LIST: &str = "base models, by name";

impl Row {
    fn model(self) -> Result<BaseModel> {
        Ok(BaseModel {
            id: parsed(&self.id)?,
            name: parsed(&self.name)?,
            state: word(BaseModelState::from_word(&self.state), &self.state)?,
            reason: self.reason.as_deref().map(BaseModelReason::stored),
            architecture: self.architecture,
            parameters: self.parameters as u64,
            context: self.context as u32,
            template: self.template,
            licence: self.licence,
            digest: self.digest,
            files: from_json(&self.files_json)?,
            created_at: at(self.created_at),
        })
    }
}

impl Store {
    /// By name; `text` is part of name, architecture or licence, empty = all.
    pub(crate) async fn base_models(&self, filter: &BaseModelFilter, after: &Cursor) -> Result<Page<BaseModel>> {
        let sql = select_base_models!(
            "WHERE name > $1 AND ($2 = '' OR LOWER(name || ' ' || architecture || ' ' || licence) LIKE LOWER($2) ESCAPE '!') \
             AND ($3 = 0 OR state = 'ready') ORDER BY name LIMIT $4"
        );
        let (name, text) = (page::by_name(LIST, after), page::anywhere(&filter.text));
        let rows: Vec<Row> = on_both!(self, db => sqlx::query_as(sql)
            .bind(&name).bind(&text).bind(i64::from(filter.ready)).bind(page::READ).fetch_all(db).await)?;
        Page::cut(rows, LIST, |m| m.name.clone()).try_map(Row::model)
    }

    pub(crate) async fn base_model(&self, id: BaseModelId) -> Result<Option<BaseModel>> {
        let sql = select_base_models!("WHERE id = $1");
        let row: Option<Row> = on_both!(self, db => sqlx::query_as(sql).bind(id.to_string()).fetch_optional(db).await)?;
        row.map(Row::model).transpose()
    }

    /// How many tokens the context of these has, of those that the tenant has endpoints of.
    pub(crate) async fn contexts(&self, tenant: &Name, ids: &[BaseModelId]) -> Result<HashMap<BaseModelId, u32>> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let ids @ [_, ..] = ids.as_slice() else { return Ok(HashMap::new()) };
        let rows: Vec<(String, i64)> = on_both!(self, db => page::belonging(CONTEXTS, tenant, " AND e.base_model = b.id) AND b.id", ids, "")
            .build_query_as().fetch_all(db).await)?;
        rows.into_iter().map(|(id, context)| Ok((parsed(&id)?, count(context)?))).collect()
    }

    pub(crate) async fn base_model_by_name(&self, name: &Name) -> Result<Option<BaseModel>> {
        let sql = select_base_models!("WHERE name = $1");
        let row: Option<Row> = on_both!(self, db => sqlx::query_as(sql).bind(name.as_str()).fetch_optional(db).await)?;
        row.map(Row::model).transpose()
    }
}

impl Tx {
    /// `false` = the name is taken.
    pub(crate) async fn insert_base_model(&mut self, m: &BaseModel) -> Result<bool> {
        let sql = "INSERT INTO base_models (id, name, state, reason, architecture, parameters, context, template, licence, digest, files_json, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
        let written = in_tx!(self, db => sqlx::query(sql)
            .bind(m.id.to_string())
            .bind(m.name.as_str())
            .bind(m.state.word())
            .bind(m.reason.as_ref().map(json))
            .bind(&m.architecture)
            .bind(m.parameters as i64)
            .bind(i64::from(m.context))
            .bind(&m.template)
            .bind(&m.licence)
            .bind(&m.digest)
            .bind(json(&m.files))
            .bind(m.created_at.0)
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }

    /// Writes what registering found out. `false` = the model is not registering (any more).
    pub(crate) async fn finish_base_model(&mut self, m: &BaseModel) -> Result<bool> {
        let sql = "UPDATE base_models SET state = $2, reason = $3, digest = $4, files_json = $5 WHERE id = $1 AND state = 'registering'";
        let written = in_tx!(self, db => sqlx::query(sql)
            .bind(m.id.to_string())
            .bind(m.state.word())
            .bind(m.reason.as_ref().map(json))
            .bind(&m.digest)
            .bind(json(&m.files))
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }

    /// Makes room for another attempt under the same name: a broken one that nothing refers to.
    pub(crate) async fn retry_base_model(&mut self, m: &BaseModel) -> Result<bool> {
        let sql = "UPDATE base_models SET state = 'registering', reason = $2, architecture = $3, parameters = $4, context = $5, template = $6, licence = $7 \
                   WHERE id = $1 AND state = 'broken'";
        let written = in_tx!(self, db => sqlx::query(sql)
            .bind(m.id.to_string())
            .bind(m.reason.as_ref().map(json))
            .bind(&m.architecture)
            .bind(m.parameters as i64)
            .bind(i64::from(m.context))
            .bind(&m.template)
            .bind(&m.licence)
            .execute(db).await.map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }
}
