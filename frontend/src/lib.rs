//! The entry in the browser: the page that the server drew comes to life.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}

/// Draws the page here, in place of what the server drew: `make dev` shows a change while the server is still being built.
#[cfg(debug_assertions)]
#[wasm_bindgen]
pub fn redraw() {
    console_error_panic_hook::set_once();
    leptos::tachys::dom::body().set_inner_html("");
    leptos::mount::mount_to_body(app::App);
}
