//! `/healthz`: the process runs. `/readyz`: it can do its work now, so that a balancer sends it requests.

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::Platform;
use tokio_util::sync::CancellationToken;

pub fn routes(platform: Platform, stopping: CancellationToken) -> Router {
    let ready = move || ready(platform.clone(), stopping.clone());
    Router::new().route("/healthz", get(|| async { plain(StatusCode::OK, "ok") })).route("/readyz", get(ready))
}

async fn ready(platform: Platform, stopping: CancellationToken) -> Response {
    if stopping.is_cancelled() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    match platform.ready().await {
        Ok(()) => plain(StatusCode::OK, "ready"),
        Err(problem) => plain(StatusCode::SERVICE_UNAVAILABLE, &problem.sentence),
    }
}

fn plain(status: StatusCode, words: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], format!("{words}\n"))
        .into_response()
}
