//! `/t/{tenant}/runs-new?preset=&from=&dataset=&base=`: about ten fields, the trainer's file beside them, problems where they are.
//!
//! Works as a plain form: presets are links, "Check" comes back with the same fields in the address, "Start run" posts.

use crate::{
    api::{
        run_form::RunForm,
        runs::{DataChoice, Draft, Launch, get_draft},
    },
    links,
    ui::{
        Crumb, Draft as KeptDraft, Empty, Load, Place, ProblemSummary, TenantPage,
        form::{answered, error_of, fields_of},
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
            view! { <Empty title="No base model yet"><p>"A run needs a base model. Ask a platform admin to register one."</p></Empty> }.into_any()
        } else {
            view! { <Empty title="No dataset is ready"><p>"A run needs a dataset with at least one accepted row."</p><div class="row"><a class="btn primary" href=links::dataset_new(&tenant, "")>"Upload a dataset"</a></div></Empty> }.into_any()
        }}
    }
}

/// What the fields hold now, and what is wrong with it; known to every part of the page.
#[derive(Clone, Copy)]
struct Typed {
    form: RwSignal<RunForm>,
    problems: Signal<Vec<FieldProblem>>,
    /// What may be and can hardly be meant; nothing is held up by it.
    doubts: Signal<Vec<FieldProblem>>,
    datasets: StoredValue<Vec<DataChoice>>,
}

impl Typed {
    /// The dataset that is chosen.
    fn data(self) -> Option<DataChoice> {
        let key = self.form.with(|f| f.dataset.clone());
        self.datasets.with_value(|all| all.iter().find(|d| d.is(&key)).cloned())
    }

    /// Takes a choice. Names that nobody has changed follow the dataset after which they were made.
    fn choose(self, key: &'static str, value: String) {
        let of = |key: &str| self.datasets.with_value(|all| all.iter().find(|d| d.is(key)).cloned());
        self.form.update(|form| {
            if key == "dataset"
                && let (Some(before), Some(now)) = (of(&form.dataset), of(&value))
            {
                follow(form, &before, &now);
            }
            form.set(key, value);
        });
    }
}

fn follow(form: &mut RunForm, before: &DataChoice, now: &DataChoice) {
    if form.name == before.run_name {
        form.name.clone_from(&now.run_name);
    }
    if form.model_name == before.name {
        form.model_name.clone_from(&now.name);
    }
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
    let datasets = StoredValue::new(draft.datasets.clone());
    let doubts = Signal::derive(move || {
        let rows = form.with(|f| datasets.with_value(|all| all.iter().find(|d| d.is(&f.dataset)).map(|d| d.train_rows)));
        let (settings, _) = form.with(RunForm::settings);
        settings.doubts(rows.map_or(0, |rows| settings.total_steps(rows)))
    });
    let typed = Typed { form, problems, doubts, datasets };
    view! {
        <header class="head">
            <div><h1>"New run"</h1><p>{draft.parent.clone().map(|p| view! { "Copied from "<b>{p}</b>". Change what should be different. " })}"Settings are checked as you type."</p></div>
        </header>
        <ProblemSummary error/>
        <KeptDraft form="run-form" of=format!("run {tenant}") answered=answered(launch)/>
        <ActionForm action=launch attr:id="run-form">
            <input type="hidden" name="tenant" value=tenant.clone()/>
            <input type="hidden" name="form[submission]" value=draft.form.submission.clone()/>
            <input type="hidden" name="form[cloned_from]" value=draft.form.cloned_from.clone()/>
            <div class="cols cols-code">
                <div class="stack-lg">
                    <Presets tenant=tenant.clone() parent=draft.parent.clone() dataset=draft.form.dataset.clone()/>
                    <fields::What typed draft=draft.clone()/>
                    <fields::Training typed/>
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
        Err(_) if text.is_empty() => Some(FieldProblem::new(key, "Enter a name.")),
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
                {parent.map(|name| view! { <a href=links::with(base.clone(), &[("from", &from.get_untracked())]) aria-current=preset.get_untracked().is_empty().then_some("true")><span><b>"Same as "{name}</b><small>"All settings of that run."</small></span></a> })}
            </div>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_dataset_until_somebody_changes_them() {
        let data = |name: &str| DataChoice {
            name: name.into(),
            number: 1,
            train_rows: 9,
            held_out_rows: 1,
            tokens: 0,
            left_out: 0,
            run_name: format!("{name}-4"),
        };
        let (facts, tickets) = (data("facts"), data("tickets"));
        let mut form = RunForm { name: "facts-4".into(), model_name: "facts".into(), ..RunForm::default() };
        follow(&mut form, &facts, &tickets);
        assert_eq!((form.name.as_str(), form.model_name.as_str()), ("tickets-4", "tickets"));
        form.model_name = "assistant".into();
        follow(&mut form, &tickets, &facts);
        assert_eq!((form.name.as_str(), form.model_name.as_str()), ("facts-4", "assistant"));
    }
}
