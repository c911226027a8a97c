//! What the run was told: every setting, and the trainer's own file.

use crate::{
    api::runs::RunPage,
    links,
    ui::{Copy, When},
};
use domain::settings::{FinetuningType, yaml_float};
use leptos::prelude::*;

#[component]
pub fn Config(page: RunPage) -> impl IntoView {
    let r = page.run;
    let s = r.settings.clone();
    let lora = s.finetuning_type == FinetuningType::Lora;
    let mut rows = vec![("finetuning_type", s.finetuning_type.word().to_owned())];
    if lora {
        rows.extend([("lora_rank", s.lora_rank.to_string()), ("lora_alpha", s.lora_alpha.to_string()), ("lora_target", s.lora_target)]);
    }
    rows.extend([
        ("num_train_epochs", s.num_train_epochs.to_string()),
        ("learning_rate", yaml_float(s.learning_rate)),
        ("lr_scheduler_type", s.lr_scheduler_type.word().to_owned()),
        ("warmup_steps", s.warmup_steps.to_string()),
        ("per_device_train_batch_size", s.per_device_train_batch_size.to_string()),
        ("gradient_accumulation_steps", s.gradient_accumulation_steps.to_string()),
        ("cutoff_len", s.cutoff_len.to_string()),
        ("seed", s.seed.to_string()),
    ]);
    view! {
        <div class="cols cols-code">
            <section class="section" aria-labelledby="set">
                <header><h2 id="set">"Settings"</h2><p>"by LLaMA-Factory's names"</p></header>
                <dl class="kv ruled">{rows.into_iter().map(|(key, value)| view! { <dt class="mono">{key}</dt><dd class="mono">{value}</dd> }).collect_view()}</dl>
            </section>
            <section class="section" aria-labelledby="yml">
                <header><h2 id="yml">"run.yaml"</h2><p>"paths and devices are the platform's"</p></header>
                <pre class="code" tabindex="0" role="region" aria-label="The run as YAML">{page.yaml}</pre>
            </section>
            <section class="section" aria-labelledby="det">
                <header><h2 id="det">"Details"</h2></header>
                <dl class="kv ruled">
                    <dt>"Id"</dt><dd><Copy value=r.id.to_string() what="the run's id" class="slim"/></dd>
                    <dt>"Dataset"</dt><dd><a href=links::dataset_version(&r.tenant, &r.dataset_name, r.dataset_number)>{format!("{} v{}", r.dataset_name, r.dataset_number)}</a></dd>
                    <dt>"Asked for"</dt><dd><When at=r.created_at/>", "{r.owner_name}</dd>
                    <dt>"Started"</dt><dd>{r.started_at.map(|at| view! { <When at/> })}</dd>
                    <dt>"Ended"</dt><dd>{r.ended_at.map(|at| view! { <When at/> })}</dd>
                </dl>
            </section>
        </div>
    }
}
