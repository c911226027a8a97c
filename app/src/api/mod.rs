//! Server functions: the calls that pages make. One file a noun; each body takes the scope, does one use case, shapes the answer.
//!
//! A body begins with `let (platform, scope) = scope(&tenant).await?;`. Nothing here reads the database.

pub mod admin;
pub mod admin_isolation;
pub mod admin_objects;
pub mod audit;
pub mod base_models;
pub mod cluster;
pub mod datasets;
pub mod endpoints;
pub mod frame;
pub mod home_lines;
pub mod keys;
pub mod lineage;
pub mod lineage_strip;
pub mod members;
pub mod models;
pub mod playground;
pub mod resources_form;
pub mod run_form;
pub mod runs;
pub mod set_aside;
pub mod settings;
pub mod tenants_home;
pub mod usage;
mod wire;

pub use wire::Wire;

use domain::problem::{Problem, ProblemKind};
use leptos::{prelude::*, server_fn::error::ServerFnErrorErr};
use serde::{Deserialize, Serialize};

/// The entries of a text with one a line; a comma parts them too.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', ',']).map(str::trim).filter(|entry| !entry.is_empty())
}

/// Where people and programs reach the portal from outside, without a slash at the end: `https://atelier.example`. Given by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(pub String);

/// How groups at the identity provider name a tenant and a role, with `{tenant}` and `{role}`. Given by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantGroup(pub String);

/// Seconds after which a client may come back when a part did not answer: the header `Retry-After`.
pub const RETRY_AFTER: &str = "5";

/// A [`Problem`] on its way through a server function. Pages show it with `ui::load::Load` and `ui::form`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(transparent)]
#[error("{0}")]
pub struct AppError(pub Problem);

impl FromServerFnError for AppError {
    type Encoder = wire::TextJson;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        let (kind, sentence, next) = match error {
            ServerFnErrorErr::Request(_) => {
                (ProblemKind::Unavailable, "The server could not be reached.", "Check the connection and try again.")
            }
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => (
                ProblemKind::Invalid,
                "A field holds something that cannot be read.",
                "Check the numbers in the form: use digits and a decimal point only.",
            ),
            ServerFnErrorErr::Deserialization(_) => (
                ProblemKind::Unavailable,
                "The server's answer could not be read.",
                "Reload the page; a new version may have been installed.",
            ),
            _ => (ProblemKind::Internal, "The server could not do this.", "Try again; if it stays, tell whoever runs the platform."),
        };
        #[cfg(feature = "ssr")]
        tracing::warn!(?error, "server function");
        Problem::new(kind, sentence).next(next).into()
    }
}

/// Also tells the HTTP status of the answer (404, 403...), on the server.
impl From<Problem> for AppError {
    fn from(problem: Problem) -> Self {
        #[cfg(feature = "ssr")]
        on_server::tell_status(problem.kind);
        Self(problem)
    }
}

#[cfg(feature = "ssr")]
pub use on_server::{
    KnownScope, back_to_form, base_url, caller, last_dataset, maybe_caller, platform, platform_scope, rail_counts, redirect,
    remember_dataset, scope,
};

#[cfg(feature = "ssr")]
mod on_server {
    use super::{AppError, Problem, ProblemKind};
    use domain::{name::Name, tenant::RailCounts};
    use http::{Method, StatusCode, header, request::Parts};
    use leptos::prelude::*;
    use leptos_axum::ResponseOptions;
    use platform::{
        Platform,
        access::{Caller, PlatformScope, Scope},
    };
    use std::sync::Arc;
    use tokio::sync::Mutex;

    /// The platform, given to every request by the server.
    pub fn platform() -> Result<Platform, AppError> {
        use_context::<Platform>().ok_or_else(|| Problem::new(ProblemKind::Internal, "The server gave no platform to this request.").into())
    }

    /// The address that OpenAI clients of this tenant are given.
    pub fn base_url(tenant: &str) -> String {
        let public = use_context::<super::PublicUrl>().map(|p| p.0).unwrap_or_default();
        format!("{}/t/{tenant}/v1", public.trim_end_matches('/'))
    }

    /// Who is signed in, if anybody.
    pub fn maybe_caller() -> Option<Caller> {
        use_context::<Option<Caller>>().flatten()
    }

    /// Who is signed in; `Unauthenticated` when nobody is.
    pub fn caller() -> Result<Caller, AppError> {
        maybe_caller().ok_or_else(|| {
            Problem::new(ProblemKind::Unauthenticated, "You are not signed in.").next("Sign in and you come back to this page.").into()
        })
    }

    /// The scope that this request was found to have, given to every request by the server: a page asks for its frame, its lineage and
    /// its own data, and all of them are about one tenant.
    #[derive(Clone, Default)]
    pub struct KnownScope {
        scope: Arc<Mutex<Option<(String, Scope)>>>,
        counts: Arc<Mutex<Option<(Name, RailCounts)>>>,
    }

