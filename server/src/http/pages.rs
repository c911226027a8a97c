//! The app's pages and server functions, with what they find in their context: the platform, who asks, the public address.

use super::problem_page::Wants;
use crate::{
    layers::{caller::Signed, one_task, returned},
    web::Web,
};
use app::{
    App, Returned,
    api::{KnownScope, PublicUrl, TenantGroup},
    shell,
};
use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, request::Parts},
    middleware::{from_fn, from_fn_with_state},
    response::Response,
};
use domain::problem::Problem;
use leptos::{config::LeptosOptions, prelude::*, server_fn};
use leptos_axum::{AxumRouteListing, LeptosRoutes, generate_route_list};
use platform::access::Caller;
use std::sync::LazyLock;

/// What Leptos wants to know; the names of the built files are given with [`provide`].
fn options(web: &Web) -> LeptosOptions {
    LeptosOptions::builder()
        .output_name("atelier")
        .site_root(web.config().site.display().to_string())
        .site_pkg_dir("pkg")
        .site_addr(web.config().listen)
        .env(leptos::config::Env::PROD)
        .build()
}

/// What `platform()`, `maybe_caller()` and `base_url()` in `app::api` look for.
fn provide(web: &Web) {
    provide_context(web.platform().clone());
    provide_context(web.files());
    provide_context(KnownScope::default());
    provide_context(PublicUrl(web.config().public_url.clone()));
    provide_context(TenantGroup(web.config().groups.tenant.clone()));
    let parts = use_context::<Parts>();
    let found = parts.as_ref().map(|parts| &parts.extensions);
    let caller: Option<Caller> = found.and_then(|f| f.get::<Signed>()).and_then(|s| s.caller.clone());
    provide_context(caller);
    if let Some(returned) = found.and_then(|f| f.get::<Returned>()) {
        provide_context(returned.clone());
    }
}

/// One page, with something more in its context than the address says.
pub async fn page_with<T: Clone + Send + Sync + 'static>(web: &Web, request: Request, more: T) -> Response {
    let context = web.clone();
    let context = move || {
        provide(&context);
        provide_context(more.clone());
    };
    let wants = Wants::of(request.headers());
    one_task::whole(wants, leptos_axum::render_app_async_with_context(context, shell)(request)).await
}

/// Every page of the app, as its router knows them.
///
/// Made once in a process, before the first page is drawn: while Leptos makes such a list it loads no data for any page of the process
/// (`leptos::server::SuppressResourceLoad` sets one flag for all), and a page that is being drawn at that moment would wait for its data for ever.
pub fn listed() -> Vec<AxumRouteListing> {
    static PAGES: LazyLock<Vec<AxumRouteListing>> = LazyLock::new(|| {
        one_task::install();
        generate_route_list(App)
    });
    PAGES.clone()
}

/// The router, and the list of its routes.
pub fn routes(web: &Web) -> (Router, Vec<(String, String)>) {
    let options = options(web);
    let pages = listed();
    let mut routes: Vec<_> = pages.iter().flat_map(|p| p.methods().map(|m| (method_word(m).to_owned(), p.path().to_owned()))).collect();
    routes.extend(server_fn::axum::server_fn_paths().map(|(path, method)| (method.to_string(), path.to_owned())));
    let context = {
        let web = web.clone();
        move || provide(&web)
    };
    let elsewhere = leptos_axum::render_app_async_with_context(context.clone(), shell);
    let nowhere = move |request: Request| {
        let page = (request.method() == Method::GET).then(|| elsewhere(request));
        async move { nowhere(page).await }
    };
    let router = Router::new().leptos_routes_with_context(&options, pages, context, shell).fallback(nowhere).with_state(options);
    let router = router.layer(from_fn(one_task::in_one_task)).layer(from_fn_with_state(web.clone(), returned::carry));
    (router, routes)
}

/// An address that nothing answers: the app's own page says so, with the right status.
async fn nowhere(page: Option<impl Future<Output = Response>>) -> Response {
    match page {
        Some(page) => {
            let mut response = page.await;
            if response.status() == StatusCode::OK {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            response
        }
        None => super::problem_page::answer(&Problem::not_found("This address"), super::problem_page::Wants::Json),
    }
}

const fn method_word(method: leptos_router::Method) -> &'static str {
    match method {
        leptos_router::Method::Get => "GET",
        leptos_router::Method::Post => "POST",
        leptos_router::Method::Put => "PUT",
        leptos_router::Method::Delete => "DELETE",
        leptos_router::Method::Patch => "PATCH",
    }
}
