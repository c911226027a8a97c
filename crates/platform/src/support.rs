//! What whoever helps on a bad day needs to know of a run, an endpoint or the platform: `atelier support-bundle`.
//!
//! It only looks, by a way of its own into the database: no migration, no leader, no portal that answers. What cannot be looked at is said,
//! and hides nothing else. Secrets are taken out by whoever writes the bundle ([`crate::redaction`]); tables with secrets are counted, never read.

mod cluster;
mod database;
mod endpoint;
mod run;
mod tasks;

use crate::{
    access::PlatformScope,
    sealing::TokenKey,
    store::{self, Store},
};
use domain::{
    ids::RunId,
    name::Name,
    policy::Action,
    problem::{Problem, ProblemKind},
    time::Timestamp,
};
use engine::Engine;
use serde_json::Value;

/// What the bundle is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Platform,
    Run(RunId),
    /// Tenant and name.
    Endpoint(Name, Name),
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub subject: Subject,
    /// Newest records of the audit log, of the subject; 1 to 500.
    pub audit: u32,
    /// Newest lines of the subject's log.
    pub log_lines: u32,
}

/// One file of the bundle.
#[derive(Clone, Debug)]
pub struct Piece {
    pub name: String,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Json(Value),
    /// Several documents.
    Yaml(Vec<Value>),
    /// Lines, the newest last.
    Text(String),
    /// It could not be looked at: a sentence.
    Missing(String),
}

impl Piece {
    pub fn new(name: impl Into<String>, body: Body) -> Self {
        Self { name: name.into(), body }
    }
    pub fn json(name: impl Into<String>, value: Value) -> Self {
        Self::new(name, Body::Json(value))
    }
    pub fn missing(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, Body::Missing(why.into()))
    }
}

/// The ways to look; each may be closed.
pub struct Support {
    store: Result<Store, String>,
    engine: Result<Engine, String>,
    /// How a group names a tenant and a role.
    tenant_group: String,
    now: Timestamp,
}

impl Support {
    /// The error of `database_url` and `engine` is why there is none, a sentence.
    pub async fn open(database_url: Result<String, String>, engine: Result<Engine, String>, tenant_group: String, now: Timestamp) -> Self {
        let store = match database_url {
            Ok(url) => Store::look(&url).await.map_err(|e| format!("The database cannot be read: {}.", domain::causes::in_words(&e))),
            Err(why) => Err(why),
        };
        Self { store, engine, tenant_group, now }
    }

    /// Secrets of the database that are to be looked for in everything: the tenants' keys of the artefact store.
    pub async fn secrets(&self, key: Option<&TokenKey>) -> Vec<String> {
        let (Ok(store), Some(key)) = (&self.store, key) else { return Vec::new() };
        let sealed = store.sealed_store_keys().await.unwrap_or_default();
        sealed.iter().filter_map(|(tenant, sealed)| Some(crate::store_keys::opened(key, tenant, sealed)?.secret_access_key)).collect()
    }

    /// Everything that is known of the subject. Not found only where the database says so.
    pub async fn collect(&self, scope: &PlatformScope, asked: &Asked) -> Result<Vec<Piece>, Problem> {
        scope.permit(Action::PlatformAuditRead)?;
        let mut pieces = match &asked.subject {
            Subject::Platform => vec![self.audit(None, asked.audit).await],
            Subject::Run(id) => self.of_run(*id, asked).await?,
            Subject::Endpoint(tenant, name) => self.of_endpoint(tenant, name, asked).await?,
        };
        pieces.extend(self.of_database().await);
        pieces.extend(self.of_cluster(&asked.subject).await);
        Ok(pieces)
    }

    /// `file`, made of what the database says.
    async fn read<T>(&self, file: &str, look: impl AsyncFnOnce(&Store) -> store::Result<T>, told: impl FnOnce(T) -> Body) -> Piece {
        let seen = match &self.store {
            Ok(store) => look(store).await.map_err(|e| format!("The database does not tell: {}.", domain::causes::in_words(&e))),
            Err(why) => Err(why.clone()),
        };
        Piece::new(file, seen.map_or_else(Body::Missing, told))
    }
}

fn not_found(what: String, next: &str) -> Problem {
    Problem::new(ProblemKind::NotFound, what).next(next)
}

/// As JSON; of our own plain data nothing fails.
fn value(of: &impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
