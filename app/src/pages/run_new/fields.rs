//! The simple form. Every control is named after its key, so that problems find it.

use super::{Typed, setting::Control};
use crate::{
    api::runs::{DataChoice, Draft, find_choices},
    pages::base_models::parameters,
    ui::{
        Field, count,
        finding::{Found, Search, find},
        number::some,
    },
};
use domain::{model::WeightsKind, problem::FieldProblem};
use leptos::prelude::*;

/// A text field of ours.
#[component]
pub(super) fn Text(
    typed: Typed,
    key: &'static str,
    /// The id of a list of texts that are offered.
    #[prop(optional)]
    list: Option<&'static str>,
) -> impl IntoView {
    let start = untrack(|| typed.get(key));
    view! {
        <input id=key list=list name=format!("form[{key}]") value=start prop:value=move || typed.get(key) class="mono" autocomplete="off"
            aria-describedby=format!("{key}-says") aria-invalid=move || typed.is_wrong(key).then_some("true")
            on:input:target=move |e| typed.set(key, e.target().value())/>
    }
}

/// A choice of ours: pairs of value and label.
#[component]
fn Choice(typed: Typed, key: &'static str, options: Vec<(String, String)>) -> impl IntoView {
    let start = untrack(|| typed.get(key));
    view! {
        <select id=key name=format!("form[{key}]") aria-describedby=format!("{key}-says") aria-invalid=move || typed.is_wrong(key).then_some("true")
            on:input:target=move |e| typed.choose(key, e.target().value())>
            {options.into_iter().map(|(value, label)| { let on = value == start; view! { <option value=value selected=on>{label}</option> } }).collect_view()}
        </select>
    }
}

/// The same, of which more is found by typing.
#[component]
fn Searched(typed: Typed, key: &'static str, found: Found) -> impl IntoView {
    view! {
        <select id=key name=format!("form[{key}]") aria-describedby=format!("{key}-says") aria-invalid=move || typed.is_wrong(key).then_some("true")
            on:input:target=move |e| typed.choose(key, e.target().value())>
            {found.offered(move || typed.get(key))}
        </select>
    }
}

/// What is ours and not the trainer's: what to train, on what, and as what.
#[component]
pub(super) fn What(typed: Typed, draft: Draft, tenant: String) -> impl IntoView {
    let problems = typed.problems;
    let bases = draft.bases.iter().map(|b| (b.name.clone(), b.name.clone())).collect::<Vec<_>>();
    let data = draft.datasets.iter().map(|d| (d.key(), format!("{} v{}", d.name, d.number))).collect::<Vec<_>>();
    let results = [(WeightsKind::Adapter, "Adapter"), (WeightsKind::Merged, "Merged weights")]
        .map(|(kind, label)| (kind.word().into(), label.into()))
        .to_vec();
    let about_base = {
        let bases = draft.bases.clone();
        Signal::derive(move || {
            typed.form.with(|f| {
                bases
                    .iter()
                    .find(|b| b.name == f.base_model)
                    .map(|b| format!("{} parameters, context {}, {}", parameters(b.parameters), count(b.context), b.licence))
                    .unwrap_or_default()
            })
        })
    };
    let about_data = Signal::derive(move || typed.form.with(|f| typed.dataset(&f.dataset)).as_ref().map(said).unwrap_or_default());
    let tenant = StoredValue::new(tenant);
    let found_bases = Found::new(
        bases,
        find(move |text| {
            let asked = find_choices(tenant.get_value(), "bases".into(), text);
            async move { Some(asked.await.ok()?.bases.into_iter().map(|b| (b.name.clone(), b.name)).collect()) }
        }),
    );
    let found_data = Found::new(
        data,
        find(move |text| {
            let asked = find_choices(tenant.get_value(), "datasets".into(), text);
            async move {
                let found = asked.await.ok()?.datasets;
                let options = found.iter().map(|d| (d.key(), format!("{} v{}", d.name, d.number))).collect();
                typed.know(found);
                Some(options)
            }
        }),
    );
    view! {
        <fieldset class="form"><legend><h2>"Model and data"</h2></legend>
            <Field name="base_model" label="Base model" problems help=about_base><Searched typed key="base_model" found=found_bases/></Field>
            <Search found=found_bases label="Base model" more=draft.more_bases/>
            <Field name="dataset" label="Dataset" problems help=about_data><Searched typed key="dataset" found=found_data/></Field>
            <Search found=found_data label="Dataset" more=draft.more_datasets/>
            <Field name="name" label="Name of the run" problems help="Lowercase letters, digits and dashes."><Text typed key="name"/></Field>
            <Field name="model_name" label="Becomes a version of" problems help="An existing model or a new name."><Text typed key="model_name"/></Field>
            <Field name="result" label="Result" problems help="Of LoRA: an adapter loads onto a running endpoint; merged weights need an endpoint of their own.">
                <Choice typed key="result" options=results/>
            </Field>
            {draft.spreads.then(|| view! {
                <Field name="nodes" label="Nodes" problems help="Machines that train together; each takes an equal share of the rows. All of them start, or none.">
                    <Text typed key="nodes"/>
                </Field>
            })}
        </fieldset>
    }
}

fn said(d: &DataChoice) -> String {
    let out = if d.left_out > 0 { format!(", {} left out by the check", some(d.left_out, "row", "rows")) } else { String::new() };
    format!("{} to train, {} held out{out}", some(d.train_rows, "row", "rows"), count(d.held_out_rows))
}

/// Settings as fields, in this order.
fn settings(typed: Typed, keys: Vec<String>) -> impl IntoView {
    let (problems, doubts) = (typed.problems, typed.doubts);
    let entries = typed.catalogue.with_untracked(|c| keys.iter().filter_map(|key| c.entry(key).cloned()).collect::<Vec<_>>());
    entries
        .into_iter()
        .map(|entry| {
            let (name, label, words) = (entry.key.clone(), entry.label.clone(), entry.words.clone());
            let of_a_method = (!entry.methods.is_empty()).then(|| entry.clone());
            let field = view! { <Field name label with_key=true problems doubts help=words><Control typed entry/></Field> };
            match of_a_method {
                Some(entry) => view! { <div class="lora" class:off=move || !typed.applies(&entry)>{field}</div> }.into_any(),
                None => field.into_any(),
            }
        })
        .collect_view()
}

/// The settings that matter most.
#[component]
pub(super) fn Training(typed: Typed) -> impl IntoView {
    let keys = typed.catalogue.with_untracked(|c| c.form.main.clone());
    view! { <fieldset class="form"><legend><h2>"Training"</h2></legend>{settings(typed, keys)}</fieldset> }
}

/// A few more, folded away.
#[component]
pub(super) fn More(typed: Typed) -> impl IntoView {
    let keys = typed.catalogue.with_untracked(|c| c.form.more.clone());
    let named = |all: &Vec<FieldProblem>| all.iter().any(|p| keys.contains(&p.field));
    let open = typed.problems.with_untracked(named) || typed.doubts.with_untracked(named);
    view! {
        <details class="fold-more" open=open>
            <summary>"Advanced settings"</summary>
            <div class="form">{settings(typed, keys)}</div>
        </details>
    }
}
