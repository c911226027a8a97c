//! What the run asks the machines for; only where the portal works on a cluster.

use super::{Typed, fields::Text};
use crate::ui::{
    Field,
    resources::{Offered, gpus_help, kind_help, memory_help},
};
use domain::supply::Supply;
use leptos::prelude::*;

#[component]
pub(super) fn Resources(typed: Typed, supply: Supply) -> impl IntoView {
    let problems = typed.problems;
    let (products, profiles) = (supply.machines.products(), supply.machines.profiles());
    let shown = |key: &str, known: &[String]| !known.is_empty() || untrack(|| !typed.get(key).is_empty());
    let (by_product, by_profile) = (shown("gpu_product", &products), shown("mig_profile", &profiles));
    view! {
        <fieldset class="form"><legend><h2>"Resources"</h2></legend>
            <Field name="gpus" label="GPUs on each node" problems help=gpus_help(&supply) optional=true><Text typed key="gpus"/></Field>
            {by_product.then(|| view! {
                <Field name="gpu_product" label="GPU product" problems help=kind_help(&products) optional=true>
                    <Text typed key="gpu_product" list="gpu_products"/><Offered id="gpu_products" known=products/>
                </Field>
            })}
            {by_profile.then(|| view! {
                <Field name="mig_profile" label="MIG profile" problems help=kind_help(&profiles) optional=true>
                    <Text typed key="mig_profile" list="mig_profiles"/><Offered id="mig_profiles" known=profiles/>
                </Field>
            })}
            <Field name="cpu" label="CPU cores" problems help="What is free beyond that may be used. Empty = 1" optional=true><Text typed key="cpu"/></Field>
            <Field name="memory_gb" label="Memory" problems help=memory_help(&supply) optional=true>
                <Text typed key="memory_gb"/><span class="unit">"GB"</span>
            </Field>
        </fieldset>
    }
}
