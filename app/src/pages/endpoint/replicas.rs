//! The replicas of an endpoint, where there can be several: what each does, where, since when; and a change that is on its way through them.

use crate::ui::{Sheet, StateWord, When, count, number::some};
use domain::{
    endpoint::Endpoint,
    replica::{Replica, ReplicaState},
};
use leptos::prelude::*;

#[component]
pub fn Replicas(endpoint: Endpoint) -> impl IntoView {
    let e = endpoint;
    if e.replicas.is_empty() {
        return ().into_any();
    }
    let updating = e.updating().map(|(done, of)| {
        view! {
            <p class="small muted" role="status">{format!(
                "The settings were changed: {done} of {} run with the new ones. A replica ends only after the next one takes calls.",
                some(of.into(), "replica", "replicas")
            )}</p>
        }
    });
    let attached = e.attachments.len();
    let rows = e.replicas.into_iter().map(|r| row(r, attached)).collect_view();
    view! {
        <section class="section" aria-labelledby="replicas">
            <header><h2 id="replicas">"Replicas"</h2><p>"A call goes to the ready replica with the fewest open calls."</p></header>
            {updating}
            <Sheet label="replicas">
                <table class="table fold eps reps">
                    <thead><tr><th scope="col">"Pod"</th><th scope="col">"State"</th><th scope="col">"Node"</th><th scope="col" class="num">"Adapters"</th><th scope="col" class="num">"Restarts"</th><th scope="col">"Since"</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </Sheet>
        </section>
    }
    .into_any()
}

fn row(replica: Replica, attached: usize) -> impl IntoView {
    let why = match &replica.state {
        ReplicaState::Waiting { cause } => Some(("why info", cause.said())),
        ReplicaState::Failed { end } => Some(("why warning", format!("Its last end: {}. It is started again.", end.said()))),
        ReplicaState::Draining => Some(("why", "It takes no new calls, and ends when those under way are answered.".to_owned())),
        ReplicaState::Loading | ReplicaState::Ready => None,
    };
    let takes_calls = replica.is_ready();
    let name = if replica.name.is_empty() { "not made yet".to_owned() } else { replica.name.clone() };
    let node = if replica.node.is_empty() { "none yet".to_owned() } else { replica.node.clone() };
    let adapters = if takes_calls { format!("{} of {attached}", replica.adapters.len()) } else { "–".to_owned() };
    view! {
        <tr class:has-why=why.is_some()>
            <th scope="row" class="mono">{name}</th>
            <td><StateWord status=&replica.state/>{replica.outdated.then(|| view! { " "<span class="tag">"old settings"</span> })}</td>
            <td class="mono">{node}</td>
            <td class="num" data-label="adapters">{adapters}</td>
            <td class="num" data-label="restarts">{count(replica.restarts)}</td>
            <td class="nowrap drop">{replica.since.map(|at| view! { <When at/> })}</td>
        </tr>
        {why.map(|(class, text)| view! { <tr class=class><td colspan="6"><div><p>{text}</p></div></td></tr> })}
    }
}
