//! The interface: pages, the server functions behind them, and the parts that they are made of.
//!
//! Built twice: with `ssr` into the server, with `hydrate` into the file that browsers load.
#![recursion_limit = "256"]

pub mod api;
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
    // A mark that the page can be used: effects run only in the browser, after hydration.
    Effect::new(|_| {
        let _ = document().body().map(|b| b.set_attribute("data-hydrated", "true"));
    });
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
    use pages::*;
    let place = ui::frame::provide_frame();
    ui::live::provide_live(place);
    ui::frame::keep_frame_fresh();
    ui::uploads::provide_uploads();
    // The server waits for all data of a page: it is whole for people without scripts, and for those who print it.
    const WHOLE: SsrMode = SsrMode::Async;
    view! {
        <FlatRoutes fallback=not_found::NotFound>
            <Route path=path!("/") view=picker::Picker ssr=WHOLE/>
            <Route path=path!("/login") view=login::Login ssr=WHOLE/>
            <Route path=path!("/no-access") view=no_access::NoAccess ssr=WHOLE/>
            <Route path=path!("/t/:tenant") view=home::Home ssr=WHOLE/>
            <Route path=path!("/t/:tenant/datasets") view=datasets::Datasets ssr=WHOLE/>
            <Route path=path!("/t/:tenant/datasets-new") view=dataset_new::DatasetNew ssr=WHOLE/>
            <Route path=path!("/t/:tenant/datasets/:name") view=dataset::Dataset ssr=WHOLE/>
            <Route path=path!("/t/:tenant/runs") view=runs::Runs ssr=WHOLE/>
            <Route path=path!("/t/:tenant/runs-new") view=run_new::RunNew ssr=WHOLE/>
            <Route path=path!("/t/:tenant/runs/:id") view=run::Run ssr=WHOLE/>
            <Route path=path!("/t/:tenant/base-models") view=base_models::BaseModels ssr=WHOLE/>
            <Route path=path!("/t/:tenant/models") view=models::Models ssr=WHOLE/>
            <Route path=path!("/t/:tenant/models/:name") view=model::Model ssr=WHOLE/>
            <Route path=path!("/t/:tenant/models/:name/card/edit") view=card_edit::CardEdit ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints") view=endpoints::Endpoints ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints-external") view=endpoint_external::EndpointExternal ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints-new") view=endpoint_new::EndpointNew ssr=WHOLE/>
            <Route path=path!("/t/:tenant/endpoints/:name") view=endpoint::Endpoint ssr=WHOLE/>
            <Route path=path!("/t/:tenant/playground") view=playground::Playground ssr=WHOLE/>
            <Route path=path!("/t/:tenant/playground/:chat") view=playground::Playground ssr=WHOLE/>
            <Route path=path!("/t/:tenant/keys") view=keys::Keys ssr=WHOLE/>
            <Route path=path!("/t/:tenant/keys-new") view=key_new::KeyNew ssr=WHOLE/>
            <Route path=path!("/t/:tenant/usage") view=usage::Usage ssr=WHOLE/>
            <Route path=path!("/t/:tenant/lineage") view=lineage::Lineage ssr=WHOLE/>
            <Route path=path!("/t/:tenant/members") view=members::Members ssr=WHOLE/>
            <Route path=path!("/t/:tenant/audit") view=audit::Audit ssr=WHOLE/>
            <Route path=path!("/admin/tenants") view=admin_tenants::AdminTenants ssr=WHOLE/>
            <Route path=path!("/admin/tenants-new") view=admin_tenant_new::AdminTenantNew ssr=WHOLE/>
            <Route path=path!("/admin/tenants/:name") view=admin_tenant::AdminTenant ssr=WHOLE/>
            <Route path=path!("/admin/base-models") view=admin_base_models::AdminBaseModels ssr=WHOLE/>
            <Route path=path!("/admin/usage") view=admin_usage::AdminUsage ssr=WHOLE/>
            <Route path=path!("/admin/audit") view=admin_audit::AdminAudit ssr=WHOLE/>
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
