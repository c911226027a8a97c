//! Deleting a tenant, on its page for the platform's admin: what will go, and how far it has come.

use crate::{
    api::admin::TenantDelete,
    links,
    ui::{
        Field, Icon, ProblemSummary, Reason, bytes,
        form::{error_of, fields_of},
        number::some,
    },
};
use domain::{
    deletion::{Deletion, Stage, WillGo},
    tenant::Tenant,
};
use leptos::prelude::*;

#[component]
pub fn ConfirmDelete(tenant: Tenant, will_go: WillGo, delete: ServerAction<TenantDelete>) -> impl IntoView {
    let error = error_of(delete);
    let problems = fields_of(error);
    let (name, back) = (tenant.name.to_string(), links::admin_tenant(&tenant.name));
    let stopped = if will_go.open_runs > 0 { format!(", {} of them stopped now", will_go.open_runs) } else { String::new() };
    let goes = [
        (will_go.runs, format!("{}{stopped}", some(will_go.runs, "run with its log", "runs with their logs"))),
        (will_go.endpoints, some(will_go.endpoints, "endpoint", "endpoints")),
        (will_go.models, some(will_go.models, "model with all versions", "models with all versions")),
        (will_go.datasets, some(will_go.datasets, "dataset with all versions", "datasets with all versions")),
        (1, format!("{} of files, and the key that opens them", bytes(will_go.bytes))),
        (will_go.keys, format!("{}, at once", some(will_go.keys, "API key", "API keys"))),
        (will_go.members, format!("the access of {}, at once", some(will_go.members, "member", "members"))),
        (1, "chats and usage figures".to_owned()),
        (1, "its namespace, where the portal works on a cluster".to_owned()),
    ];
    let goes = goes.into_iter().filter(|(count, _)| *count > 0).map(|(_, line)| view! { <li>{line}</li> }).collect_view();
    view! {
        <div class="reason danger" role="alertdialog" aria-labelledby="delete-title">
            <Icon name="failed"/>
            <div>
                <h2 id="delete-title" class="as-h3">{format!("Delete {}? This cannot be undone.", tenant.title)}</h2>
                <p>"What will be removed:"</p>
                <ul class="goes">{goes}</ul>
                <p>"The audit log is kept."</p>
                <ProblemSummary error/>
                <ActionForm action=delete attr:class="stack">
                    <input type="hidden" name="name" value=name.clone()/>
                    <div class="form">
                        <Field name="confirm" label=format!("Type {name} to delete it") problems>
                            <input id="confirm" name="confirm" class="mono" required autocomplete="off" aria-describedby="confirm-says"/>
                        </Field>
                    </div>
                    <div class="row row-tight"><a class="btn sm" href=back>"Cancel"</a><button type="submit" class="btn sm danger-solid">"Delete tenant"</button></div>
                </ActionForm>
            </div>
        </div>
    }
}

#[component]
pub fn Deleting(deletion: Deletion) -> impl IntoView {
    let Deletion { stage, why } = deletion;
    let place = Stage::ALL.iter().position(|s| *s == stage).unwrap_or_default() + 1;
    view! {
        <Reason icon="queued" title=format!("Being deleted, part {place} of {}", Stage::ALL.len())>
            <p>{stage.said()}</p>
            {(!why.is_empty()).then(|| view! { <p class="small">{why}</p> })}
        </Reason>
    }
}
