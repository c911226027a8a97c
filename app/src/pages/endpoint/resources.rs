//! What each replica of an endpoint asks the machines for; only where the portal works on a cluster.

use crate::{
    api::resources_form::ResourcesForm,
    ui::{
        Field,
        resources::{Offered, gpus_help, kind_help, memory_help},
    },
};
use domain::{problem::FieldProblem, supply::Supply};
use leptos::prelude::*;

/// The fields, within a form.
#[component]
pub fn Resources(form: ResourcesForm, supply: Supply, #[prop(into)] problems: Signal<Vec<FieldProblem>>) -> impl IntoView {
    let (products, profiles) = (supply.machines.products(), supply.machines.profiles());
    let by_product = !products.is_empty() || !form.gpu_product.is_empty();
    let by_profile = !profiles.is_empty() || !form.mig_profile.is_empty();
    let spread = format!("{}. The model is spread over them (--tensor-parallel-size)", gpus_help(&supply));
    view! {
        <Field name="gpus" label="GPUs of each replica" problems help=spread optional=true full=true>
            <input id="gpus" name="form[gpus]" inputmode="numeric" value=form.gpus aria-describedby="gpus-says"/>
        </Field>
        {by_product.then(|| view! {
            <Field name="gpu_product" label="GPU product" problems help=kind_help(&products) optional=true>
                <input id="gpu_product" name="form[gpu_product]" list="gpu_products" class="mono" autocomplete="off" value=form.gpu_product aria-describedby="gpu_product-says"/>
                <Offered id="gpu_products" known=products/>
            </Field>
        })}
        {by_profile.then(|| view! {
            <Field name="mig_profile" label="MIG profile" problems help=kind_help(&profiles) optional=true>
                <input id="mig_profile" name="form[mig_profile]" list="mig_profiles" class="mono" autocomplete="off" value=form.mig_profile aria-describedby="mig_profile-says"/>
                <Offered id="mig_profiles" known=profiles/>
            </Field>
        })}
        <Field name="cpu" label="CPU cores" problems help="Of each replica. What is free beyond that may be used; empty = half a core" optional=true>
            <input id="cpu" name="form[cpu]" inputmode="numeric" value=form.cpu aria-describedby="cpu-says"/>
        </Field>
        <Field name="memory_gb" label="Memory" problems help=memory_help(&supply) optional=true>
            <input id="memory_gb" name="form[memory_gb]" inputmode="decimal" value=form.memory_gb aria-describedby="memory_gb-says"/><span class="unit">"GB"</span>
        </Field>
    }
}

/// What was asked for stays as it is where nobody is asked.
#[component]
pub fn Kept(form: ResourcesForm) -> impl IntoView {
    let ResourcesForm { gpus, gpu_product, mig_profile, cpu, memory_gb } = form;
    let fields = [("gpus", gpus), ("gpu_product", gpu_product), ("mig_profile", mig_profile), ("cpu", cpu), ("memory_gb", memory_gb)];
    fields
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| view! { <input type="hidden" name=format!("form[{key}]") value=text/> })
        .collect_view()
}
