//! `/api/v1/tenants`.

use super::asked::{Asked, From};
use axum::{
    body::Bytes,
    extract::{Path, Query},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::policy::Action;

/// That this very tenant is meant.
#[derive(serde::Deserialize)]
pub struct Sure {
    /// Its name once more, as it is typed on its page.
    #[serde(default)]
    confirm: String,
}

pub async fn list(asked: Asked, Query(from): Query<From>) -> Response {
    let found = async {
        let scope = asked.platform_scope()?;
        asked.platform().tenants(&scope).documents(&from.cursor()).await
    };
    asked.list(found.await)
}

pub async fn get(asked: Asked, Path(name): Path<String>) -> Response {
    let found = async {
        let scope = asked.platform_scope()?;
        asked.platform().tenants(&scope).document(&name).await
    };
    asked.document(found.await)
}

pub async fn post(asked: Asked, body: Bytes) -> Response {
    let done = async {
        let scope = asked.platform_scope()?;
        scope.permit(Action::PlatformTenantsWrite)?;
        let (name, spec) = asked.read_any(&body, None)?;
        asked.platform().tenants(&scope).post(&name, spec).await
    };
    asked.put(done.await)
}

pub async fn put(asked: Asked, Path(name): Path<String>, body: Bytes) -> Response {
    let done = async {
        let scope = asked.platform_scope()?;
        // Whoever may not change them is not told what is wrong with a document.
        scope.permit(Action::PlatformTenantsWrite)?;
        let (name, spec) = asked.read(&body, None, &name)?;
        asked.platform().tenants(&scope).put(&name, spec).await
    };
    asked.put(done.await)
}

/// Has the tenant taken away with all that it has; answers before that is done. GET tells that it is being deleted, and then of nothing.
pub async fn delete(asked: Asked, Path(name): Path<String>, Query(sure): Query<Sure>) -> Response {
    let done = async {
        let scope = asked.platform_scope()?;
        asked.platform().tenants(&scope).delete(&name, &sure.confirm).await
    };
    match done.await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(problem) => asked.failed(problem),
    }
}
