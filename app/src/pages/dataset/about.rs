//! What people say about a version, its other versions, and who used it.

use crate::{
    api::datasets::{DatasetPage, Document},
    links,
    pages::{base_models::short_digest, dataset_new::Documented},
    ui::{
        Draft, Order, Paging, ProblemSummary, Sheet, StateWord, Stay, When, bytes, count,
        form::{answered, error_of, fields_of},
    },
};
use domain::dataset::{DatasetVersion, PersonalData};
use leptos::prelude::*;

/// In the side column of the report.
#[component]
pub fn Summary(version: DatasetVersion) -> impl IntoView {
    let d = version.documentation;
    let personal = d.personal_data;
    let said = |text: String| {
        if text.trim().is_empty() {
            view! { <dd class="fg-warning">"missing"</dd> }.into_any()
        } else {
            view! { <dd>{text}</dd> }.into_any()
        }
    };
    view! {
        <section class="section" aria-labelledby="doc">
            <header><h2 id="doc">"Documentation"</h2><p class="end"><a href=format!("?v={}&tab=card", version.number)>"Edit"</a></p></header>
            <dl class="kv">
                <dt>"Source"</dt>{said(d.source)}
                <dt>"Licence"</dt>{said(d.licence)}
                <dt>"Personal data"</dt><dd class:fg-warning=(personal == PersonalData::Unknown)>{personal.label()}</dd>
                {matches!(personal, PersonalData::Yes | PersonalData::Pseudonymised).then(|| view! { <dt>"Legal basis"</dt>{said(d.legal_basis)} })}
                <dt>"Languages"</dt>{said(d.languages.join(", "))}
                <dt>"Uploaded by"</dt><dd>{version.created_by_name}</dd>
                <dt>"Digest, BLAKE3"</dt><dd class="mono" title=version.digest.clone()>{version.digest.as_deref().map(short_digest)}</dd>
            </dl>
        </section>
    }
}

#[component]
pub fn UsedBy(page: DatasetPage) -> impl IntoView {
    let tenant = page.version.tenant.clone();
    let more = (page.runs_total > page.runs.len() as u64).then(|| {
        let all = links::with(links::runs(&tenant), &[("q", page.version.dataset_name.as_str())]);
        (all, format!("All runs on {}; {} used this version", page.version.dataset_name, count(page.runs_total)))
    });
    view! {
        <section class="section" aria-labelledby="used">
            <header><h2 id="used">"Used by"</h2></header>
            <div class="lines">
                {page.runs.is_empty().then(|| view! { <div class="item"><p>"No run has used this version."</p></div> })}
                {page.runs.into_iter().map(|(id, name, state)| view! {
                    <div class="item"><a class="title" href=links::run(&tenant, &id)>{name}</a><span class="end"><StateWord status=state/></span></div>
                }).collect_view()}
                {more.map(|(href, label)| view! { <div class="item"><p><a href=href>{label}</a></p></div> })}
            </div>
        </section>
    }
}

/// The form; the rows of the version stay as they are.
#[component]
pub fn Documentation(page: DatasetPage, save: ServerAction<Document>, stay: Stay) -> impl IntoView {
    let v = page.version;
    let error = error_of(save);
    let of = format!("documentation {}/{}@{}", v.tenant, v.dataset_name, v.number);
    view! {
        <section class="section" aria-labelledby="edit">
            <header><h2 id="edit">"Documentation"</h2><p>"You can edit this at any time. Rows, report and digest never change."</p></header>
            <ProblemSummary error/>
            {
                let of = of.clone();
                stay.draw(of.clone(), move || view! { <Draft form="documentation" of=of.clone() answered=answered(save)/> })
            }
            <ActionForm action=save attr:id="documentation" attr:class="form narrow">
                <input type="hidden" name="tenant" value=v.tenant.to_string()/>
                <input type="hidden" name="name" value=v.dataset_name.to_string()/>
                <input type="hidden" name="number" value=v.number.to_string()/>
                // Somebody else may save meanwhile: what is being typed here stays.
                {stay.draw(of, move || view! { <Documented said=v.documentation.clone() nested=true problems=fields_of(error)/> })}
                <div class="full row">
                    {match page.write_refused {
                        None => view! { <button type="submit" class="btn primary" aria-busy=move || save.pending().get().then_some("true")>"Save"</button> }.into_any(),
                        Some(why) => view! { <button type="button" class="btn primary" aria-disabled="true" aria-describedby="why">"Save"</button><span id="why" class="small muted">{why}</span> }.into_any(),
                    }}
                </div>
            </ActionForm>
        </section>
    }
}

#[component]
pub fn Versions(page: DatasetPage, after: String) -> impl IntoView {
    let here = page.version.number;
    let (number, shown) = (here.to_string(), page.versions.rows.len());
    let address = links::dataset(&page.dataset.tenant, &page.dataset.name);
    let to = move |after: String| links::with(address.clone(), &[("v", &number), ("tab", "versions"), ("after", &after)]);
    view! {
        <section class="section" aria-labelledby="ver">
            <header><h2 id="ver">"Versions"</h2><p>"Versions are immutable. Uploading under the same name creates the next one."</p></header>
            <Sheet label="versions">
                <table class="table fold">
                    <thead><tr><th scope="col">"Version"</th><th scope="col">"State"</th><th scope="col">"File"</th><th scope="col" class="num">"Size"</th><th scope="col" class="num">"Rows"</th><th scope="col" class="num">"Left out"</th><th scope="col">"Digest, BLAKE3"</th><th scope="col">"Uploaded"</th></tr></thead>
                    <tbody>
                        {page.versions.rows.into_iter().map(|v| {
                            let r = v.report.as_ref();
                            let same = v.same_as.map(|n| format!("same file as v{n}"));
                            view! {
                                <tr aria-selected=(v.number == here).then_some("true")>
                                    <th scope="row"><a href=links::dataset_version(&v.tenant, &v.dataset_name, v.number)>{format!("v{}", v.number)}</a></th>
                                    <td>{if v.erased_at.is_some() { "Erased".into_any() } else { view! { <StateWord status=v.state/> }.into_any() }}</td>
                                    <td class="mono">{v.file_name.clone()}{same.map(|s| view! { <small>{s}</small> })}</td>
                                    <td class="num">{bytes(v.bytes)}</td>
                                    <td class="num" data-label="rows">{r.map_or("–".into(), |r| count(r.accepted))}</td>
                                    <td class="num" data-label="left out">{r.map_or("–".into(), |r| count(r.rejected))}</td>
                                    <td class="mono drop" title=v.digest.clone()>{v.digest.as_deref().map(short_digest)}</td>
                                    <td class="nowrap"><When at=v.created_at/><small>{v.created_by_name.clone()}</small></td>
                                </tr>
                            }
                        }).collect_view()}
                    </tbody>
                </table>
            </Sheet>
            <Paging order=Order::NewestFirst noun=("version", "versions") shown after next=page.versions.next to/>
        </section>
    }
}
