//! `/healthz`: the process runs. `/readyz`: it can do its work now, so that a balancer sends it requests.

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{Platform, freshness::Ages};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What makes this process not ready. One that is a gateway and nothing else answers calls without the database: of it only the age of its
/// directory counts.
#[derive(Clone, Copy, Debug)]
pub struct AgeLimits {
    pub directory: Duration,
    pub lease: Duration,
    /// Whether the database must take changes.
    pub database: bool,
}

pub fn routes(platform: Platform, limits: AgeLimits, stopping: CancellationToken) -> Router {
    let ready = move || ready(platform.clone(), limits, stopping.clone());
    Router::new().route("/healthz", get(|| async { plain(StatusCode::OK, "ok") })).route("/readyz", get(ready))
}

async fn ready(platform: Platform, limits: AgeLimits, stopping: CancellationToken) -> Response {
    if stopping.is_cancelled() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    if limits.database
        && let Err(problem) = platform.ready().await
    {
        return plain(StatusCode::SERVICE_UNAVAILABLE, &problem.sentence);
    }
    let ages = platform.ages();
    match too_old(ages, limits) {
        Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, &why),
        None => plain(StatusCode::OK, &format!("ready{}", told(ages))),
    }
}

/// The first thing that this process should know newer than it does.
fn too_old(ages: Ages, limits: AgeLimits) -> Option<String> {
    let over = |age: Option<Duration>, limit: Duration| age.filter(|age| *age > limit);
    if let Some(age) = over(ages.directory, limits.directory) {
        return Some(format!(
            "The gateway's directory was last compared with the database {} s ago; more than {} s is too old.",
            age.as_secs(),
            limits.directory.as_secs_f32()
        ));
    }
    let age = over(ages.lease, limits.lease)?;
    Some(format!(
        "The controllers' lease was last asked for {} s ago; more than {} s is too old.",
        age.as_secs(),
        limits.lease.as_secs_f32()
    ))
}

fn told(ages: Ages) -> String {
    let line = |name: &str, age: Option<Duration>| age.map(|a| format!("\n{name}_age_seconds {:.1}", a.as_secs_f32())).unwrap_or_default();
    line("directory", ages.directory) + &line("lease", ages.lease)
}

fn plain(status: StatusCode, words: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], format!("{words}\n"))
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_is_named_and_what_this_process_does_not_do_is_never_too_old() {
        let limits = AgeLimits { directory: Duration::from_secs(60), lease: Duration::from_secs(30), database: true };
        let ages = |directory: Option<u64>, lease: Option<u64>| Ages {
            directory: directory.map(Duration::from_secs),
            lease: lease.map(Duration::from_secs),
        };
        assert_eq!(too_old(ages(Some(60), Some(30)), limits), None);
        assert_eq!(too_old(ages(None, None), limits), None);
        assert!(too_old(ages(Some(61), Some(0)), limits).unwrap().contains("directory was last compared with the database 61 s ago"));
        assert!(too_old(ages(Some(0), Some(31)), limits).unwrap().contains("lease was last asked for 31 s ago"));
        assert_eq!(told(ages(Some(2), None)), "\ndirectory_age_seconds 2.0");
    }
}
