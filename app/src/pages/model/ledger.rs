//! The card as a ledger (field, value, origin) and the way of the version from its data to its callers.

use crate::{
    api::models::ModelPage,
    links,
    ui::{Icon, parts::short},
};
use domain::card::{FIELDS, Field, Origin};
use leptos::prelude::*;

#[component]
pub fn CardLedger(page: ModelPage, tenant: Signal<String>) -> impl IntoView {
    let v = page.version;
    let edit = page.edit_refused.is_none().then(|| links::card_edit(&tenant.get_untracked(), &v.model_name, v.number));
    view! {
        <section class="section" aria-labelledby="card">
            <header>
                <h2 id="card">"Card"</h2><p>"Each field shows its source."</p>
                <ul class="end legend prov-key">
                    <li class="prov"><Icon name="run_o"/>"from a record"</li>
                    <li class="prov person"><Icon name="person"/>"a person"</li>
                    <li class="prov over"><Icon name="pen"/>"a person, against a fact"</li>
                    <li class="prov over"><Icon name="missing"/>"missing"</li>
                </ul>
            </header>
            <dl class="ledger">{v.card.fields.iter().map(|f| row(f, edit.clone())).collect_view()}</dl>
        </section>
    }
}

fn row(field: &Field, edit: Option<String>) -> impl IntoView + use<> {
    let missing = field.origin == Origin::Missing;
    let anchor =
        edit.filter(|_| FIELDS.iter().any(|(key, _, people)| *key == field.key && *people)).map(|href| format!("{href}#{}", field.key));
    let value = if missing {
        view! { <dd class="v missing">"Not filled in. "{anchor.map(|href| view! { <a href=href>"Fill in"</a> })}</dd> }.into_any()
    } else {
        view! { <dd class="v">{lines(&field.value)}</dd> }.into_any()
    };
    view! { <div><dt>{field.label.clone()}</dt>{value}<dd><Provenance field=field.clone()/></dd></div> }
}

/// Line ends of a value are meant.
fn lines(value: &str) -> impl IntoView + use<> {
    let lines: Vec<String> = value.lines().map(str::to_owned).collect();
    lines.into_iter().enumerate().map(|(i, line)| view! { {(i > 0).then(|| view! { <br/> })}{line} }).collect_view()
}

/// Where a field comes from.
#[component]
pub fn Provenance(field: Field) -> impl IntoView {
    let at = short(field.at);
    match field.origin {
        Origin::Missing => view! { <span class="prov over"><Icon name="missing"/><span>"missing"</span></span> }.into_any(),
        Origin::Person { name, replaced: None, .. } => view! { <span class="prov person"><Icon name="person"/><span>{name}<br/>{at}</span></span> }.into_any(),
        Origin::Person { name, replaced: Some(said), .. } => {
            view! { <span class="prov over" title=format!("Recorded value: {said}")><Icon name="pen"/><span>{name}", "{at}<br/>"instead of: "{shortened(&said)}</span></span> }.into_any()
        }
        Origin::Evidence { source } => {
            let icon = match source.split(' ').next() {
                Some("dataset") => "data",
                Some("base") => "base",
                _ => "run_o",
            };
            view! { <span class="prov"><Icon name=icon/><span>{source}</span></span> }.into_any()
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() > 60 { text.chars().take(59).collect::<String>() + "…" } else { text.to_owned() }
}

#[component]
pub fn LineageRow(page: ModelPage, tenant: Signal<String>) -> impl IntoView {
    let (t, v) = (tenant.get_untracked(), page.version);
    let serving: Vec<_> = page.endpoints.into_iter().filter(|p| p.serves).collect();
    let nobody = serving.is_empty();
    view! {
        <section class="section" aria-labelledby="lin">
            <header><h2 id="lin">"Lineage"</h2><p>"walkable both ways; "<a href=links::lineage(&t)>"the whole graph"</a></p></header>
            <ol class="lineage">
                <li><small>"Made from"</small><ul>
                    <li><a href=links::dataset_version(&t, &v.dataset_name, v.dataset_number)>{format!("{} v{}", v.dataset_name, v.dataset_number)}</a>" "<small>"dataset"</small></li>
                    <li><a href=links::base_models(&t)>{v.base_model_name.to_string()}</a>" "<small>"base model"</small></li>
                </ul><Icon name="next"/></li>
                <li><small>"By run"</small><ul>
                    <li><a href=links::run(&t, &v.run)>{v.run_name.to_string()}</a></li>
                    <li><small>{format!("seed {}, {} epochs", v.settings.seed(), v.settings.num_train_epochs())}</small></li>
                </ul><Icon name="next"/></li>
                <li class="here"><small>"This version"</small><ul>
                    <li><a href=links::model_version(&t, &v.model_name, v.number) aria-current="page">{format!("{} v{}", v.model_name, v.number)}</a></li>
                    <li><small>{format!("{}, {}", v.kind.label(), v.stage.word())}</small></li>
                </ul><Icon name="next"/></li>
                <li><small>"Served by"</small><ul>
                    {nobody.then(|| view! { <li><small>"none yet"</small></li> })}
                    {serving.into_iter().map(|p| view! { <li><a href=links::endpoint(&t, &p.name)>{p.name.clone()}</a>" "<small>{p.state.word()}</small></li> }).collect_view()}
                </ul><Icon name="next"/></li>
                <li><small>"Called with"</small><ul><li><a href=links::keys(&t)>"API keys"</a></li><li><a href=links::usage(&t)>"Usage"</a></li></ul></li>
            </ol>
        </section>
    }
}
