//! The fields of the form. Every control is named after LLaMA-Factory's key, so that problems find it.

use super::Typed;
use crate::{
    api::runs::{DataChoice, Draft},
    pages::base_models::parameters,
    ui::{Field, count, number::some},
};
use domain::problem::FieldProblem;
use leptos::prelude::*;

/// A text field bound to what is typed.
#[component]
fn Text(typed: Typed, key: &'static str, #[prop(optional)] number: bool) -> impl IntoView {
    let start = typed.form.with_untracked(|f| f.get(key).to_owned());
    view! {
        <input id=key name=format!("form[{key}]") value=start prop:value=move || typed.form.with(|f| f.get(key).to_owned()) class:mono=!number inputmode=number.then_some("decimal") autocomplete="off"
            aria-describedby=format!("{key}-says") aria-invalid=move || wrong(typed, key)
            on:input:target=move |e| typed.form.update(|f| f.set(key, e.target().value()))/>
    }
}

/// A choice bound to what is chosen: pairs of value and label.
#[component]
fn Choice(typed: Typed, key: &'static str, options: Vec<(String, String)>) -> impl IntoView {
    let start = typed.form.with_untracked(|f| f.get(key).to_owned());
    view! {
        <select id=key name=format!("form[{key}]") aria-describedby=format!("{key}-says") aria-invalid=move || wrong(typed, key)
            on:input:target=move |e| typed.choose(key, e.target().value())>
            {options.into_iter().map(|(value, label)| { let on = value == start; view! { <option value=value selected=on>{label}</option> } }).collect_view()}
        </select>
    }
}

fn wrong(typed: Typed, key: &str) -> Option<&'static str> {
    typed.problems.with(|all| all.iter().any(|p| p.field == key)).then_some("true")
}

fn words(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// What to train, on what, and as what.
#[component]
pub(super) fn What(typed: Typed, draft: Draft) -> impl IntoView {
    let problems = typed.problems;
    let bases = draft.bases.iter().map(|b| (b.name.clone(), b.name.clone())).collect::<Vec<_>>();
    let data = draft.datasets.iter().map(|d| (d.key(), format!("{} v{}", d.name, d.number))).collect::<Vec<_>>();
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
    let about_data = {
        let all = draft.datasets.clone();
        Signal::derive(move || typed.form.with(|f| all.iter().find(|d| d.is(&f.dataset)).map(said).unwrap_or_default()))
    };
    view! {
        <fieldset class="form"><legend><h2>"Model and data"</h2></legend>
            <Field name="base_model" label="Base model" problems help=about_base><Choice typed key="base_model" options=bases/></Field>
            <Field name="dataset" label="Dataset" problems help=about_data><Choice typed key="dataset" options=data/></Field>
            <Field name="name" label="Name of the run" problems help="Lowercase letters, digits and dashes."><Text typed key="name"/></Field>
            <Field name="model_name" label="Becomes a version of" problems help="An existing model or a new name."><Text typed key="model_name"/></Field>
        </fieldset>
    }
}

fn said(d: &DataChoice) -> String {
    let out = if d.left_out > 0 { format!(", {} left out by the check", some(d.left_out, "row", "rows")) } else { String::new() };
    format!("{} to train, {} held out{out}", some(d.train_rows, "row", "rows"), count(d.held_out_rows))
}

/// The settings that matter most.
#[component]
pub(super) fn Training(typed: Typed) -> impl IntoView {
    let (problems, doubts) = (typed.problems, typed.doubts);
    let lora = move || typed.form.with(|f| f.finetuning_type != "full");
    let by_method =
        move |with_lora: &'static str, full: &'static str| Signal::derive(move || if lora() { with_lora } else { full }.to_owned());
    let method =
        by_method("Trains a small adapter that loads onto a running endpoint.", "Trains all weights; the result needs its own endpoint.");
    let rate = by_method("Usually 1e-4 to 3e-3 for LoRA.", "Usually 1e-6 to 5e-5 for a full fine-tune.");
    view! {
        <fieldset class="form"><legend><h2>"Training"</h2></legend>
            <Field name="finetuning_type" label="Method" with_key=true problems doubts help=method>
                <Choice typed key="finetuning_type" options=words(&[("lora", "LoRA"), ("full", "Full fine-tune")])/>
            </Field>
            <Field name="num_train_epochs" label="Epochs" with_key=true problems doubts help="Passes over the training data."><Text typed key="num_train_epochs" number=true/></Field>
            <Field name="learning_rate" label="Learning rate" with_key=true problems doubts help=rate><Text typed key="learning_rate" number=true/></Field>
            <Field name="per_device_train_batch_size" label="Batch size" with_key=true problems doubts help="Rows per step and device."><Text typed key="per_device_train_batch_size" number=true/><span class="unit">"rows"</span></Field>
            <Field name="cutoff_len" label="Cut-off length" with_key=true problems doubts help="Longer rows are truncated."><Text typed key="cutoff_len" number=true/><span class="unit">"tokens"</span></Field>
            <div class="lora" class:off=move || !lora()>
                <Field name="lora_rank" label="LoRA rank" with_key=true problems doubts help="Size of the adapter."><Text typed key="lora_rank" number=true/></Field>
            </div>
        </fieldset>
    }
}

/// The rest, folded away.
#[component]
pub(super) fn More(typed: Typed) -> impl IntoView {
    let (problems, doubts) = (typed.problems, typed.doubts);
    const FOLDED: [&str; 6] = ["lora_alpha", "lora_target", "lr_scheduler_type", "warmup_steps", "gradient_accumulation_steps", "seed"];
    let named = |all: &Vec<FieldProblem>| all.iter().any(|p| FOLDED.contains(&p.field.as_str()));
    let open = problems.with_untracked(named) || doubts.with_untracked(named);
    view! {
        <details class="fold-more" open=open>
            <summary>"Advanced settings"</summary>
            <div class="form">
                <Field name="lora_alpha" label="LoRA alpha" with_key=true problems doubts help="Scaling, usually twice the rank."><Text typed key="lora_alpha" number=true/></Field>
                <Field name="lora_target" label="LoRA target" with_key=true problems doubts help="“all”, or module names separated by commas."><Text typed key="lora_target"/></Field>
                <Field name="lr_scheduler_type" label="Scheduler" with_key=true problems doubts>
                    <Choice typed key="lr_scheduler_type" options=words(&[("cosine", "cosine"), ("linear", "linear"), ("constant", "constant")])/>
                </Field>
                <Field name="warmup_steps" label="Warm-up" with_key=true problems doubts><Text typed key="warmup_steps" number=true/><span class="unit">"steps"</span></Field>
                <Field name="gradient_accumulation_steps" label="Gradient accumulation" with_key=true problems doubts help="Batches per optimizer step; needs no extra memory."><Text typed key="gradient_accumulation_steps" number=true/></Field>
                <Field name="seed" label="Seed" with_key=true problems doubts help="The same seed gives the same result."><Text typed key="seed" number=true/></Field>
            </div>
        </details>
    }
}
