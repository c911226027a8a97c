//! The question before what cannot be taken back. It is asked by a link (`?ask=stop`), so that it works without scripts.

use super::icon::Icon;
use leptos::prelude::*;

/// `children` is the form that does it; `keep` is the page as it was before.
#[component]
pub fn Sure(#[prop(into)] title: String, #[prop(into)] sentence: String, #[prop(into)] keep: String, children: Children) -> impl IntoView {
    view! {
        <div class="reason danger" role="alertdialog" aria-labelledby="sure">
            <Icon name="failed"/>
            <div><h2 id="sure" class="as-h3">{title}</h2><p>{sentence}</p></div>
            <div class="row row-tight"><a class="btn sm" href=keep>"Cancel"</a>{children()}</div>
        </div>
    }
}
