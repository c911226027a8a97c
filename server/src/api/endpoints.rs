//! `/api/v1/tenants/{tenant}/endpoints`.

use super::asked::{Asked, From};
use axum::{
    body::Bytes,
    extract::{Path, Query},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::policy::Action;

pub async fn list(asked: Asked, Path(tenant): Path<String>, Query(from): Query<From>) -> Response {
    let found = async {
        let scope = asked.scope(&tenant).await?;
        asked.platform().endpoints(&scope).documents(&from.cursor()).await
    };
    asked.list(found.await)
}

pub async fn get(asked: Asked, Path((tenant, name)): Path<(String, String)>) -> Response {
    let found = async {
        let scope = asked.scope(&tenant).await?;
        asked.platform().endpoints(&scope).document(&name).await
    };
    asked.document(found.await)
}

pub async fn put(asked: Asked, Path((tenant, name)): Path<(String, String)>, body: Bytes) -> Response {
    let done = async {
        let scope = asked.scope(&tenant).await?;
        // Whoever may not change them is not told what is wrong with a document.
        scope.allowed(Action::EndpointWrite)?;
        let (name, spec) = asked.read(&body, Some(&tenant), &name)?;
        asked.platform().endpoints(&scope).put(&name, spec).await
    };
    asked.put(done.await)
}

/// Takes an endpoint away for good; one that runs must be stopped before.
pub async fn delete(asked: Asked, Path((tenant, name)): Path<(String, String)>) -> Response {
    let done = async {
        let scope = asked.scope(&tenant).await?;
        asked.platform().endpoints(&scope).remove(&name).await
    };
    match done.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => asked.failed(problem),
    }
}
