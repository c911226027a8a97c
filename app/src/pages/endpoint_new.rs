//! A new endpoint of a base model; adapters come onto it later, without a restart.

use super::endpoint::resources::Resources;
use crate::{
    api::{
        endpoints::{EndpointCreate, get_endpoint_choices},
        resources_form::ResourcesForm,
        runs::find_choices,
    },
    links,
    ui::{
        Crumb, Empty, Field, Load, Off, Place, ProblemSummary, TenantPage, count,
        finding::{Find, Found, Search, find},
        form::{error_of, fields_of},
        use_tenant,
    },
};
use domain::base_model::BaseModelState;
use leptos::prelude::*;
use leptos_meta::Title;

/// Finds base models that are ready by a part of their name.
fn bases(tenant: Signal<String>) -> Find {
    find(move |text| {
        let asked = find_choices(tenant.get_untracked(), "bases".into(), text);
        async move {
            Some(
                asked
                    .await
                    .ok()?
                    .bases
                    .into_iter()
                    .map(|b| {
                        let label = format!("{}, context {}", b.name, count(b.context));
                        (b.name, label)
                    })
                    .collect(),
            )
        }
    })
}

#[component]
pub fn EndpointNew() -> impl IntoView {
    let tenant = use_tenant();
    let choices = Resource::new(move || tenant.get(), get_endpoint_choices);
    let create = ServerAction::<EndpointCreate>::new();
    let error = error_of(create);
    let problems = fields_of(error);
    let crumbs = Signal::derive(move || vec![Crumb::to("Endpoints", links::endpoints(&tenant.get())), Crumb::here("New")]);
    view! {
        <Title text="New endpoint"/>
        <TenantPage place=Place::Endpoints crumbs>
            <Load resource=choices let:choices>
                <header class="head">
                    <div><h1>"New endpoint"</h1><p>"Serves a base model. You can attach fine-tuned adapters later without a restart."</p></div>
                    <div class="row">{match choices.external_refused.clone() {
                        Some(why) => view! { <Off label="Add an external server" why/> }.into_any(),
                        None => view! { <a class="btn" href=move || links::endpoint_external(&tenant.get())>"Add an external server"</a> }.into_any(),
                    }}</div>
                </header>
                {if choices.base_models.is_empty() {
                    view! { <Empty title="No base models yet"><p>"Ask a platform admin to register one."</p></Empty> }.into_any()
                } else {
                    let full = choices.wanted >= choices.quota;
                    let more = choices.more_base_models;
                    let first = choices.base_models.iter().find(|b| b.state == BaseModelState::Ready).map(|b| b.name.to_string());
                    let chosen = RwSignal::new(first.unwrap_or_default());
                    let offered = choices.base_models.iter().filter(|b| b.state == BaseModelState::Ready);
                    let found = Found::new(offered.map(|b| (b.name.to_string(), format!("{}, context {}", b.name, count(b.context)))).collect(), bases(tenant));
                    view! {
                        <ProblemSummary error/>
                        <ActionForm action=create attr:class="stack-lg narrow">
                            <input type="hidden" name="tenant" value=move || tenant.get()/>
                            <div class="form">
                                <Field name="base_model" label="Base model" problems help="The model to load" full=true>
                                    <select id="base_model" name="base_model" aria-describedby="base_model-says" on:change:target=move |ev| chosen.set(ev.target().value())>
                                        {found.offered(move || chosen.get())}
                                    </select>
                                </Field>
                                <Search found label="Base model" more/>
                                <Field name="name" label="Name" problems help="Lowercase letters, digits, “-” and “.”" full=true>
                                    <input id="name" name="name" class="mono" required maxlength="63" autocomplete="off" aria-describedby="name-says"/>
                                </Field>
                                {choices.supply.clone().map(|supply| view! { <Resources form=ResourcesForm::default() supply problems/> })}
                            </div>
                            <p class="small muted">{format!("{} of {} endpoints in use.", choices.wanted, choices.quota)}{full.then_some(" Stop one first, or ask a platform admin for more.")}</p>
                            <div class="row">
                                {match choices.write_refused {
                                    Some(why) => view! { <Off class="primary" label="Create and start" why/> }.into_any(),
                                    None => view! { <button type="submit" class="btn primary" aria-busy=move || create.pending().get().then_some("true")>"Create and start"</button> }.into_any(),
                                }}
                                <a class="btn quiet" href=move || links::endpoints(&tenant.get())>"Cancel"</a>
                            </div>
                        </ActionForm>
                    }.into_any()
                }}
            </Load>
        </TenantPage>
    }
}
