//! The interface: pages, the server functions behind them, and the parts that they are made of.
//!
//! Built twice: with `ssr` into the server, with `hydrate` into the file that browsers load.
#![recursion_limit = "256"]

pub mod api;
pub mod chunks;
pub mod cookies;
pub mod links;
pub mod pages;
pub mod shell;
pub mod ui;

pub use shell::shell;

use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{FlatRoutes, Route, Router},
    path,
};

/// The whole app: the same tree on the server and in the browser.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    provide_returned_problem();
    view! {
        <Title formatter=|t: String| if t.is_empty() { "Atelier".to_owned() } else { format!("{t} · Atelier") } text=""/>
        <a class="skip" href="#main" rel="external">"Skip to content"</a>
        <Router>
            <Addresses/>
        </Router>
    }
}

/// Every address of the portal and the page that answers it.
#[component]
fn Addresses() -> impl IntoView {
    use chunks::*;
    let place = ui::frame::provide_frame();
    ui::live::provide_live(place);
    ui::frame::keep_frame_fresh();
    ui::uploads::provide_uploads();
    // The server waits for all data of a page: it is whole for people without scripts, and for those who print it.
    const WHOLE: SsrMode = SsrMode::Async;
    view! {
        <FlatRoutes fallback=pages::not_found::NotFound>
            <Route path=path!("/") view=start::picker::page() ssr=WHOLE/>
            <Route path=path!("/login") view=start::login::page() ssr=WHOLE/>
            <Route path=path!("/no-access") view=start::no_access::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant") view=start::home::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/datasets") view=train::datasets::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/datasets-new") view=train::dataset_new::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/datasets/:name") view=train::dataset::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/runs") view=train::runs::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/runs-new") view=train::run_new::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/runs/:id") view=train::run::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/base-models") view=serve::base_models::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/models") view=serve::models::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/models/:name") view=serve::model::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/models/:name/card/edit") view=serve::card_edit::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints") view=serve::endpoints::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints-external") view=serve::endpoint_external::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints-new") view=serve::endpoint_new::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints/:name") view=serve::endpoint::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/playground") view=serve::playground::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/playground/:chat") view=serve::playground::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/keys") view=manage::keys::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/keys-new") view=manage::key_new::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/usage") view=manage::usage::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/lineage") view=serve::lineage::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/members") view=manage::members::page() ssr=WHOLE/>
            <Route path=path!("/t/:tenant/audit") view=manage::audit::page() ssr=WHOLE/>
            <Route path=path!("/admin/tenants") view=manage::admin_tenants::page() ssr=WHOLE/>
            <Route path=path!("/admin/tenants-new") view=manage::admin_tenant_new::page() ssr=WHOLE/>
            <Route path=path!("/admin/tenants/:name") view=manage::admin_tenant::page() ssr=WHOLE/>
            <Route path=path!("/admin/base-models") view=manage::admin_base_models::page() ssr=WHOLE/>
            <Route path=path!("/admin/cluster") view=manage::admin_cluster::page() ssr=WHOLE/>
            <Route path=path!("/admin/usage") view=manage::admin_usage::page() ssr=WHOLE/>
            <Route path=path!("/admin/audit") view=manage::admin_audit::page() ssr=WHOLE/>
        </FlatRoutes>
        <ui::uploads::Tray/>
    }
}

/// The problem with which a form that was posted without scripts was sent back to its page: the server function that refused, and its error
/// as Leptos encodes it. Given by the server to that page alone, and by the page to the browser's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    pub function: String,
    pub error: String,
}

/// The action of that function then starts with the problem, on the server and in the browser alike. Never from the address: there anybody
/// could write a sentence for somebody else to read.
fn provide_returned_problem() {
    #[cfg(feature = "ssr")]
    let returned = use_context::<Returned>();
    #[cfg(all(feature = "hydrate", not(feature = "ssr")))]
    let returned = document().body().and_then(|body| {
        let said = |name| body.get_attribute(name);
        Some(Returned { function: said("data-returned-function")?, error: said("data-returned-error")? })
    });
    #[cfg(not(any(feature = "ssr", feature = "hydrate")))]
    let returned: Option<Returned> = None;
    if let Some(Returned { function, error }) = returned {
        provide_context(leptos::server::ServerActionError::new(&function, &error));
    }
}
