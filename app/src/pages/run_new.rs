//! `/t/{tenant}/runs-new?preset=&from=&dataset=&base=&view=`: what to train and with which settings. The settings are one text (see
//! [`RunForm`]); the simple form, the list of all settings (`view=all`) and the YAML (`view=yaml`) show and change that text.
//!
//! Works as a plain form: presets are links, the views and "Check" come back with the same fields in the address, "Start run" posts.

use crate::{
    api::{
        run_form::RunForm,
        runs::{Draft, Launch, get_draft},
        settings::known_catalogue,
    },
    links,
    ui::{
        Crumb, Draft as KeptDraft, Empty, Load, Place, ProblemSummary, TenantPage,
        form::{answered, error_of, fields_of},
        use_query, use_tenant,
    },
};
use domain::{
    name::Name,
    problem::FieldProblem,
    settings::{PRESETS, STANDARD_PRESET},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

mod all;
mod complete;
mod differences;
mod fields;
mod file;
mod preflight;
mod resources;
mod setting;
mod typed;
mod views;
mod yaml;

use typed::Typed;
use views::View;

#[component]
pub fn RunNew() -> impl IntoView {
    let (tenant, from, preset, dataset) = (use_tenant(), use_query("from"), use_query("preset"), use_query("dataset"));
    let draft = Resource::new(move || (tenant.get(), from.get(), preset.get(), dataset.get()), |(t, f, p, d)| get_draft(t, f, p, d));
    let view = RwSignal::new(View::of(&use_query("view").get_untracked()));
    let whole = Resource::new(
        move || (tenant.get(), view.get() != View::Simple),
        |(tenant, wanted)| async move { if wanted { known_catalogue(tenant).await.map(Some) } else { Ok(None) } },
    );
    let crumbs = Signal::derive(move || vec![Crumb::to("Runs", links::runs(&tenant.get())), Crumb::here("New run")]);
    view! {
        <Title text="New run"/>
        <TenantPage place=Place::Runs crumbs>
            <Load resource=draft let:draft>
                {if draft.bases.is_empty() || draft.datasets.is_empty() {
                    view! { <Nothing draft tenant=tenant.get_untracked()/> }.into_any()
                } else {
                    view! { <Body draft tenant=tenant.get_untracked() view whole/> }.into_any()
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
            view! { <Empty title="No base model yet"><p>"A run needs a base model. Ask a platform admin to register one."</p></Empty> }.into_any()
        } else {
            view! { <Empty title="No dataset is ready"><p>"A run needs a dataset with at least one accepted row."</p><div class="row"><a class="btn primary" href=links::dataset_new(&tenant, "")>"Upload a dataset"</a></div></Empty> }.into_any()
        }}
    }
}

#[component]
fn Body(draft: Draft, tenant: String, view: RwSignal<View>, whole: all::Whole) -> impl IntoView {
    let launch = ServerAction::<Launch>::new();
    let error = error_of(launch);
    let refused = fields_of(error);
    let typed = Typed::new(tenant.clone(), &draft, overlaid(draft.form.clone()), refused);
    // What the server was asked with: its refusal of a value ends when the value changes.
    Effect::new(move |_| {
        if launch.pending().get() {
            typed.sent.set(typed.form.get_untracked());
        }
    });
    let busy: Signal<bool> = launch.pending().into();
    let from = use_query("from").get_untracked();
    let (may, parent) = (draft.launch_refused.is_none(), draft.parent.clone());
    let supply = draft.supply.clone();
    let (presets, what) = ((tenant.clone(), parent.clone(), draft.form.dataset.clone()), draft.clone());
    let (to, of, file_of) = (links::run_new(&tenant), tenant.clone(), tenant.clone());
    view! {
        <ProblemSummary error/>
        <KeptDraft form="run-form" of=format!("run {tenant}") answered=answered(launch)/>
        <ActionForm action=launch attr:id="run-form">
            // The first button of a form is the one that Enter presses.
            <button type="submit" hidden on:click=move |e| if busy.get() || !typed.problems.with(Vec::is_empty) { e.prevent_default() }></button>
            <input type="hidden" name="tenant" value=tenant.clone()/>
            // Before the buttons that name another view: the last one counts.
            <input type="hidden" name="view" value=move || view.get().word()/>
            <input type="hidden" name="from" value=from/>
            <input type="hidden" name="form[submission]" value=draft.form.submission.clone()/>
            <input type="hidden" name="form[cloned_from]" value=draft.form.cloned_from.clone()/>
            <header class="head">
                <div><h1>"New run"</h1><p>{parent.map(|p| view! { "Copied from "<b>{p}</b>". Change what should be different. " })}"Settings are checked as you type."</p></div>
                <div class="row">
                    <views::Switch view to=to.clone()/>
                    {move || (view.get() == View::All && may).then(|| view! { <preflight::Start typed busy/> })}
                </div>
            </header>
            <div class="cols" class:cols-code=move || view.get() != View::All>
                <div class="stack-lg">
                    {move || (view.get() == View::Simple).then(|| view! { <Presets tenant=presets.0.clone() parent=presets.1.clone() dataset=presets.2.clone()/> })}
                    <fields::What typed draft=what tenant=of/>
                    {supply.map(|supply| view! { <resources::Resources typed supply/> })}
                    <yaml::Editor typed view tenant=file_of.clone()/>
                    {move || match view.get() {
                        View::Simple => view! { <fields::Training typed/><fields::More typed/> }.into_any(),
                        View::All => view! { <all::All typed whole to=to.clone()/> }.into_any(),
                        View::Yaml => view! { <all::Known typed whole/> }.into_any(),
                    }}
                    <differences::Differences typed/>
                </div>
                <preflight::Preflight typed draft busy tenant view/>
            </div>
        </ActionForm>
    }
}

/// The fields as they came back in the address (without scripts), over the fresh draft.
fn overlaid(mut form: RunForm) -> RunForm {
    let query = use_query_map();
    query.with_untracked(|q| {
        let fields: Vec<_> = q.clone().into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
        form.take(&fields);
        if let Some(base) = q.get("base") {
            form.base_model = base;
        }
    });
    form
}

fn not_a_name(key: &str, text: &str) -> Option<FieldProblem> {
    match text.parse::<Name>() {
        Ok(_) => None,
        Err(_) if text.is_empty() => Some(FieldProblem::new(key, "Enter a name.")),
        Err(bad) => Some(bad.in_field(key)),
    }
}

/// Where to start from; a link each, so that it works without scripts.
#[component]
fn Presets(tenant: String, parent: Option<String>, dataset: String) -> impl IntoView {
    let (preset, from) = (use_query("preset"), use_query("from"));
    let chosen = move |id: &str| {
        preset.get_untracked() == id || (preset.get_untracked().is_empty() && from.get_untracked().is_empty() && id == STANDARD_PRESET)
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
                {parent.map(|name| view! { <a href=links::with(base.clone(), &[("from", &from.get_untracked())]) aria-current=preset.get_untracked().is_empty().then_some("true")><span><b>"Same as "{name}</b><small>"All settings of that run."</small></span></a> })}
            </div>
        </section>
    }
}
