//! A button that is off keeps its place and its focus, and says why.

use super::icon::Icon;
use leptos::prelude::*;

/// In place of a button that this person may not press now.
#[component]
pub fn Off(
    #[prop(into)] label: String,
    #[prop(into)] why: String,
    #[prop(optional)] class: &'static str,
    #[prop(optional)] icon: Option<&'static str>,
) -> impl IntoView {
    let said = why.clone();
    view! {
        <button type="button" class=format!("btn {class}") aria-disabled="true" title=why>
            {icon.map(|name| view! { <Icon name/> })}{label}<span class="sr">". Off: "{said}</span>
        </button>
    }
}