    /// The platform and the caller's place in a tenant; `NotFound` for everybody who may not know that it exists.
    pub async fn scope(tenant: &str) -> Result<(Platform, Scope), AppError> {
        let (platform, caller) = (platform()?, caller()?);
        let KnownScope { scope: known, .. } = use_context().unwrap_or_default();
        // Whoever comes second waits for the answer of the first.
        let mut known = known.lock().await;
        if let Some((_, scope)) = known.as_ref().filter(|(of, _)| of == tenant) {
            return Ok((platform, scope.clone()));
        }
        let scope = caller.scope(&platform, tenant).await?;
        *known = Some((tenant.to_owned(), scope.clone()));
        Ok((platform, scope))
    }

    /// How many things of each kind the tenant has: the rail shows it beside every page, and some pages say it too.
    pub async fn rail_counts(platform: &Platform, scope: &Scope) -> Result<RailCounts, AppError> {
        let KnownScope { counts: known, .. } = use_context().unwrap_or_default();
        let mut known = known.lock().await;
        if let Some((_, counts)) = known.as_ref().filter(|(of, _)| of == scope.tenant_name()) {
            return Ok(*counts);
        }
        let counts = platform.rail_counts(scope).await?;
        *known = Some((scope.tenant_name().clone(), counts));
        Ok(counts)
    }

    /// The platform and the caller's right to administer or audit it; `NotFound` for everybody else.
    pub fn platform_scope() -> Result<(Platform, PlatformScope), AppError> {
        let (platform, caller) = (platform()?, caller()?);
        let scope = caller.platform_scope()?;
        Ok((platform, scope))
    }

    /// Has the browser remember a dataset's version with a page that is drawn here; see `ui::last_dataset`.
    pub fn remember_dataset(version: &domain::dataset::DatasetVersion) {
        use crate::cookies;
        if !use_context::<Parts>().is_some_and(|parts| wants_html(&parts)) {
            return;
        }
        let cookie = cookies::line(cookies::LAST_DATASET, &cookies::last_dataset(version), cookies::LAST_DATASET_LASTS);
        if let (Some(options), Ok(value)) = (use_context::<ResponseOptions>(), cookie.parse()) {
            options.append_header(header::SET_COOKIE, value);
        }
    }

    /// `name@3`, when the last one that was looked at was one of this tenant.
    pub fn last_dataset(tenant: &str) -> Option<String> {
        let parts = use_context::<Parts>()?;
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
        let kept = cookies.filter_map(|c| c.trim().strip_prefix(crate::cookies::LAST_DATASET)?.strip_prefix('=')).next()?;
        kept.strip_prefix(tenant)?.strip_prefix('/').map(str::to_owned)
    }

    /// Sends the browser on, with and without scripts. `path` must come from `crate::links`, never from a person.
    pub fn redirect(path: &str) {
        // A path with bytes that no header may hold would panic in leptos_axum.
        if path.starts_with('/') && path.is_ascii() && !path.bytes().any(|b| b.is_ascii_control()) {
            leptos_axum::redirect(path);
        }
    }

    /// After a form that was posted without scripts and refused: back to its page with what was typed in the address; the server's layer
    /// `returned` takes the problem out of there, into a cookie.
    /// With scripts nothing happens, the page has both. `form` is the path of the page, `fields` what its query understands.
    pub fn back_to_form<S: leptos::server_fn::ServerFn>(form: &str, fields: &[(String, &str)], error: AppError) -> AppError {
        use leptos::server_fn::error::ServerFnUrlError;
        let pairs: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        // The host only makes it a whole URL; the path and the query are what is sent.
        let page = format!("http://here{}", crate::links::with(form.to_owned(), &pairs));
        if plain_form()
            && let Ok(url) = ServerFnUrlError::new(S::PATH, error.clone()).to_url(&page)
        {
            redirect(&format!("{}?{}", url.path(), url.query().unwrap_or_default()));
        }
        error
    }

    /// Posted by the browser itself, not by a script.
    fn plain_form() -> bool {
        use_context::<Parts>().is_some_and(|p| p.method != Method::GET && wants_html(&p))
    }

    fn wants_html(parts: &Parts) -> bool {
        parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/html"))
    }

    /// The status of the answer. A plain form post is left alone: it gets a redirect back to its page, which shows the problem.
    pub(super) fn tell_status(kind: ProblemKind) {
        let (Some(parts), Some(options)) = (use_context::<Parts>(), use_context::<ResponseOptions>()) else { return };
        if parts.method != Method::GET && wants_html(&parts) {
            return;
        }
        if kind == ProblemKind::Unavailable {
            options.insert_header(header::RETRY_AFTER, http::HeaderValue::from_static(super::RETRY_AFTER));
        }
        options.set_status(StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    }
}
