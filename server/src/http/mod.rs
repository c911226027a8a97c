//! The web role's routes: pages and server functions of the app, and what is not a page (sign-in, uploads, events, files).
//! Every route is listed as it is added, so that a test can compare them all with the rights table.

pub mod card;
mod dataset_file;
pub mod events;
pub mod health;
mod key_form;
pub mod pages;
mod playground;
pub mod problem_page;
mod run_file;
mod set_aside;
pub mod static_files;
pub mod uploads;

use crate::{
    api,
    devprovider::DevProvider,
    layers::{
        attempts, body, caller, foreign, headers, host,
        request::{self, Watch},
        text,
    },
    signin::{backchannel, callback, login, logout},
    web::Web,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::Method,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, get, post},
};
use std::{collections::BTreeSet, sync::Arc};
use tower_http::compression::CompressionLayer;

/// Largest body of a form or a server function; uploads have their own limit.
pub const BODY_BYTES: usize = 2 * 1024 * 1024;
/// Largest body of a logout that the identity provider sends: one token.
const LOGOUT_BYTES: usize = 256 * 1024;

/// Routes that know what they are.
struct Routes {
    router: Router<Web>,
    listed: BTreeSet<(String, String)>,
}

impl Routes {
    fn new() -> Self {
        Self { router: Router::new(), listed: BTreeSet::new() }
    }
    fn route(mut self, method: Method, path: &str, handler: MethodRouter<Web>) -> Self {
        self.listed.insert((method.to_string(), path.to_owned()));
        self.router = self.router.route(path, handler);
        self
    }
    fn get<H: axum::handler::Handler<T, Web>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.route(Method::GET, path, get(handler))
    }
    fn post<H: axum::handler::Handler<T, Web>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.route(Method::POST, path, post(handler))
    }
}

/// Everything that the web role answers, and the list of it (method, path), sorted.
pub fn web_routes(web: &Web, development: Option<Arc<DevProvider>>, tried: attempts::AttemptLimits) -> (Router, Vec<(String, String)>) {
    let mut routes = Routes::new()
        .get("/auth/login", login::login)
        .get("/auth/callback", callback::callback)
        .post("/auth/logout", logout::logout)
        .get("/admin/usage/set-aside.jsonl", set_aside::set_aside)
        .get("/t/{tenant}/events", events::events)
        .get("/t/{tenant}/models/{name}/card.md", card::card)
        .get("/t/{tenant}/datasets/{name}/files/{file}", dataset_file::file)
        .post("/t/{tenant}/keys-new", key_form::key_form)
        .post("/t/{tenant}/playground/chat", playground::chat)
        .post("/t/{tenant}/runs-file", run_file::save)
        .post("/t/{tenant}/runs-file-open", run_file::open);
    // The platform counts the bytes against its own limit and the tenant's quota.
    let uploads =
        Routes::new().route(Method::POST, "/t/{tenant}/datasets-upload", post(uploads::upload).layer(DefaultBodyLimit::disable()));
    let (pages, listed) = pages::routes(web);
    routes.listed.extend(listed);
    routes.listed.extend(uploads.listed);
    let inside = routes
        .router
        .with_state(web.clone())
        .merge(pages)
        .layer(from_fn(text::refuse_nul))
        // The one place that looks at the size; axum's own limit is off, because it says nothing that a person could read.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(BODY_BYTES, body::limit))
        .merge(uploads.router.with_state(web.clone()))
        .layer(from_fn_with_state(web.clone(), caller::find))
        .layer(from_fn_with_state(web.clone(), foreign::refuse_foreign))
        .layer(CompressionLayer::new());
    // These read no session, so nothing of the above is for them.
    let files = Router::new().route("/pkg/{*path}", get(static_files::file)).with_state(web.clone());
    routes.listed.insert(("GET".into(), "/pkg/{*path}".into()));
    // The provider's server comes here, and no browser: it has no cookie, and names no site that it comes from.
    let provider = Router::new()
        .route("/auth/backchannel-logout", post(backchannel::backchannel_logout))
        .layer(DefaultBodyLimit::max(LOGOUT_BYTES))
        .with_state(web.clone());
    routes.listed.insert(("POST".into(), "/auth/backchannel-logout".into()));
    // Programs come here with a token: no cookie is looked at, so nobody can be made to ask by another site.
    let programs = api::routes()
        .with_state(web.clone())
        .layer(from_fn_with_state(web.clone(), api::caller::find))
        .layer(from_fn(text::refuse_nul))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(BODY_BYTES, body::limit))
        .layer(from_fn_with_state(tried.clone(), attempts::tokens));
    routes.listed.extend(api::ROUTES.iter().chain(&api::OPEN_ROUTES).map(|(method, path)| (method.to_string(), (*path).to_owned())));
    let mut router = inside.merge(files).merge(provider).merge(programs).merge(api::open_routes().layer(from_fn(text::refuse_nul)));
    if let Some(provider) = development {
        for (method, path) in crate::devprovider::ROUTES {
            routes.listed.insert((method.into(), path.into()));
        }
        router = router.merge(provider.routes());
    }
    let router = router
        .layer(from_fn_with_state(tried, attempts::sign_in))
        .layer(from_fn_with_state(web.clone(), host::check))
        .layer(from_fn_with_state(web.clone(), headers::harden));
    (router, routes.listed.into_iter().collect())
}

/// Around everything, the gateway too: number, log, panics.
pub fn seen(router: Router, watch: Watch) -> Router {
    router.layer(from_fn_with_state(watch, request::see))
}
