//! What the run was told: every setting, and the trainer's own file.

use crate::{
    api::runs::RunPage,
    links,
    ui::{Copy, When},
};
use leptos::prelude::*;

#[component]
pub fn Config(page: RunPage) -> impl IntoView {
    let r = page.run;
    // In the order of the form and of the file beside it.
    let rows = r.settings.chosen().into_iter();
    view! {
        <div class="cols cols-code">
            <section class="section" aria-labelledby="set">
                <header><h2 id="set">"Settings"</h2><p>"LLaMA-Factory arguments"</p></header>
                <dl class="kv ruled">{rows.map(|(key, value)| view! { <dt class="mono">{key}</dt><dd class="mono">{value}</dd> }).collect_view()}</dl>
            </section>
            <section class="section" aria-labelledby="yml">
                <header><h2 id="yml">"run.yaml"</h2><p>"paths and devices are set by the platform"</p></header>
                <pre class="code" tabindex="0" role="region" aria-label="The run as YAML">{page.yaml}</pre>
            </section>
            <section class="section" aria-labelledby="det">
                <header><h2 id="det">"Details"</h2></header>
                <dl class="kv ruled">
                    <dt>"ID"</dt><dd><Copy value=r.id.to_string() what="the run's id" class="slim"/></dd>
                    <dt>"Dataset"</dt><dd><a href=links::dataset_version(&r.tenant, &r.dataset_name, r.dataset_number)>{format!("{} v{}", r.dataset_name, r.dataset_number)}</a></dd>
                    <dt>"Created"</dt><dd><When at=r.created_at/>", "{r.owner_name.clone()}</dd>
                    <dt>"Started"</dt><dd>{r.started_at.map(|at| view! { <When at/> })}</dd>
                    <dt>"Ended"</dt><dd>{r.ended_at.map(|at| view! { <When at/> })}</dd>
                </dl>
            </section>
        </div>
    }
}
