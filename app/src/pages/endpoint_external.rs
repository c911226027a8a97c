//! Adds a model server that somebody else runs, with its address and key.

use crate::{
    api::endpoints::{EndpointAddExternal, get_endpoint_choices},
    links,
    ui::{
        Crumb, Field, Load, Off, Place, ProblemSummary, TenantPage,
        form::{error_of, fields_of},
        use_tenant,
    },
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn EndpointExternal() -> impl IntoView {
    let tenant = use_tenant();
    let choices = Resource::new(move || tenant.get(), get_endpoint_choices);
    let add = ServerAction::<EndpointAddExternal>::new();
    let error = error_of(add);
    let problems = fields_of(error);
    let crumbs = Signal::derive(move || vec![Crumb::to("Endpoints", links::endpoints(&tenant.get())), Crumb::here("External server")]);
    view! {
        <Title text="Add an external server"/>
        <TenantPage place=Place::Endpoints crumbs>
            <Load resource=choices let:choices>
                <header class="head"><div><h1>"Add an external server"</h1><p>"A server with the OpenAI API that somebody else runs. Limits, keys, usage and audit work as for every endpoint. Prompts and answers leave this portal."</p></div></header>
                <ProblemSummary error/>
                <ActionForm action=add attr:class="stack-lg narrow">
                    <input type="hidden" name="tenant" value=move || tenant.get()/>
                    <div class="form">
                        <Field name="name" label="Name" problems help="Lowercase letters, digits, “-” and “.”" full=true>
                            <input id="name" name="name" class="mono" required maxlength="63" autocomplete="off" aria-describedby="name-says"/>
                        </Field>
                        <Field name="address" label="Address" problems help="The base URL, such as https://llm.example.org/v1" full=true>
                            <input id="address" name="address" class="mono" type="url" required maxlength="400" autocomplete="off" aria-describedby="address-says"/>
                        </Field>
                        <Field name="key" label="Key" problems optional=true help="Kept encrypted and never shown again; you can replace it later" full=true>
                            <input id="key" name="key" class="mono" type="password" maxlength="4000" autocomplete="off" aria-describedby="key-says"/>
                        </Field>
                    </div>
                    <p class="small muted">{format!("{} of {} endpoints in use. You choose the models to offer on the next page.", choices.wanted, choices.quota)}</p>
                    <div class="row">
                        {match choices.external_refused {
                            Some(why) => view! { <Off class="primary" label="Add server" why/> }.into_any(),
                            None => view! { <button type="submit" class="btn primary" aria-busy=move || add.pending().get().then_some("true")>"Add server"</button> }.into_any(),
                        }}
                        <a class="btn quiet" href=move || links::endpoints(&tenant.get())>"Cancel"</a>
                    </div>
                </ActionForm>
            </Load>
        </TenantPage>
    }
}
