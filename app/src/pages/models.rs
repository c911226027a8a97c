//! The list of models, and of the base models that runs start from.

use crate::{
    api::models::{ModelList, list_models},
    links,
    ui::{
        Crumb, Empty, Icon, Load, Off, Order, Paging, Place, Sheet, StateWord, TenantPage, When, bytes, count, number::some, on_change,
        use_query, use_tenant,
    },
};
use domain::{card, model::ModelOverview, model::Stage};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Form;

#[component]
pub fn Models() -> impl IntoView {
    let tenant = use_tenant();
    let (text, stage, after) = (use_query("q"), use_query("stage"), use_query("after"));
    let list = Resource::new(
        move || (tenant.get(), text.get(), stage.get(), after.get()),
        |(tenant, text, stage, after)| list_models(tenant, text, stage, after),
    );
    on_change(tenant, "", move || list.refetch());
    view! {
        <Title text="Models"/>
        <TenantPage place=Place::Models crumbs=vec![Crumb::here("Models")]>
            <Load resource=list let:list>
                <Head tenant list=list.clone()/>
                {if list.total == 0 {
                    view! { <FirstUse tenant/> }.into_any()
                } else {
                    let (tenant, text, stage) = (tenant.get_untracked(), text.get_untracked(), stage.get_untracked());
                    let (shown, next) = (list.models.rows.len(), list.models.next.clone());
                    let table = table(&tenant, &list.models.rows, list.total, &text, &stage);
                    let address = (tenant.clone(), text.clone(), stage.clone());
                    let to = move |after: String| links::with(links::models(&address.0), &[("q", &address.1), ("stage", &address.2), ("after", &after)]);
                    view! {
                        <Filter tenant text stage/>
                        {table}
                        <Paging order=Order::ByName noun=("model", "models") shown after=after.get_untracked() next to/>
                    }
                    .into_any()
                }}
                <BaseModels tenant list/>
            </Load>
        </TenantPage>
    }
}

#[component]
fn Head(tenant: Signal<String>, list: ModelList) -> impl IntoView {
    let sentence = format!(
        "{}, {}. Versions are immutable; stage changes are recorded in the audit log.",
        some(list.total, "model", "models"),
        some(list.versions, "version", "versions")
    );
    view! {
        <header class="head">
            <div><h1>"Models"</h1><p>{sentence}</p></div>
            <div class="row">
                <a class="btn" href=move || links::lineage(&tenant.get())><Icon name="graph"/>"Lineage"</a>
                {match list.launch_refused {
                    Some(why) => view! { <Off class="primary" label="Fine-tune a model" why/> }.into_any(),
                    None => view! { <a class="btn primary" href=move || links::run_new(&tenant.get())>"Fine-tune a model"</a> }.into_any(),
                }}
            </div>
        </header>
    }
}

#[component]
fn Filter(tenant: String, text: String, stage: String) -> impl IntoView {
    let choices = std::iter::once(("", "All".to_owned())).chain(Stage::ALL.map(|s| (s.word(), capital(s.word()))));
    let keep = text.clone();
    view! {
        <Form method="GET" action=links::models(&tenant) attr:class="filterbar" attr:role="search">
            <label class="control"><Icon name="filter"/><input type="search" name="q" placeholder="Filter by name, base, dataset" aria-label="Filter models" value=text/></label>
            {(!stage.is_empty()).then(|| view! { <input type="hidden" name="stage" value=stage.clone()/> })}
            <nav class="seg" aria-label="Stage">
                {choices.map(|(value, label)| {
                    let href = links::with(links::models(&tenant), &[("q", &keep), ("stage", value)]);
                    view! { <a href=href aria-current=(stage == value).then_some("true")>{label}</a> }
                }).collect_view()}
            </nav>
        </Form>
    }
}

fn table(tenant: &str, shown: &[ModelOverview], total: u64, text: &str, stage: &str) -> AnyView {
    if shown.is_empty() {
        let said = [("“", text, "”"), ("stage ", stage, "")]
            .iter()
            .filter(|s| !s.1.is_empty())
            .map(|(a, b, c)| format!("{a}{b}{c}"))
            .collect::<Vec<_>>()
            .join(", ");
        let sentence = format!("No results for {said}. {} without the filter.", count(total));
        let clear = links::models(&tenant);
        return view! {
            <Empty title="No matching models">
                <p>{sentence}</p>
                <div class="row"><a class="btn" href=clear>"Clear filters"</a></div>
            </Empty>
        }
        .into_any();
    }
    let rows = shown.iter().map(|m| line(tenant, m)).collect_view();
    view! {
        <Sheet label="models">
            <table class="table fold registry">
                <thead><tr>
                    <th scope="col">"Model"</th><th scope="col">"Stage"</th><th scope="col">"Base and data"</th><th scope="col">"Held-out score"</th>
                    <th scope="col">"Card fields"</th><th scope="col">"Served by"</th><th scope="col">"Updated"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </Sheet>
    }
    .into_any()
}

