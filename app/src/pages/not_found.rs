//! No page has this address.

use crate::ui::Icon;
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn NotFound() -> impl IntoView {
    #[cfg(feature = "ssr")]
    if let Some(options) = use_context::<leptos_axum::ResponseOptions>() {
        options.set_status(http::StatusCode::NOT_FOUND);
    }
    view! {
        <Title text="Not found"/>
        <div class="standalone">
            <main id="main" tabindex="-1">
                <p class="mark">"Atelier"</p>
                <Icon name="search"/>
                <h1>"Page not found, or you don’t have access"</h1>
                <p class="muted">"No page has this address. It may have been renamed, deleted, or belong to a team you are not in."</p>
                <div class="row"><a class="btn primary" href="/">"Go home"</a></div>
            </main>
        </div>
    }
}
