//! The entry in the browser: the program takes over the page that the server drew.

use wasm_bindgen::prelude::wasm_bindgen;

/// How long after a page can be used the rest of the program is fetched.
const LATER: std::time::Duration = std::time::Duration::from_secs(2);

/// Without the chunk of this page nothing is taken over: links and forms then go to the server, as without scripts.
#[wasm_bindgen]
pub async fn hydrate() {
    console_error_panic_hook::set_once();
    if app::chunks::load(&path()).await.is_err() {
        return;
    }
    leptos::mount::hydrate_from_async(leptos::tachys::dom::body(), app::App).await.forget();
    usable();
    // After what this page itself asks for.
    leptos::prelude::set_timeout(|| leptos::task::spawn_local(app::chunks::load_others()), LATER);
}

fn path() -> String {
    leptos::tachys::dom::window().location().pathname().unwrap_or_default()
}

/// A mark that the page can be used.
fn usable() {
    drop(leptos::tachys::dom::body().set_attribute("data-hydrated", "true"));
}

/// Draws the page here, in place of what the server drew: `make dev` shows a change while the server is still being built.
#[cfg(debug_assertions)]
#[wasm_bindgen]
pub fn redraw() {
    console_error_panic_hook::set_once();
    leptos::tachys::dom::body().set_inner_html("");
    leptos::mount::mount_to_body(app::App);
    usable();
}
