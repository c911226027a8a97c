//! A new tenant.

use super::admin_tenant::QuotaFields;
use crate::{
    api::admin::{QuotaForm, TenantCreate, list_tenants},
    links,
    ui::{
        AdminPage, Crumb, Field, Load, Off, Place, ProblemSummary,
        form::{error_of, fields_of},
    },
};
use domain::tenant::Quota;
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn AdminTenantNew() -> impl IntoView {
    // Asked for only to know whether this person may.
    let list = Resource::new(|| (), |()| list_tenants(String::new(), String::new()));
    let create = ServerAction::<TenantCreate>::new();
    let error = error_of(create);
    let problems = fields_of(error);
    view! {
        <Title text="New tenant"/>
        <AdminPage place=Place::AdminTenants crumbs=vec![Crumb::to("Tenants", links::admin_tenants()), Crumb::here("New")]>
            <Load resource=list let:list>
                <header class="head"><div><h1>"New tenant"</h1><p>"A tenant is an isolated team. People join it through groups of the identity provider."</p></div></header>
                <ProblemSummary error/>
                <ActionForm action=create attr:class="stack-lg narrow">
                    <fieldset class="form"><legend><h2>"Name"</h2></legend>
                        <Field name="name" label="Short name" problems help="Used in URLs, group names and storage. It can't be changed later.">
                            <input id="name" name="name" class="mono" required maxlength="63" autocomplete="off" aria-describedby="name-says"/>
                        </Field>
                        <Field name="title" label="Title" problems help="Display name. Leave empty to use the short name." optional=true>
                            <input id="title" name="title" maxlength="80" autocomplete="off" aria-describedby="title-says"/>
                        </Field>
                    </fieldset>
                    <fieldset class="form"><legend><h2>"Quota"</h2></legend><QuotaFields form=QuotaForm::of(&Quota::default()) problems/></fieldset>
                    <div class="row">
                        {match list.write_refused {
                            Some(why) => view! { <Off class="primary" label="Create tenant" why/> }.into_any(),
                            None => view! { <button type="submit" class="btn primary" aria-busy=move || create.pending().get().then_some("true")>"Create tenant"</button> }.into_any(),
                        }}
                        <a class="btn quiet" href=links::admin_tenants()>"Cancel"</a>
                    </div>
                </ActionForm>
            </Load>
        </AdminPage>
    }
}
