//! `/login`: one button, to the identity provider and back to where one was.

use crate::{links, ui::use_query};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn Login() -> impl IntoView {
    let wanted = use_query("return_to");
    // Only a path of our own; anything else leads home.
    let back = Memo::new(move |_| {
        wanted.with(|w| if w.starts_with('/') && !w.starts_with("//") && !w.contains('\\') { w.clone() } else { "/".to_owned() })
    });
    view! {
        <Title text="Sign in"/>
        <div class="standalone">
            <main id="main" tabindex="-1">
                <p class="mark">"Atelier"</p>
                <h1>"Fine-tune and serve your own models, on your own hardware."</h1>
                <a class="btn primary big" href=move || links::sign_in(&back.get()) rel="external">"Continue with single sign-on"</a>
                <p class="small muted">"You will be sent to your identity provider and come back "{move || match back.get().as_str() {
                    "/" => view! { "here" }.into_any(),
                    path => view! { "to "<span class="mono">{path.to_owned()}</span> }.into_any(),
                }}"."</p>
            </main>
        </div>
    }
}
