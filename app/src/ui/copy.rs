//! A value that is copied letter by letter: id, key, address, digest.

use super::icon::Icon;
use leptos::prelude::*;

/// The value in a box with a button that copies it; the button needs scripts, the value can be selected without.
/// `what` completes "Copy ..." for screen readers: `the request id`.
#[component]
pub fn Copy(#[prop(into)] value: String, what: &'static str, #[prop(optional)] class: &'static str) -> impl IntoView {
    let copied = RwSignal::new(false);
    let text = value.clone();
    let copy = move |_| {
        put(&text);
        copied.set(true);
    };
    view! {
        <span class=format!("copy {class}")>
            <span>{value}</span>
            <span class="sr" role="status">{move || copied.get().then_some("Copied")}</span>
            <button type="button" class="iconbtn scripted" aria-label=format!("Copy {what}") title="Copy" on:click=copy>
                {move || if copied.get() { view! { <Icon name="succeeded"/> } } else { view! { <Icon name="copy"/> } }}
            </button>
        </span>
    }
}

/// Puts a text onto the clipboard, in the browser.
#[cfg_attr(not(feature = "hydrate"), allow(unused_variables))]
pub fn put(text: &str) {
    #[cfg(feature = "hydrate")]
    {
        let _ = window().navigator().clipboard().write_text(text);
    }
}
