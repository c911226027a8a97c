//! `/api/v1/tenants/{tenant}/runs`.

use super::asked::{Asked, From};
use axum::{
    body::Bytes,
    extract::{Path, Query},
    response::Response,
};
use domain::policy::Action;

pub async fn list(asked: Asked, Path(tenant): Path<String>, Query(from): Query<From>) -> Response {
    let found = async {
        let scope = asked.scope(&tenant).await?;
        asked.platform().runs(&scope).documents(&from.cursor()).await
    };
    asked.list(found.await)
}

pub async fn get(asked: Asked, Path((tenant, name)): Path<(String, String)>) -> Response {
    let found = async {
        let scope = asked.scope(&tenant).await?;
        asked.platform().runs(&scope).document(&name).await
    };
    asked.document(found.await)
}

pub async fn put(asked: Asked, Path((tenant, name)): Path<(String, String)>, body: Bytes) -> Response {
    let done = async {
        let scope = asked.scope(&tenant).await?;
        // Whoever may not change them is not told what is wrong with a document.
        scope.allowed(Action::RunLaunch)?;
        let (name, spec) = asked.read(&body, Some(&tenant), &name)?;
        asked.platform().runs(&scope).put(&name, spec).await
    };
    asked.put(done.await)
}

/// Stops a run that has not ended; see [`platform::runs::Runs::end`].
pub async fn delete(asked: Asked, Path((tenant, name)): Path<(String, String)>) -> Response {
    let done = async {
        let scope = asked.scope(&tenant).await?;
        asked.platform().runs(&scope).end(&name).await
    };
    asked.document(done.await)
}
