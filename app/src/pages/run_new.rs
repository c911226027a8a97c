//! `/t/{tenant}/runs-new?preset=&from=&dataset=&base=`: about ten fields, the trainer's file beside them, problems where they are.
//!
//! Works as a plain form: presets are links, "Check" comes back with the same fields in the address, "Start run" posts.

use crate::{
    api::{
        run_form::RunForm,
        runs::{Draft, Launch, get_draft},
    },
    links,
    ui::{
        Crumb, Empty, Load, Place, ProblemSummary, TenantPage,
        form::{error_of, fields_of},
        use_query, use_tenant,
    },
};
use domain::{name::Name, problem::FieldProblem, settings::PRESETS};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

mod fields;
mod preflight;

#[component]
pub fn RunNew() -> impl IntoView {
    let (tenant, from, preset, dataset) = (use_tenant(), use_query("from"), use_query("preset"), use_query("dataset"));
    let draft = Resource::new(move || (tenant.get(), from.get(), preset.get(), dataset.get()), |(t, f, p, d)| get_draft(t, f, p, d));
    let crumbs = Signal::derive(move || vec![Crumb::to("Runs", links::runs(&tenant.get())), Crumb::here("New run")]);
    view! {
        <Title text="New run"/>
        <TenantPage place=Place::Runs crumbs>
            <Load resource=draft let:draft>
                {if draft.bases.is_empty() || draft.datasets.is_empty() {
                    view! { <Nothing draft tenant=tenant.get_untracked()/> }.into_any()
                } else {
                    view! { <Body draft tenant=tenant.get_untracked()/> }.into_any()
                }}
            </Load>
        </TenantPage>
    }
}

/// What is missing before a run can be thought of.
#[component]
fn Nothing(draft: Draft, tenant: String) -> impl IntoView {
    view! {
        <header class="head"><div><h1>"New run"</h1></div></header>
        {if draft.bases.is_empty() {
            view! { <Empty title="No base model yet"><p>"A run starts from a base model. A platform admin registers the first one."</p></Empty> }.into_any()
        } else {
            view! { <Empty title="No dataset is ready"><p>"A run learns from a dataset with at least one accepted row."</p><div class="row"><a class="btn primary" href=links::dataset_new(&tenant, "")>"Upload a dataset"</a></div></Empty> }.into_any()
        }}
    }
}

/// What the fields hold now, and what is wrong with it; known to every part of the page.
#[derive(Clone, Copy)]
struct Typed {
    form: RwSignal<RunForm>,
    problems: Signal<Vec<FieldProblem>>,
}

#[component]
fn Body(draft: Draft, tenant: String) -> impl IntoView {
    let launch = ServerAction::<Launch>::new();
    let error = error_of(launch);
    let refused = fields_of(error);
    let form = RwSignal::new(overlaid(draft.form.clone()));
    // What the server was asked with: its refusal of a value ends when the value changes.
    let sent = RwSignal::new(form.get_untracked());
    Effect::new(move |_| {
        if launch.pending().get() {
            sent.set(form.get_untracked());
        }
    });
    let bases = StoredValue::new(draft.bases.clone());
    // Judged while typing with the same rules as on the server; what only the server knows (a taken name) is added to it.
    let problems = Signal::derive(move || {
        let context = bases.with_value(|b| form.with(|f| b.iter().find(|b| b.name == f.base_model).map_or(0, |b| b.context)));
        let (settings, mut all) = form.with(RunForm::settings);
        all.extend(settings.check(context));
        form.with(|form| {
            all.extend(["name", "model_name"].iter().filter_map(|key| not_a_name(key, form.get(key).trim())));
            let as_sent = |key: &str| sent.with(|sent| sent.get(key) == form.get(key));
            for problem in refused.get().into_iter().filter(|p| as_sent(&p.field)) {
                if !all.iter().any(|p| p.field == problem.field) && RunForm::KEYS[..4].contains(&problem.field.as_str()) {
                    all.push(problem);
                }
            }
        });
        all
    });
    let typed = Typed { form, problems };
    view! {
        <header class="head">
            <div><h1>"New run"</h1><p>{draft.parent.clone().map(|p| view! { "Started from "<b>{p}</b>"; change what should differ. " })}"Nothing starts before every field is right."</p></div>
        </header>
        <ProblemSummary error/>
        <ActionForm action=launch attr:id="run-form">
            <input type="hidden" name="tenant" value=tenant.clone()/>
            <input type="hidden" name="form[submission]" value=draft.form.submission.clone()/>
            <input type="hidden" name="form[cloned_from]" value=draft.form.cloned_from.clone()/>
            <div class="cols cols-code">
                <div class="stack-lg">
                    <Presets tenant=tenant.clone() parent=draft.parent.clone() dataset=draft.form.dataset.clone()/>
                    <fields::What typed draft=draft.clone()/>
                    <fields::HowHard typed/>
                    <fields::More typed/>
                </div>
                <preflight::Preflight typed draft busy=launch.pending().into() tenant/>
            </div>
        </ActionForm>
    }
}

fn not_a_name(key: &str, text: &str) -> Option<FieldProblem> {
    match text.parse::<Name>() {
        Ok(_) => None,
        Err(_) if text.is_empty() => Some(FieldProblem::new(key, "A name is needed.")),
        Err(bad) => Some(bad.in_field(key)),
    }
}

/// The fields as they came back in the address ("Check" without scripts), over the fresh draft.
fn overlaid(mut form: RunForm) -> RunForm {
    let query = use_query_map();
    query.with_untracked(|q| {
        for key in RunForm::KEYS.iter().filter(|k| **k != "submission") {
            if let Some(value) = q.get(&format!("form[{key}]")) {
                form.set(key, value);
            }
        }
        if let Some(base) = q.get("base") {
            form.base_model = base;
        }
    });
    form
}

/// Where to start from; a link each, so that it works without scripts.
#[component]
fn Presets(tenant: String, parent: Option<String>, dataset: String) -> impl IntoView {
    let (preset, from) = (use_query("preset"), use_query("from"));
    let chosen = move |id: &str| {
        preset.get_untracked() == id || (preset.get_untracked().is_empty() && from.get_untracked().is_empty() && id == "lora")
    };
    let base = links::run_new(&tenant);
    view! {
        <section class="presets" aria-labelledby="start">
            <h2 id="start" class="h">"Start from"</h2>
            <div class="choice two">
                {PRESETS.iter().map(|p| {
                    let href = links::with(base.clone(), &[("preset", p.id), ("dataset", &dataset)]);
                    view! { <a href=href aria-current=chosen(p.id).then_some("true")><span><b>{p.label}</b><small>{p.reason}</small></span></a> }
                }).collect_view()}
                {parent.map(|name| view! { <a href=links::with(base.clone(), &[("from", &from.get_untracked())]) aria-current=preset.get_untracked().is_empty().then_some("true")><span><b>"Same as "{name}</b><small>"Every setting of that run."</small></span></a> })}
            </div>
        </section>
    }
}
