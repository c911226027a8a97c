//! The fields of the form. Every control is named after LLaMA-Factory's key, so that problems find it.

use super::Typed;
use crate::{
    api::runs::{DataChoice, Draft},
    pages::base_models::parameters,
    ui::{Field, count, number::some},
};
use leptos::prelude::*;

/// A text field bound to what is typed.
#[component]
fn Text(typed: Typed, key: &'static str, #[prop(optional)] number: bool) -> impl IntoView {
    let start = typed.form.with_untracked(|f| f.get(key).to_owned());
    view! {
        <input id=key name=format!("form[{key}]") value=start.clone() prop:value=start class:mono=!number inputmode=number.then_some("decimal") autocomplete="off"
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
            on:input:target=move |e| typed.form.update(|f| f.set(key, e.target().value()))>
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
    let data = draft.datasets.iter().map(|d| (format!("{}@{}", d.name, d.number), format!("{} v{}", d.name, d.number))).collect::<Vec<_>>();
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
        Signal::derive(move || {
            typed.form.with(|f| all.iter().find(|d| f.dataset == format!("{}@{}", d.name, d.number)).map(said).unwrap_or_default())
        })
    };
    view! {
        <fieldset class="form"><legend><h2>"What to train, on what"</h2></legend>
            <Field name="base_model" label="Base model" problems help=about_base><Choice typed key="base_model" options=bases/></Field>
            <Field name="dataset" label="Dataset" problems help=about_data><Choice typed key="dataset" options=data/></Field>
            <Field name="name" label="Name of the run" problems help="Lower case, digits, dashes."><Text typed key="name"/></Field>
            <Field name="model_name" label="Becomes a version of" problems help="A model that exists, or a new one."><Text typed key="model_name"/></Field>
        </fieldset>
    }
}

fn said(d: &DataChoice) -> String {
    let out = if d.left_out > 0 { format!(", {} left out by the check", some(d.left_out, "row", "rows")) } else { String::new() };
    format!("{} to train, {} held out{out}", some(d.train_rows, "row", "rows"), count(d.held_out_rows))
}

/// The settings that matter most.
#[component]
pub(super) fn HowHard(typed: Typed) -> impl IntoView {
    let problems = typed.problems;
    let lora = move || typed.form.with(|f| f.finetuning_type != "full");
    let by_method =
        move |with_lora: &'static str, full: &'static str| Signal::derive(move || if lora() { with_lora } else { full }.to_owned());
    let method =
        by_method("A small adapter that loads onto a running endpoint.", "Changes every weight; the result needs a server of its own.");
    let rate = by_method("Size of a step; 1e-4 to 3e-3 for LoRA.", "Size of a step; 1e-6 to 5e-5 for full weights of a large model.");
    view! {
        <fieldset class="form"><legend><h2>"How hard"</h2></legend>
            <Field name="finetuning_type" label="Method" problems help=method>
                <Choice typed key="finetuning_type" options=words(&[("lora", "LoRA"), ("full", "Full fine-tune")])/>
            </Field>
            <Field name="num_train_epochs" label="Epochs" problems help="How often every row is seen."><Text typed key="num_train_epochs" number=true/></Field>
            <Field name="learning_rate" label="Learning rate" problems help=rate><Text typed key="learning_rate" number=true/></Field>
            <Field name="per_device_train_batch_size" label="Batch" problems help="Rows at once."><Text typed key="per_device_train_batch_size" number=true/><span class="unit">"rows"</span></Field>
            <Field name="cutoff_len" label="Cut-off" problems help="Longer rows are cut."><Text typed key="cutoff_len" number=true/><span class="unit">"tokens"</span></Field>
            <div class="lora" class:off=move || !lora()>
                <Field name="lora_rank" label="LoRA rank" problems help="Width of the adapter."><Text typed key="lora_rank" number=true/></Field>
            </div>
        </fieldset>
    }
}

/// The rest, folded away.
#[component]
pub(super) fn More(typed: Typed) -> impl IntoView {
    let problems = typed.problems;
    const FOLDED: [&str; 6] = ["lora_alpha", "lora_target", "lr_scheduler_type", "warmup_steps", "gradient_accumulation_steps", "seed"];
    let open = problems.with_untracked(|all| all.iter().any(|p| FOLDED.contains(&p.field.as_str())));
    view! {
        <details class="fold-more" open=open>
            <summary>"Further settings"</summary>
            <div class="form">
                <Field name="lora_alpha" label="LoRA alpha" problems help="Strength, usually twice the rank."><Text typed key="lora_alpha" number=true/></Field>
                <Field name="lora_target" label="LoRA layers" problems help="all, or names with commas."><Text typed key="lora_target"/></Field>
                <Field name="lr_scheduler_type" label="Schedule" problems>
                    <Choice typed key="lr_scheduler_type" options=words(&[("cosine", "cosine"), ("linear", "linear"), ("constant", "constant")])/>
                </Field>
                <Field name="warmup_steps" label="Warm-up" problems><Text typed key="warmup_steps" number=true/><span class="unit">"steps"</span></Field>
                <Field name="gradient_accumulation_steps" label="Accumulation" problems help="Batches per step, without more memory."><Text typed key="gradient_accumulation_steps" number=true/></Field>
                <Field name="seed" label="Seed" problems help="The same seed trains the same way."><Text typed key="seed" number=true/></Field>
            </div>
        </details>
    }
}
