//! Light or dark. Without a choice the system decides; a choice is kept in a cookie (so that the server paints it) and in localStorage.

use super::icon::Icon;
use leptos::prelude::*;

/// The sun-and-moon button; hidden until scripts run, because it does nothing without them.
#[component]
pub fn ThemeToggle() -> impl IntoView {
    view! {
        <button type="button" class="iconbtn scripted" aria-label="Light or dark" title="Light or dark" on:click=move |_| toggle()><Icon name="theme"/></button>
    }
}

fn toggle() {
    #[cfg(feature = "hydrate")]
    {
        let Some(root) = document().document_element() else { return };
        let system_dark = window().match_media("(prefers-color-scheme: dark)").ok().flatten().is_some_and(|m| m.matches());
        let dark = root.get_attribute("data-theme").map_or(system_dark, |t| t == "dark");
        let theme = if dark { "light" } else { "dark" };
        // Each of these can be refused by the browser's settings; the page itself still changes.
        let _ = root.set_attribute("data-theme", theme);
        if let Ok(Some(storage)) = window().local_storage() {
            let _ = storage.set_item("theme", theme);
        }
        crate::cookies::set("theme", theme, 31_536_000);
    }
}