fn line(tenant: &str, m: &ModelOverview) -> impl IntoView + use<> {
    let v = &m.latest;
    let (fields, gaps) = (card::FIELDS.len(), v.card.gaps());
    let card = format!("{} of {fields}", fields - gaps);
    let endpoints = m.endpoints.iter().map(|e| e.to_string()).collect::<Vec<_>>().join(", ");
    view! {
        <tr>
            <th scope="row" class="nowrap"><a href=links::model(&tenant, &m.model.name)>{m.model.name.to_string()}</a>" "<span class="tag">{format!("v{}", v.number)}</span><small>{some(u64::from(m.versions), "version", "versions")}</small></th>
            <td><StateWord status=v.stage/></td>
            <td class="drop"><span class="mono">{v.base_model_name.to_string()}</span><small>{format!("{} v{}", v.dataset_name, v.dataset_number)}</small></td>
            <td>{match v.scores {
                Some(s) => view! { {format!("{} of {}", count(s.tuned_right), count(s.rows))}<small>{format!("base {}", count(s.base_right))}</small> }.into_any(),
                None => view! { <span class="subtle">"not evaluated"</span> }.into_any(),
            }}</td>
            <td data-label="card"><span class:fg-warning=move || { gaps > 0 }>{card}</span></td>
            <td class="drop">{if endpoints.is_empty() { view! { <span class="subtle">"not deployed"</span> }.into_any() } else { endpoints.into_any() }}</td>
            <td class="nowrap"><When at=v.created_at/><small>{v.author_name.clone()}</small></td>
        </tr>
    }
}

#[component]
fn FirstUse(tenant: Signal<String>) -> impl IntoView {
    view! {
        <Empty title="No models yet">
            <p>"Models appear here when a run succeeds."</p>
            <div class="row"><a class="btn primary" href=move || links::runs(&tenant.get())>"View runs"</a><a class="btn" href=move || links::datasets(&tenant.get())>"Upload a dataset"</a></div>
        </Empty>
    }
}

#[component]
fn BaseModels(tenant: Signal<String>, list: ModelList) -> impl IntoView {
    let refused = list.launch_refused;
    view! {
        <section class="section" aria-labelledby="bases">
            <header><h2 id="bases">"Base models"</h2><p>"models you can fine-tune"</p></header>
            {list.base_models.is_empty().then(|| view! { <Empty title="No base models yet"><p>"Ask a platform admin to register one."</p></Empty> })}
            {(!list.base_models.is_empty()).then(|| view! {
                <Sheet label="base models">
                    <table class="table fold">
                        <thead><tr><th scope="col">"Base model"</th><th scope="col">"State"</th><th scope="col">"Size"</th><th scope="col">"Context, template"</th><th scope="col">"Licence"</th><th scope="col"><span class="sr">"Actions"</span></th></tr></thead>
                        <tbody>{list.base_models.into_iter().map(|b| view! {
                            <tr>
                                <th scope="row" class="mono">{b.name.to_string()}</th>
                                <td><StateWord status=b.state/></td>
                                <td>{parameters(b.parameters)}", "{bytes(b.files.iter().map(|f| f.bytes).sum())}</td>
                                <td class="drop">{format!("{}, {}", count(b.context), b.template)}</td>
                                <td class="drop">{b.licence}</td>
                                <td class="num">{match refused.clone() {
                                    Some(why) => view! { <Off class="sm" label="Fine-tune" why/> }.into_any(),
                                    None => { let name = b.name.to_string(); view! { <a class="btn sm" href=move || links::with(links::run_new(&tenant.get()), &[("base", &name)])>"Fine-tune"</a> }.into_any() }
                                }}</td>
                            </tr>
                        }).collect_view()}</tbody>
                    </table>
                </Sheet>
            })}
            {list.more_base_models.then(|| view! { <p class="small after"><a href=move || links::base_models(&tenant.get())>"All base models"</a></p> })}
        </section>
    }
}

/// `3.93 M parameters`
pub(super) fn parameters(n: u64) -> String {
    let (value, unit) = match n {
        0 => return "size unknown".into(),
        1_000_000_000.. => (n as f64 / 1e9, "B"),
        1_000_000.. => (n as f64 / 1e6, "M"),
        _ => (n as f64 / 1e3, "k"),
    };
    format!("{value:.2}\u{a0}{unit} parameters")
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
