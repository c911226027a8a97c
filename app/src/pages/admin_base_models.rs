//! Base models of the platform: the list, and registering one from a folder on the server.

use super::models::parameters;
use crate::{
    api::admin::{BaseModelList, BaseModelRegister, list_base_models},
    links,
    ui::{
        AdminPage, Crumb, Empty, Field, Load, Off, Order, Paging, Place, ProblemSummary, Sheet, StateWord, When, bytes, count,
        form::{error_of, fields_of},
        use_query,
    },
};
use domain::{
    base_model::{BaseModel, BaseModelState},
    page::Page,
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn AdminBaseModels() -> impl IntoView {
    let register = ServerAction::<BaseModelRegister>::new();
    let after = use_query("after");
    let list = Resource::new(move || (after.get(), register.version().get()), |(after, _)| list_base_models(after));
    view! {
        <Title text="Base models"/>
        <AdminPage place=Place::AdminBaseModels crumbs=vec![Crumb::here("Base models")]>
            <Load resource=list let:list>
                <header class="head"><div><h1>"Base models"</h1><p>"Models that every tenant can fine-tune and serve. Files are copied and hashed when you register them, and never change."</p></div></header>
                <List models=list.models.clone() after=after.get_untracked()/>
                <Register list register/>
            </Load>
        </AdminPage>
    }
}

#[component]
fn List(models: Page<BaseModel>, after: String) -> impl IntoView {
    let Page { rows: models, next } = models;
    let shown = models.len();
    let to = |after: String| links::with(links::admin_base_models(), &[("after", &after)]);
    if models.is_empty() && after.is_empty() {
        return view! { <Empty title="No base model yet"><p>"Register the first one below; nothing can be trained or served without one."</p></Empty> }.into_any();
    }
    let under_way = models.iter().any(|m| m.state == BaseModelState::Registering);
    view! {
        {under_way.then(|| view! { <p class="small muted">"Files are being copied and hashed. "<a href=links::admin_base_models() rel="external">"Refresh"</a></p> })}
        <Sheet label="base models">
            <table class="table fold">
                <thead><tr><th scope="col">"Base model"</th><th scope="col">"State"</th><th scope="col">"Size"</th><th scope="col">"Architecture"</th><th scope="col">"Context, template"</th><th scope="col">"Licence"</th><th scope="col">"Digest, BLAKE3"</th><th scope="col">"Registered"</th></tr></thead>
                <tbody>{models.into_iter().map(|m| {
                    let size = bytes(m.files.iter().map(|f| f.bytes).sum());
                    view! {
                        <tr>
                            <th scope="row" class="mono">{m.name.to_string()}</th>
                            <td><StateWord status=m.state/>{m.reason.map(|r| view! { <small>{r.said()}</small> })}</td>
                            <td>{parameters(m.parameters)}<small>{size}</small></td>
                            <td class="drop">{m.architecture}</td>
                            <td class="drop">{count(m.context)}", "{m.template}</td>
                            <td>{m.licence}</td>
                            <td class="mono drop" title=m.digest.clone()>{m.digest.chars().take(12).collect::<String>()}"…"</td>
                            <td class="nowrap drop"><When at=m.created_at/></td>
                        </tr>
                    }
                }).collect_view()}</tbody>
            </table>
        </Sheet>
        <Paging order=Order::ByName noun=("base model", "base models") shown after next to/>
    }
    .into_any()
}

#[component]
fn Register(list: BaseModelList, register: ServerAction<BaseModelRegister>) -> impl IntoView {
    let error = error_of(register);
    let problems = fields_of(error);
    view! {
        <section class="section" aria-labelledby="register">
            <header><h2 id="register">"Register a base model"</h2><p>"from a folder on the server in the Hugging Face format: config.json, tokenizer, safetensors"</p></header>
            <ProblemSummary error/>
            <ActionForm action=register attr:class="stack-lg narrow">
                <div class="form">
                    <Field name="folder" label="Folder on the server" problems help="Absolute path" full=true>
                        <input id="folder" name="folder" class="mono" required autocomplete="off" aria-describedby="folder-says"/>
                    </Field>
                    <Field name="name" label="Name" problems help="Also the model ID in API calls">
                        <input id="name" name="name" class="mono" required maxlength="63" autocomplete="off" aria-describedby="name-says"/>
                    </Field>
                    <Field name="licence" label="Licence" problems help="SPDX id where there is one: Apache-2.0">
                        <input id="licence" name="licence" required autocomplete="off" aria-describedby="licence-says"/>
                    </Field>
                    <Field name="template" label="Template" problems help="LLaMA-Factory's name. Leave empty to detect it from the model's chat template." optional=true full=true>
                        <input id="template" name="template" class="mono" autocomplete="off" aria-describedby="template-says"/>
                    </Field>
                </div>
                <div class="row">{match list.write_refused {
                    Some(why) => view! { <Off class="primary" label="Register" why/> }.into_any(),
                    None => view! { <button type="submit" class="btn primary" aria-busy=move || register.pending().get().then_some("true")>"Register"</button> }.into_any(),
                }}</div>
            </ActionForm>
        </section>
    }
}
