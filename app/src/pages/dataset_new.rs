//! `/t/{tenant}/datasets-new`: the file, its name, who counts tokens, and what people say about the data.
//!
//! A plain multipart form; scripts add the progress, nothing else.

use crate::{
    api::{
        datasets::{UploadForm, get_upload_form},
        runs::find_choices,
    },
    links,
    pages::datasets::Formats,
    ui::{
        Crumb, Draft, Field, Icon, Load, Place, ProblemSummary, TenantPage, bytes,
        finding::{Found, Options, Search, find},
        form::{FieldNote, fields_of},
        number::percent,
        use_query, use_tenant,
    },
};
use domain::dataset::PersonalData;
use leptos::prelude::*;
use leptos_meta::Title;

pub mod send;

#[component]
pub fn DatasetNew() -> impl IntoView {
    let (tenant, name) = (use_tenant(), use_query("name"));
    let form = Resource::new(move || (tenant.get(), name.get()), |(t, n)| get_upload_form(t, n));
    let crumbs = Signal::derive(move || vec![Crumb::to("Datasets", links::datasets(&tenant.get())), Crumb::here("Upload")]);
    view! {
        <Title text="Upload a dataset"/>
        <TenantPage place=Place::Datasets crumbs>
            <Load resource=form let:form><Body form tenant=tenant.get_untracked() name=name.get_untracked()/></Load>
        </TenantPage>
    }
}

/// Base models, and the choice of none.
fn tokenizers_of(bases: impl Iterator<Item = String>) -> Options {
    bases.map(|name| (name.clone(), name)).chain([(String::new(), "none, don't count tokens".to_owned())]).collect()
}

#[component]
fn Body(form: UploadForm, tenant: String, name: String) -> impl IntoView {
    let upload = send::Upload::of_page();
    let error = Signal::derive(move || upload.error());
    let problems = fields_of(error);
    let of = format!("upload {tenant}/{name}");
    let action = links::datasets_upload(&tenant);
    let tokenizers = tokenizers_of(form.tokenizers.iter().cloned());
    let of_tenant = tenant.clone();
    let find_tokenizers = find(move |text| {
        let asked = find_choices(of_tenant.clone(), "bases".into(), text);
        async move { Some(tokenizers_of(asked.await.ok()?.bases.into_iter().map(|base| base.name))) }
    });
    let (found, chosen) = (Found::new(tokenizers, find_tokenizers), RwSignal::new(form.tokenizers.first().cloned().unwrap_or_default()));
    let further = !name.is_empty();
    let refused = form.upload_refused.clone();
    let share = percent(form.stored, form.quota);
    let used = format!("{} of {} storage used.", bytes(form.stored), bytes(form.quota));
    let said = form.documentation.clone();
    view! {
        <header class="head">
            <div>
                <h1>{if further { format!("New version of {name}") } else { "New dataset".to_owned() }}</h1>
                <p>"Every row is checked. Rows that can't be used are left out and listed. A version never changes after the upload."</p>
            </div>
        </header>
        <ProblemSummary error/>
        <Draft form="upload" of answered=Signal::derive(move || upload.answered())/>
        <div class="cols cols-side flush">
            <form class="stack-lg" id="upload" method="post" action=action enctype="multipart/form-data" on:submit=move |event| send::submit(upload, event)>
                <fieldset class="form"><legend><h2>"Name and split"</h2></legend>
                    <Field name="name" label="Dataset" problems help="Lowercase letters, digits and dashes. An existing name gets a new version.">
                        <input id="name" name="name" class="mono" value=name list="names" required aria-describedby="name-says" autocomplete="off"/>
                    </Field>
                    <datalist id="names">{form.names.iter().map(|n| view! { <option value=n.clone()></option> }).collect_view()}</datalist>
                    <Field name="tokenizer" label="Tokenizer" problems help="Tokens are counted with this base model's tokenizer.">
                        <select id="tokenizer" name="tokenizer" aria-describedby="tokenizer-says" on:input:target=move |ev| chosen.set(ev.target().value())>
                            {found.offered(move || chosen.get())}
                        </select>
                    </Field>
                    <Search found label="Tokenizer" more=form.more_tokenizers/>
                    <Field name="held_out_percent" label="Held out for evaluation" problems help="0 to 50, approximate: rows are picked by hash, at least one. They are never trained on and show whether the model improved.">
                        <input id="held_out_percent" name="held_out_percent" type="number" min="0" max="50" value=form.held_out_percent.to_string() aria-describedby="held_out_percent-says"/><span class="unit">"% of rows"</span>
                    </Field>
                </fieldset>
                <fieldset class="form"><legend><h2>"Documentation"</h2></legend>
                    <Documented said problems/>
                </fieldset>
                <fieldset class="stack"><legend><h2>"File"</h2></legend>
                    <div class="field">
                        <label for="file">"JSON or JSONL"</label>
                        <span class="panel empty dropzone"><Icon name="upload"/><input id="file" name="file" type="file" accept=".json,.jsonl,.ndjson,application/json" required aria-describedby="file-says"/></span>
                        <span class="says" id="file-says">{move || match problems.with(|all| all.iter().find(|p| p.field == "file").cloned()) {
                            Some(problem) => view! { <FieldNote name="file" problem/> }.into_any(),
                            None => view! { <span class="help">{used.clone()}</span> }.into_any(),
                        }}</span>
                    </div>
                    {move || upload.progress().map(|p| view! {
                        <div class="lines uploads" role="status">
                            <div class="item">
                                <span class="title mono">{p.file}</span>
                                <p>{format!("{} of {}", bytes(p.sent), bytes(p.total))}{(p.sent >= p.total && p.total > 0).then_some(", saving")}</p>
                                <span class="meter full" style=format!("--v:{};--c:var(--color-info)", percent(p.sent, p.total)) role="img" aria-label=percent(p.sent, p.total)><i></i></span>
                            </div>
                        </div>
                    })}
                    <div class="row">
                        {match refused {
                            None => view! { <button type="submit" class="btn primary" aria-busy=move || upload.busy().then_some("true")>"Upload and check"</button> }.into_any(),
                            Some(why) => view! { <button type="button" class="btn primary" aria-disabled="true" aria-describedby="why">"Upload and check"</button><span id="why" class="small muted">{why}</span> }.into_any(),
                        }}
                        <a class="btn" href=links::datasets(&tenant)>"Cancel"</a>
                    </div>
                </fieldset>
            </form>
            <aside>
                <section class="section" aria-labelledby="fmt"><header><h2 id="fmt">"Supported formats"</h2></header>
                    <Formats/>
                    <p class="small muted gap">"A JSON array, or one JSON object per line. The format is detected from the rows; if they are mixed, the report names the line."</p>
                </section>
                <section class="section" aria-labelledby="qs"><header><h2 id="qs">"Storage"</h2></header>
                    <div class="quotas"><div><span>"Used"</span><span><b>{bytes(form.stored)}</b>" of "{bytes(form.quota)}</span><span class="meter ticks" style=format!("--v:{share}") role="img" aria-label=format!("{share} used")><i></i></span></div></div>
                </section>
            </aside>
        </div>
    }
}

