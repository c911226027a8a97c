//! The lineage strip under the top bar: dataset, run, model, endpoint, keys, usage. Navigation, always in the same place.

use super::{
    address::{use_tenant, use_whole_query},
    load::{drawn_once, is_lost},
};
use crate::{api::lineage_strip::lineage_strip, links};
use domain::{
    lineage::{LineageLink, Target},
    name::Name,
};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// The strip for where one stands, which the address tells: server and browser then ask for the same, before the page itself is known.
#[component]
pub fn LineageStrip() -> impl IntoView {
    let (tenant, path, query) = (use_tenant(), use_location().pathname, use_whole_query());
    let at = Memo::new(move |_| query.with(|q| path.with(|p| at_of(p, |key| q.get(key).unwrap_or_default()))));
    let strip = Resource::new(move || (tenant.get(), at.get()), |(tenant, at)| lineage_strip(tenant, at));
    super::on_change(tenant, String::new(), move || strip.refetch());
    // Shown on while the server cannot be reached.
    let before = StoredValue::new(None);
    let shown = move || match strip.get()? {
        Ok(strip) => {
            before.try_set_value(Some(strip.clone()));
            Some(strip)
        }
        Err(error) => is_lost(&error).then(|| before.try_get_value().flatten()).flatten(),
    };
    view! {
        <nav class="lineage-strip" aria-label="Lineage">
            <Transition>
                <ol>
                    {move || shown().map(|strip| drawn_once(move || {
                        strip.links.into_iter().map(|link| station(&strip.tenant, link)).collect_view()
                    }))}
                </ol>
            </Transition>
        </nav>
    }
}

/// What `api::lineage_strip` wants to know: empty, `datasets`, `dataset/NAME/V`, `run_..`, `model/NAME/V`, `endpoint/NAME`, `keys` or `usage`.
/// V is empty for the newest version.
fn at_of(path: &str, query: impl Fn(&str) -> String) -> String {
    let parts: Vec<&str> = path.trim_matches('/').split('/').skip(2).collect();
    match parts.as_slice() {
        ["datasets" | "datasets-new"] => "datasets".into(),
        ["datasets", name, ..] => format!("dataset/{name}/{}", query("v")),
        ["runs-new"] => query("from"),
        ["runs", id, ..] => (*id).to_owned(),
        ["models", name, ..] => format!("model/{name}/{}", query("v")),
        ["endpoints", name, ..] => format!("endpoint/{name}"),
        ["keys" | "keys-new"] => "keys".into(),
        ["usage"] => "usage".into(),
        _ => String::new(),
    }
}

fn station(tenant: &Name, link: LineageLink) -> impl IntoView + use<> {
    let label = link.link.label();
    let is_one = link.target.as_ref().is_some_and(Target::is_one);
    let text = view! { <small>{label}</small><span class:mono=is_one>{link.text}</span> };
    match link.target.map(|target| links::target(tenant, &target)) {
        Some(href) => view! { <li><a href=href aria-current=link.here.then_some("page")>{text}</a></li> }.into_any(),
        None => view! { <li><span class="none">{text}</span></li> }.into_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_tells_where_the_page_stands() {
        let at = |path: &str| at_of(path, |key| if key == "v" { "3".into() } else { "run_1".into() });
        let found = [
            "/t/a/datasets/facts",
            "/t/a/runs/run_9",
            "/t/a/runs-new",
            "/t/a/models/m/card/edit",
            "/t/a/endpoints/e",
            "/t/a/keys-new",
            "/t/a",
        ]
        .map(at);
        assert_eq!(found, ["dataset/facts/3", "run_9", "run_1", "model/m/3", "endpoint/e", "keys", ""]);
    }
}
