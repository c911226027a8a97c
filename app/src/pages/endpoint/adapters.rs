//! The adapters of an endpoint: their states, attaching, detaching.

use crate::{
    api::endpoints::{EndpointAttach, EndpointDetach, EndpointPage},
    links,
    ui::{Off, ProblemSummary, Sheet, StateWord, When, form::error_of},
};
use domain::endpoint::Attachment;
use leptos::prelude::*;

#[component]
pub fn Adapters(
    tenant: Signal<String>,
    page: EndpointPage,
    attach: ServerAction<EndpointAttach>,
    detach: ServerAction<EndpointDetach>,
) -> impl IntoView {
    let e = page.endpoint;
    if !e.takes_adapters() {
        return ().into_any();
    }
    let (t, name) = (tenant.get_untracked(), e.name.to_string());
    let base_state = if e.answers() { "ready" } else { "waiting for the server" };
    let refused = page.write_refused;
    let older = links::models(&t);
    let base = e.source().to_owned();
    let all_here = format!("All adapters of {base} are attached already.");
    // Not two versions of one model behind one name: each line says the name that reaches exactly it.
    let ids = page.model_ids.clone();
    let rows = e.attachments.into_iter().zip(ids).map(|(a, id)| row(&t, &name, a, id, refused.clone(), detach)).collect_view();
    view! {
        <section class="section" aria-labelledby="adapters">
            <header><h2 id="adapters">"Adapters"</h2><p>"loaded onto the running base model without a restart"</p></header>
            <ProblemSummary error=error_of(attach)/>
            <ProblemSummary error=error_of(detach)/>
            <Sheet label="adapters">
                <table class="table fold">
                    <thead><tr><th scope="col">"Model id"</th><th scope="col">"Version"</th><th scope="col">"State"</th><th scope="col">"Attached"</th><th scope="col"><span class="sr">"Actions"</span></th></tr></thead>
                    <tbody>
                        {rows}
                        <tr><th scope="row" class="mono">{base}</th><td>"base"</td><td>{base_state}</td><td class="drop"></td><td></td></tr>
                    </tbody>
                </table>
            </Sheet>
            {match (refused, page.attachable.is_empty()) {
                (Some(why), _) => view! { <p class="attach"><Off class="sm" icon="plus" label="Attach" why/></p> }.into_any(),
                (None, true) => view! { <p class="small muted attach">{all_here}</p> }.into_any(),
                (None, false) => view! {
                    <ActionForm action=attach attr:class="row attach">
                        <input type="hidden" name="tenant" value=t.clone()/><input type="hidden" name="endpoint" value=name.clone()/>
                        <label for="version">"Attach"</label>
                        <span class="control"><select id="version" name="version">{page.attachable.into_iter().map(|c| view! {
                            <option value=format!("{}@{}", c.model, c.number)>{format!("{} v{}, {}{}", c.model, c.number, c.stage.word(), c.score.map(|(right, rows)| format!(", {right} of {rows}")).unwrap_or_default())}</option>
                        }).collect_view()}</select></span>
                        <button type="submit" class="btn" aria-busy=move || attach.pending().get().then_some("true")>"Deploy"</button>
                    </ActionForm>
                    {page.more_attachable.then(|| view! { <p class="small muted">"The newest are offered. "<a href=older>"Older versions are deployed from their own pages."</a></p> })}
                    <p class="small muted">"The model name calls the version that was deployed last. Earlier versions stay available under their own IDs, such as model@v1."</p>
                }.into_any(),
            }}
        </section>
    }
    .into_any()
}

fn row(
    tenant: &str,
    endpoint: &str,
    a: Attachment,
    id: String,
    refused: Option<String>,
    detach: ServerAction<EndpointDetach>,
) -> impl IntoView + use<> {
    let (t, endpoint) = (tenant.to_owned(), endpoint.to_owned());
    let label = format!("Detach {} v{}", a.model_name, a.number);
    view! {
        <tr>
            <th scope="row" class="mono"><a href=links::model_version(&t, &a.model_name, a.number)>{id}</a></th>
            <td class="mono">{format!("v{}", a.number)}</td>
            <td><StateWord status=a.state/>{a.reason.map(|r| view! { <small>{r.said()}</small> })}</td>
            <td class="drop nowrap"><When at=a.attached_at/></td>
            <td class="num">{match refused {
                Some(why) => view! { <Off class="sm" label="Detach" why/> }.into_any(),
                None => view! {
                    <ActionForm action=detach>
                        <input type="hidden" name="tenant" value=t/><input type="hidden" name="endpoint" value=endpoint/><input type="hidden" name="version" value=a.version.to_string()/>
                        <button type="submit" class="btn sm" aria-label=label>"Detach"</button>
                    </ActionForm>
                }.into_any(),
            }}</td>
        </tr>
    }
}