/// The documentation fields; shared with the dataset's own page. `prefix` makes `said[source]` of `source` for a server function.
#[component]
pub fn Documented(
    said: domain::dataset::Documentation,
    #[prop(into, optional)] problems: Signal<Vec<domain::problem::FieldProblem>>,
    #[prop(optional)] nested: bool,
) -> impl IntoView {
    let key = move |name: &str| if nested { format!("said[{name}]") } else { name.to_owned() };
    let personal = said.personal_data;
    view! {
        <Field name="source" label="Source" full=true problems help="Where the rows come from and how they were made.">
            <input id="source" name=key("source") value=said.source aria-describedby="source-says"/>
        </Field>
        <Field name="licence" label="Licence" problems help="SPDX identifier if there is one, such as CC-BY-4.0.">
            <input id="licence" name=key("licence") value=said.licence aria-describedby="licence-says"/>
        </Field>
        <Field name="languages" label="Languages" problems help="Language codes separated by commas: en, pl, de-CH.">
            <input id="languages" name=key("languages") value=said.languages.join(", ") aria-describedby="languages-says"/>
        </Field>
        <Field name="personal_data" label="Personal data" problems>
            <select id="personal_data" name=key("personal_data")>
                {PersonalData::ALL.into_iter().map(|p| { let on = p == personal; view! { <option value=p.word() selected=on>{p.label()}</option> } }).collect_view()}
            </select>
        </Field>
        <Field name="legal_basis" label="Legal basis" optional=true problems help="Required if there is personal data.">
            <input id="legal_basis" name=key("legal_basis") value=said.legal_basis aria-describedby="legal_basis-says"/>
        </Field>
        <div class="field full">
            <label for="notes">"Known gaps and biases "<span class="opt">"optional"</span></label>
            <span class="control tall"><textarea id="notes" name=key("notes") rows="3">{said.notes}</textarea></span>
        </div>
    }
}
