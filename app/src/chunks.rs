//! Which pages a browser loads together. Its program consists of the main file (frame, sign-in, what all pages use) and of one file a
//! chunk, fetched when one of the chunk's pages is opened; what several chunks need, and the main file does not, lies in files of its own,
//! one for each set of chunks. So a chunk more doubles the files, and small files compress badly: few chunks, by what is used together.
//! The build splits the program at these places (`xtask/src/web.rs`); on the server a page is a plain function.

/// `chunk!(name { Page: path to its component, … })`: the pages of one chunk, to be given to `<Route view=…>`.
#[cfg(not(all(feature = "hydrate", target_family = "wasm")))]
macro_rules! chunk {
    ($chunk:ident { $($page:ident: $component:path),* $(,)? }) => { pub mod $chunk { $(
        pub mod $page {
            use crate::pages;
            use leptos::prelude::*;

            pub fn page() -> impl Fn() -> AnyView + Send + Clone + 'static {
                || {
                    #[cfg(feature = "ssr")]
                    crate::shell::preload(stringify!($chunk));
                    $component().into_any()
                }
            }
        }
    )* } };
}

#[cfg(all(feature = "hydrate", target_family = "wasm"))]
macro_rules! chunk {
    ($chunk:ident { $($page:ident: $component:path),* $(,)? }) => { pub mod $chunk { $(
        pub mod $page {
            use crate::pages;
            use leptos::prelude::*;
            use leptos::wasm_split::{SplitLoaderError, wasm_split};

            // The chunk's name is that of the file; the function's must differ from page to page.
            #[wasm_split($chunk, wasm_split_path = ::leptos::wasm_split, preload(load), fallible)]
            pub fn $page() -> Result<AnyView, SplitLoaderError> {
                Ok($component().into_any())
            }

            pub struct Page;

            impl leptos_router::LazyRoute for Page {
                fn data() -> Self {
                    Self
                }
                async fn view(_: Self) -> AnyView {
                    match $page().await {
                        Ok(view) => view,
                        Err(_) => $crate::chunks::not_loaded(),
                    }
                }
            }

            pub fn page() -> leptos_router::Lazy<Page> {
                leptos_router::Lazy::new()
            }
        }
    )* } };
}

chunk!(start { picker: pages::picker::Picker, login: pages::login::Login, no_access: pages::no_access::NoAccess, home: pages::home::Home });
chunk!(train {
    datasets: pages::datasets::Datasets,
    dataset_new: pages::dataset_new::DatasetNew,
    dataset: pages::dataset::Dataset,
    runs: pages::runs::Runs,
    run_new: pages::run_new::RunNew,
    run: pages::run::Run,
});
chunk!(serve {
    base_models: pages::base_models::BaseModels,
    models: pages::models::Models,
    model: pages::model::Model,
    card_edit: pages::card_edit::CardEdit,
    lineage: pages::lineage::Lineage,
    endpoints: pages::endpoints::Endpoints,
    endpoint_external: pages::endpoint_external::EndpointExternal,
    endpoint_new: pages::endpoint_new::EndpointNew,
    endpoint: pages::endpoint::Endpoint,
    playground: pages::playground::Playground,
});
chunk!(manage {
    keys: pages::keys::Keys,
    key_new: pages::key_new::KeyNew,
    usage: pages::usage::Usage,
    members: pages::members::Members,
    audit: pages::audit::Audit,
    admin_tenants: pages::admin_tenants::AdminTenants,
    admin_tenant_new: pages::admin_tenant_new::AdminTenantNew,
    admin_tenant: pages::admin_tenant::AdminTenant,
    admin_base_models: pages::admin_base_models::AdminBaseModels,
    admin_cluster: pages::admin_cluster::AdminCluster,
    admin_usage: pages::admin_usage::AdminUsage,
    admin_audit: pages::admin_audit::AdminAudit,
});

/// Loads the chunk of the page at this address, before the program takes over what the server drew. A wrong guess costs a round trip: the
/// router loads what its route needs.
///
/// # Errors
/// The file did not come. The page as the server drew it works without the program.
#[cfg(all(feature = "hydrate", target_family = "wasm"))]
pub async fn load(path: &str) -> Result<(), leptos::wasm_split::SplitLoaderError> {
    let mut parts = path.split('/').skip(1);
    let section = match parts.next() {
        Some("t") => parts.nth(1).unwrap_or_default(),
        Some("admin") => return manage::keys::load().await,
        _ => return start::home::load().await,
    };
    match section {
        "datasets" | "datasets-new" | "runs" | "runs-new" => train::runs::load().await,
        "base-models" | "models" | "lineage" | "endpoints" | "endpoints-external" | "endpoints-new" | "playground" => {
            serve::models::load().await
        }
        "keys" | "keys-new" | "usage" | "members" | "audit" => manage::keys::load().await,
        _ => start::home::load().await,
    }
}

/// Loads the chunks that are not there yet, one after the other: the next page is then there at once, and stays so when the portal is
/// updated meanwhile. A chunk that does not come is asked for again when it is needed.
#[cfg(all(feature = "hydrate", target_family = "wasm"))]
pub async fn load_others() {
    drop(start::home::load().await);
    drop(train::runs::load().await);
    drop(serve::models::load().await);
    drop(manage::keys::load().await);
}

/// In place of a page whose chunk did not come: the portal was updated and has other files now, or it cannot be reached. The whole page
/// is asked for, as without scripts; who is offline is told, and decides.
#[cfg(all(feature = "hydrate", target_family = "wasm"))]
fn not_loaded() -> leptos::prelude::AnyView {
    use domain::problem::{Problem, ProblemKind};
    use leptos::prelude::*;
    let location = leptos_router::hooks::use_location();
    let address = format!("{}{}", location.pathname.get_untracked(), location.search.get_untracked());
    if window().navigator().on_line() {
        drop(window().location().assign(&address));
    }
    let problem =
        Problem::new(ProblemKind::Unavailable, "A part of this page did not arrive: the portal was updated, or cannot be reached.")
            .next("Check the connection and try again.");
    view! { <crate::ui::load::Refusal error=problem.into()/> }.into_any()
}
