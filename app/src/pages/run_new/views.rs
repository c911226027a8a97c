//! The three views of the settings, and the switch between them.

use leptos::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Simple,
    All,
    Yaml,
}

impl View {
    const ALL: [(Self, &str); 3] = [(Self::Simple, "Simple"), (Self::All, "All settings"), (Self::Yaml, "YAML")];

    pub fn of(word: &str) -> Self {
        match word {
            "all" => Self::All,
            "yaml" => Self::Yaml,
            _ => Self::Simple,
        }
    }

    /// In the address.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Simple => "",
            Self::All => "all",
            Self::Yaml => "yaml",
        }
    }
}

/// Without scripts each is a button that comes back with the same fields.
#[component]
pub(super) fn Switch(view: RwSignal<View>, to: String) -> impl IntoView {
    view! {
        <span class="seg" role="group" aria-label="Settings as">
            {View::ALL.into_iter().map(|(is, label)| view! {
                <button type="submit" formmethod="get" formaction=to.clone() formnovalidate=true name="view" value=is.word() aria-pressed=move || (view.get() == is).to_string()
                    on:click=move |e| { e.prevent_default(); view.set(is); remember("view", is.word()); }>{label}</button>
            }).collect_view()}
        </span>
    }
}

/// Keeps a word in the address without drawing the page again, which holds what somebody is typing.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub(super) fn remember(name: &str, word: &str) {
    #[cfg(feature = "hydrate")]
    {
        let location = window().location();
        let (path, search) = (location.pathname().unwrap_or_default(), location.search().unwrap_or_default());
        let rest = search.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name));
        let mut pairs: Vec<_> = rest.map(str::to_owned).collect();
        if !word.is_empty() {
            pairs.push(format!("{name}={word}"));
        }
        let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
        if let Ok(history) = window().history() {
            let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&format!("{path}{query}")));
        }
    }
}
