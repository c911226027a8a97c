//! Where a version serves, putting it onto an endpoint, and its stage.

use super::capital;
use crate::{
    api::endpoints::EndpointDeploy,
    api::models::{ModelPage, ModelSetStage},
    links,
    ui::{Chip, Empty, Off, ProblemSummary, StateWord, form::error_of},
};
use domain::model::{Stage, WeightsKind};
use leptos::prelude::*;

#[component]
pub fn Serving(page: ModelPage, tenant: Signal<String>, deploy: ServerAction<EndpointDeploy>) -> impl IntoView {
    let (t, v) = (tenant.get_untracked(), page.version.clone());
    let serving: Vec<_> = page.endpoints.iter().filter(|p| p.serves).cloned().collect();
    let free: Vec<_> = page.endpoints.iter().filter(|p| p.fits && !p.serves).cloned().collect();
    let how = match v.kind {
        WeightsKind::Adapter => format!(
            "Loads onto a running endpoint of {} without a restart. Call it with the model name “{}”.",
            v.base_model_name, v.model_name
        ),
        WeightsKind::Merged => format!("Needs its own endpoint. Call it with the model name “{}”.", v.model_name),
    };
    view! {
        <section class="section" aria-labelledby="where">
            <header><h2 id="where">"Served by"</h2></header>
            {if serving.is_empty() {
                let soon = match v.kind {
                    WeightsKind::Adapter => "Deploy it below. If the base model is already running, it is ready within seconds.",
                    WeightsKind::Merged => "Deploy it below. It is ready once its server has loaded the weights.",
                };
                view! { <Empty title="Not deployed yet"><p>{soon}</p></Empty> }.into_any()
            } else {
                view! { <div class="lines">{serving.into_iter().map(|p| view! {
                    <div class="item"><a class="title mono" href=links::endpoint(&t, &p.name)>{p.name.clone()}</a><span class="end"><StateWord status=p.state/></span></div>
                }).collect_view()}</div> }.into_any()
            }}
        </section>
        <section class="section" aria-labelledby="deploy">
            <header><h2 id="deploy">"Deploy"</h2><p>{how}</p></header>
            <ProblemSummary error=error_of(deploy)/>
            {match page.deploy_refused {
                Some(why) => view! { <p class="muted">{why.clone()}</p><Off label="Deploy" class="primary" why/> }.into_any(),
                None => view! {
                    <ActionForm action=deploy attr:class="row deploy">
                        <input type="hidden" name="tenant" value=t.clone()/>
                        <input type="hidden" name="model" value=v.model_name.to_string()/>
                        <input type="hidden" name="number" value=v.number/>
                        {match v.kind {
                            WeightsKind::Merged => view! { <input type="hidden" name="endpoint" value=""/> }.into_any(),
                            WeightsKind::Adapter => view! {
                                <label class="label" for="endpoint">"Endpoint"</label>
                                <span class="control"><select id="endpoint" name="endpoint">
                                    {free.into_iter().map(|p| view! { <option value=p.name.clone()>{format!("{}, {}", p.name, p.state.word())}</option> }).collect_view()}
                                    <option value="">"Any endpoint of the base model, or a new one"</option>
                                </select></span>
                            }.into_any(),
                        }}
                        <button type="submit" class="btn primary" aria-busy=move || deploy.pending().get().then_some("true")>"Deploy"</button>
                    </ActionForm>
                }.into_any(),
            }}
        </section>
    }
}

#[component]
pub fn StageChange(page: ModelPage, change: ServerAction<ModelSetStage>) -> impl IntoView {
    let v = page.version;
    let (tenant, name) = (StoredValue::new(v.tenant.to_string()), StoredValue::new(v.model_name.to_string()));
    let others = Stage::ALL.into_iter().filter(move |s| *s != v.stage);
    let verb = |s: Stage| match s {
        Stage::Candidate => "Back to candidate",
        Stage::Approved => "Approve",
        Stage::Archived => "Archive",
    };
    view! {
        <section class="section" aria-labelledby="stage">
            <header><h2 id="stage">"Stage"</h2><p>"Stage changes are recorded in the audit log."</p></header>
            <ProblemSummary error=error_of(change)/>
            <div class="lines"><div class="item">
                <span class="title"><Chip status=v.stage/></span>
                <span class="end row row-tight">{others.map(|s| match page.stage_refused.clone() {
                    Some(why) => view! { <Off class="sm" label=verb(s) why/> }.into_any(),
                    None => view! {
                        <ActionForm action=change>
                            <input type="hidden" name="tenant" value=tenant.get_value()/><input type="hidden" name="name" value=name.get_value()/>
                            <input type="hidden" name="number" value=v.number/><input type="hidden" name="stage" value=s.word()/>
                            <button type="submit" class="btn sm">{verb(s)}</button>
                        </ActionForm>
                    }.into_any(),
                }).collect_view()}</span>
                <p>{page.stage_refused.clone().unwrap_or_else(|| format!("{} now. Changing the stage does not change files or scores.", capital(v.stage.word())))}</p>
            </div></div>
        </section>
    }
}
