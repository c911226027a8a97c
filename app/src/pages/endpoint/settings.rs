//! What can be set of an endpoint: how long an answer may take, parsers, and what calls may ask of the server beyond OpenAI's fields.

use super::resources::{Kept, Resources};
use crate::{
    api::endpoints::{EndpointPage, EndpointSettings, ServingForm},
    ui::{
        Field, Off, ProblemSummary,
        form::{error_of, fields_of},
    },
};
use domain::model_server::Ability;
use domain::serving::{GUARDED_FIELDS, REASONING_PARSERS, TOOL_CALL_PARSERS};
use leptos::prelude::*;

#[component]
pub fn Settings(tenant: Signal<String>, page: EndpointPage, settings: ServerAction<EndpointSettings>) -> impl IntoView {
    let error = error_of(settings);
    let problems = fields_of(error);
    let form = ServingForm::of(&page.endpoint.settings);
    let can = page.endpoint.capabilities();
    let parsers = can.tool_calls == Ability::ChosenAtStart;
    let counts = match (can.runs_here, page.rolls) {
        (true, true) => "count at once; where replicas are started with them, each is replaced after the next one takes calls",
        (true, false) => "parsers and hosts count from the next start of the model server, everything else at once",
        (false, _) => "count at once",
    };
    let resources = match page.supply.clone() {
        Some(supply) => view! { <Resources form=form.resources.clone() supply problems/> }.into_any(),
        None => view! { <Kept form=form.resources.clone()/> }.into_any(),
    };
    let replicas = match (can.runs_here, page.most_replicas) {
        (false, _) => ().into_any(),
        (true, 1) => view! {
            <input type="hidden" name="form[replicas]" value=form.replicas.clone()/>
            <p class="small muted full">"One replica. This portal runs model servers on its own machine, one process each; several replicas need a Kubernetes cluster."</p>
        }.into_any(),
        (true, most) => view! {
            <Field name="replicas" label="Replicas" problems help=format!("Each holds the whole model and needs its own share of the quota; 1 to {most}") full=true>
                <input id="replicas" name="form[replicas]" inputmode="numeric" required value=form.replicas.clone() aria-describedby="replicas-says"/>
            </Field>
        }.into_any(),
    };
    let fetches = if can.runs_here {
        "The model server fetches from these only, one a line: images.example.org"
    } else {
        "Calls may name these only, one a line: images.example.org"
    };
    let name = page.endpoint.name.to_string();
    let saved = move || settings.value().with(|v| matches!(v, Some(Ok(()))));
    view! {
        <section class="section" aria-labelledby="settings">
            <header><h2 id="settings">"Settings"</h2><p>{counts}</p></header>
            <ProblemSummary error/>
            <ActionForm action=settings attr:class="stack-lg">
                <input type="hidden" name="tenant" value=move || tenant.get()/><input type="hidden" name="endpoint" value=name/>
                <div class="form">
                    {replicas}
                    {resources}
                    <Field name="answer_seconds" label="Longest answer" problems help="For answers that are not streamed; 10 to 7200" full=true>
                        <input id="answer_seconds" name="form[answer_seconds]" inputmode="numeric" required value=form.answer_seconds aria-describedby="answer_seconds-says"/><span class="unit">"seconds"</span>
                    </Field>
                    {parsers.then(|| view! {
                    <Field name="tool_call_parser" label="Tool-call parser" problems help="vLLM's --tool-call-parser">
                        <select id="tool_call_parser" name="form[tool_call_parser]" aria-describedby="tool_call_parser-says"><Choices known=TOOL_CALL_PARSERS chosen=form.tool_call_parser/></select>
                    </Field>
                    <Field name="reasoning_parser" label="Reasoning parser" problems help="vLLM's --reasoning-parser">
                        <select id="reasoning_parser" name="form[reasoning_parser]" aria-describedby="reasoning_parser-says"><Choices known=REASONING_PARSERS chosen=form.reasoning_parser/></select>
                    </Field>
                    })}
                    <Field name="media_hosts" label="Hosts for images, audio and video" problems help=fetches optional=true full=true tall=true>
                        <textarea id="media_hosts" name="form[media_hosts]" rows="2" aria-describedby="media_hosts-says">{form.media_hosts}</textarea>
                    </Field>
                    <Field name="allowed_fields" label="Allowed request fields" problems help=format!("Refused unless listed, one a line: {}", GUARDED_FIELDS.join(", ")) optional=true full=true tall=true>
                        <textarea id="allowed_fields" name="form[allowed_fields]" rows="2" aria-describedby="allowed_fields-says">{form.allowed_fields}</textarea>
                    </Field>
                </div>
                <div class="row">
                    {match page.write_refused {
                        Some(why) => view! { <Off class="primary" label="Save settings" why/> }.into_any(),
                        None => view! { <button type="submit" class="btn primary" aria-busy=move || settings.pending().get().then_some("true")>"Save settings"</button> }.into_any(),
                    }}
                    <span class="small fg-success" role="status">{move || saved().then_some("Saved.")}</span>
                </div>
            </ActionForm>
        </section>
    }
}

#[component]
fn Choices(known: &'static [&'static str], chosen: String) -> impl IntoView {
    let option = |value: &'static str, label: &'static str| view! { <option value=value selected=chosen == value>{label}</option> };
    view! {
        {option("auto", "Automatic, by the chat template")}
        {option("off", "None")}
        {known.iter().map(|name| option(name, name)).collect_view()}
    }
}
