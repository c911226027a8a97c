//! The chain under the top bar: dataset, run, model, endpoint, keys, usage. Navigation, always in the same place.

use crate::api::chain::chain;
use domain::chain::{ChainLink, Link};
use leptos::prelude::*;

/// The strip for where one stands; `at` as in [`super::page::TenantPage`].
#[component]
pub fn ChainStrip(#[prop(into)] tenant: Signal<String>, #[prop(into)] at: Signal<String>) -> impl IntoView {
    let links = Resource::new(move || (tenant.get(), at.get()), |(tenant, at)| chain(tenant, at));
    view! {
        <nav class="chain" aria-label="Lineage">
            <Transition>
                <ol>
                    {move || Suspend::new(async move { links.await.map(|c| c.links.into_iter().map(place).collect_view()).ok() })}
                </ol>
            </Transition>
        </nav>
    }
}

fn place(link: ChainLink) -> impl IntoView {
    let label = link.link.label();
    let mono = !matches!(link.link, Link::Keys | Link::Usage);
    let text = view! { <small>{label}</small><span class:mono=mono>{link.text}</span> };
    match link.href {
        Some(href) => view! { <li><a href=href aria-current=link.here.then_some("page")>{text}</a></li> }.into_any(),
        None => view! { <li><span class="none">{text}</span></li> }.into_any(),
    }
}
