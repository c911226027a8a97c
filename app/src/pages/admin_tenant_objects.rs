//! The part of a tenant's page for the platform's admin that says what stands around its tasks on the cluster.

use crate::{
    api::{AppError, admin_objects::TenantObjectList},
    ui::{Reason, Sheet, StateWord, Status, When},
};
use domain::{
    name::Name,
    tenant_objects::{Found, ObjectChange, TenantObject},
};
use leptos::prelude::*;

#[component]
pub fn Objects(name: String, list: TenantObjectList, objects: Resource<Result<Option<TenantObjectList>, AppError>>) -> impl IntoView {
    let asked = objects;
    let TenantObjectList { objects, changes, away } = list;
    let differs = objects.iter().filter(|o| o.found != Found::InSync || refused(o, &changes).is_some()).count();
    let said = match (objects.len(), differs) {
        (0, _) => "what the portal keeps around the tenant's runs and endpoints on the cluster".to_owned(),
        (all, 0) => format!("{all} objects on the cluster, all as they should be; what others change is put right within a minute"),
        (all, differs) => format!("{all} objects on the cluster, {differs} not as they should be"),
    };
    let by_others = objects.iter().any(|o| o.by_others);
    // Of a name that is none there are no objects.
    let tenant: Option<Name> = name.parse().ok();
    let step = tenant.as_ref().and_then(|tenant| objects.iter().find_map(|o| o.next_step(tenant)));
    let lines = objects.into_iter().map(|object| {
        let last = changes.iter().find(|c| c.kind == object.kind && c.name == object.name).cloned();
        line(object, last)
    });
    let lines: Vec<_> = lines.collect();
    view! {
        <section class="section" aria-labelledby="objects">
            <header>
                <h2 id="objects">"Objects"</h2>
                <p>{said}</p>
                <span class="end row row-tight"><button type="button" class="btn sm" on:click=move |_| asked.refetch()>"Check now"</button></span>
            </header>
            {by_others.then(|| match step {
                Some(step) => view! { <Reason icon="degraded" title="Something is missing that the portal may not make"><p>{step}</p></Reason> }.into_any(),
                None => view! {
                    <p class="small muted">"The portal may not make namespaces in this cluster. Somebody else applies the tenant's bundle, and the portal looks each minute whether it is as it should be."</p>
                }.into_any(),
            })}
            {away.map(|why| view! {
                <Reason icon="degraded" title="The cluster could not be asked"><p>{format!("{why}. Runs and endpoints that are there go on.")}</p></Reason>
            })}
            {(!lines.is_empty()).then(|| view! {
                <Sheet label="objects of the tenant">
                    <table class="table fold objs">
                        <thead><tr><th scope="col">"Kind"</th><th scope="col">"Name"</th><th scope="col">"Content"</th><th scope="col">"State"</th><th scope="col">"Changed"</th></tr></thead>
                        <tbody>{lines}</tbody>
                    </table>
                </Sheet>
            })}
        </section>
    }
}

/// What the cluster said no to, when it was last tried.
fn refused(object: &TenantObject, changes: &[ObjectChange]) -> Option<String> {
    // Told above, once for all of them.
    if object.by_others && object.found.differs() {
        return None;
    }
    let tried = changes.iter().find(|c| c.kind == object.kind && c.name == object.name).and_then(|c| c.refused.clone());
    object.refused.clone().or(tried)
}

fn line(object: TenantObject, last: Option<ObjectChange>) -> impl IntoView {
    let refused = refused(&object, last.as_slice());
    let repaired = last.as_ref().filter(|c| matches!(c.found, Found::Changed { .. }));
    let (status, why) = match (&object.found, &refused, repaired) {
        (_, Some(said), _) => (state("failed", "Refused", "danger"), format!("The cluster said: {said}")),
        (Found::Unknown, ..) => (state("degraded", "Not known", "warning"), String::new()),
        (found @ (Found::Missing | Found::Changed { .. }), ..) => {
            let word = if *found == Found::Missing { "Missing" } else { "Differs" };
            (state("degraded", word, "warning"), found.said())
        }
        (Found::InSync, None, Some(change)) => (state("retry", "Repaired", "success"), change.found.said()),
        (Found::InSync, None, None) => (state("succeeded", "In sync", "success"), String::new()),
    };
    view! {
        <tr>
            <td class="nowrap">{object.kind}</td>
            <th scope="row" class="mono">{object.name}</th>
            <td class="wrap">
                {object.content}
                <details><summary class="small">"YAML"</summary><pre class="code">{object.yaml}</pre></details>
            </td>
            <td><StateWord status/>{(!why.is_empty()).then(|| view! { <small>{why}</small> })}</td>
            <td class="nowrap drop">{last.map(|c| view! { <When at=c.at/> })}</td>
        </tr>
    }
}

const fn state(icon: &'static str, word: &'static str, tone: &'static str) -> Status {
    Status { icon, word, tone, turns: false }
}
