//! What a version is made of: its sisters, its files, the settings of its run.

use super::{capital, tab_href};
use crate::{
    api::models::ModelPage,
    links,
    ui::{Order, Paging, Sheet, StateWord, When, bytes, count},
};
use domain::card;
use leptos::prelude::*;

#[component]
pub fn Versions(page: ModelPage, after: String, tenant: Signal<String>) -> impl IntoView {
    let t = tenant.get_untracked();
    let (address, shown) = (tab_href(&t, &page, "versions"), page.versions.rows.len());
    let to = move |after: String| links::with(address.clone(), &[("after", &after)]);
    let (name, here, fields) = (page.model.name, page.version.number, card::FIELDS.len());
    view! {
        <section class="section" aria-labelledby="versions">
            <header><h2 id="versions">"Versions"</h2><p>"one per run; versions are immutable"</p></header>
            <Sheet label="versions">
                <table class="table fold">
                    <thead><tr><th scope="col">"Version"</th><th scope="col">"Stage"</th><th scope="col">"Held-out score"</th><th scope="col">"Data"</th><th scope="col">"Run"</th><th scope="col">"Card fields"</th><th scope="col">"Made"</th></tr></thead>
                    <tbody>{page.versions.rows.into_iter().map(|v| view! {
                        <tr aria-selected=(v.number == here).then_some("true")>
                            <th scope="row"><a href=links::model_version(&t, &name, v.number)>{format!("v{}", v.number)}</a></th>
                            <td><StateWord status=v.stage/></td>
                            <td>{v.score.map_or_else(|| "not evaluated".to_owned(), |(tuned, base, rows)| format!("{} of {}, base {}", count(tuned), count(rows), count(base)))}</td>
                            <td class="mono drop">{v.dataset}</td>
                            <td class="mono drop"><a class="obj" href=links::run(&t, &v.run)>{v.run_name}</a></td>
                            <td data-label="card">{format!("{} of {fields}", fields - v.gaps)}</td>
                            <td class="nowrap"><When at=v.at/><small>{v.author}</small></td>
                        </tr>
                    }).collect_view()}</tbody>
                </table>
            </Sheet>
            <Paging order=Order::NewestFirst noun=("version", "versions") shown after next=page.versions.next to/>
        </section>
    }
}

#[component]
pub fn Files(page: ModelPage) -> impl IntoView {
    let v = page.version;
    view! {
        <section class="section" aria-labelledby="files">
            <header><h2 id="files">"Files"</h2><p>"checked against their BLAKE3 digest on every download"</p></header>
            <Sheet label="files">
                <table class="table fold">
                    <thead><tr><th scope="col">"File"</th><th scope="col" class="num">"Size"</th><th scope="col">"Digest, BLAKE3"</th></tr></thead>
                    <tbody>{v.files.into_iter().map(|f| view! {
                        <tr><th scope="row" class="mono">{f.path}</th><td class="num">{bytes(f.bytes)}</td><td class="mono digest">{f.digest}</td></tr>
                    }).collect_view()}</tbody>
                </table>
            </Sheet>
            <dl class="kv digests">
                <dt>"Whole version"</dt><dd class="mono">{v.digest}</dd>
                <dt>"Base model "{v.base_model_name.to_string()}</dt><dd class="mono">{v.base_model_digest}</dd>
            </dl>
        </section>
    }
}

#[component]
pub fn Settings(page: ModelPage) -> impl IntoView {
    let method = capital(page.version.settings.finetuning_type().word());
    view! {
        <section class="section" aria-labelledby="settings">
            <header><h2 id="settings">"Settings of the run"</h2><p>{format!("{method}, LLaMA-Factory arguments")}</p></header>
            <dl class="kv settings">{page.settings.into_iter().map(|s| view! { <dt class="mono">{s.key}</dt><dd class="mono">{s.value}</dd> }).collect_view()}</dl>
        </section>
    }
}
