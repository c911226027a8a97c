//! One model version: its facts, whether it helped, its card, and what can be done with it.

mod evaluation;
mod ledger;
mod serving;
mod shelf;

pub(super) use ledger::Provenance;

use super::models::{capital, parameters};
use crate::{
    api::{
        endpoints::EndpointDeploy,
        models::{ModelPage, ModelSetStage, model_get},
    },
    links,
    ui::{Chip, Crumb, Icon, Load, Off, Place, TenantPage, bytes, count, on_change, use_param, use_query, use_tenant},
};
use domain::{card, model::WeightsKind, settings::FinetuningType};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn Model() -> impl IntoView {
    let (tenant, name) = (use_tenant(), use_param("name"));
    let (number, tab, after) = (use_query("v"), use_query("tab"), use_query("after"));
    let page = Resource::new(
        move || (tenant.get(), name.get(), number.get().parse().unwrap_or(0), tab.get(), after.get()),
        |(tenant, name, number, tab, after)| model_get(tenant, name, number, tab, after),
    );
    let (deploy, stage) = (ServerAction::<EndpointDeploy>::new(), ServerAction::<ModelSetStage>::new());
    on_change(tenant, "", move || page.refetch());
    let version = move || page.get().and_then(Result::ok).map(|p| p.version);
    let crumbs = Signal::derive(move || {
        let last = version().map_or_else(|| number.get(), |v| format!("v{}", v.number));
        vec![
            Crumb::to("Models", links::models(&tenant.get())),
            Crumb::to(name.get(), links::model(&tenant.get(), &name.get())),
            Crumb::here(last),
        ]
    });
    view! {
        <Title text=move || name.get()/>
        <TenantPage place=Place::Models crumbs>
            <Load resource=page let:page>
                <Head tenant page=page.clone()/>
                <Facts page=page.clone()/>
                <Tabs tenant tab page=page.clone()/>
                // Not in a `move ||`: a form in it would be drawn anew at every event.
                {match tab.get_untracked().as_str() {
                    "evaluation" => view! { <evaluation::Evaluation page=page.clone() whole=true after=after.get_untracked() tenant/> }.into_any(),
                    "versions" => view! { <shelf::Versions page=page.clone() after=after.get_untracked() tenant/> }.into_any(),
                    "files" => view! { <shelf::Files page=page.clone()/> }.into_any(),
                    "settings" => view! { <shelf::Settings page=page.clone()/> }.into_any(),
                    "endpoints" => view! { <serving::Serving page=page.clone() tenant deploy/> }.into_any(),
                    _ => view! {
                        <evaluation::Evaluation page=page.clone() whole=false after=String::new() tenant/>
                        <ledger::CardLedger page=page.clone() tenant/>
                        <ledger::LineageRow page=page.clone() tenant/>
                        <serving::StageChange page=page.clone() change=stage/>
                    }.into_any(),
                }}
            </Load>
        </TenantPage>
    }
}

/// The address of a tab of this version.
fn tab_href(tenant: &str, page: &ModelPage, tab: &str) -> String {
    links::with(links::model_version(&tenant, &page.model.name, page.version.number), &[("tab", tab)])
}

#[component]
fn Head(tenant: Signal<String>, page: ModelPage) -> impl IntoView {
    let v = page.version.clone();
    let t = tenant.get_untracked();
    let how = match v.settings.finetuning_type() {
        FinetuningType::Lora => format!("LoRA adapter on {}", v.base_model_name),
        FinetuningType::Full => format!("Full fine-tune of {}", v.base_model_name),
    };
    let summary = v
        .card
        .get("summary")
        .filter(|f| !f.value.is_empty())
        .map(|f| format!("{} ", f.value.trim_end_matches('.').to_owned() + "."))
        .unwrap_or_default();
    let sentence = format!("{summary}{how}, made from {} v{}.", v.dataset_name, v.dataset_number);
    let served = page.endpoints.iter().any(|p| p.serves);
    let deploy = tab_href(&t, &page, "endpoints");
    let edit = links::card_edit(&t, &v.model_name, v.number);
    view! {
        <header class="head">
            <div>
                <div class="row">
                    <h1>{v.model_name.to_string()}</h1>
                    <a class="btn sm" href=tab_href(&t, &page, "versions")>{format!("v{}", v.number)}<span class="sr">", choose another version"</span><Icon name="down"/></a>
                    <Chip status=v.stage title=format!("since {}", v.created_at.human())/>
                </div>
                <p>{sentence}</p>
            </div>
            <div class="row">
                {match page.edit_refused.clone() {
                    Some(why) => view! { <Off label="Edit card" icon="pen" why/> }.into_any(),
                    None => view! { <a class="btn" href=edit><Icon name="pen"/>"Edit card"</a> }.into_any(),
                }}
                <a class="btn" href=links::card_markdown(&t, &v.model_name, v.number) rel="external">"Markdown"</a>
                {match page.deploy_refused.clone() {
                    Some(why) => view! { <Off label="Deploy" why/> }.into_any(),
                    None if served => view! { <a class="btn" href=deploy>"Deploy"</a> }.into_any(),
                    None => view! { <a class="btn primary" href=deploy>"Deploy"</a> }.into_any(),
                }}
                {served.then(|| view! { <a class="btn primary" href=links::with(links::playground(&t), &[("model", v.model_name.as_str())])>"Try it"</a> })}
            </div>
        </header>
    }
}

#[component]
fn Facts(page: ModelPage) -> impl IntoView {
    let v = page.version;
    let size: u64 = v.files.iter().map(|f| f.bytes).sum();
    let (fields, gaps) = (card::FIELDS.len(), v.card.gaps());
    let kind = match v.kind {
        WeightsKind::Adapter => format!("rank {}", v.settings.lora_rank()),
        WeightsKind::Merged => "on a server of their own".into(),
    };
    let base = page.base.map(|b| (b.context, parameters(b.parameters)));
    view! {
        <dl class="facts">
            <div><dt>"Held-out score"</dt>
                {match v.scores {
                    Some(s) => view! { <dd>{format!("{} of {} ", count(s.tuned_right), count(s.rows))}<small>{format!("base {}", count(s.base_right))}</small></dd> }.into_any(),
                    None => view! { <dd>"not evaluated"</dd> }.into_any(),
                }}
            </div>
            <div><dt>"Kind"</dt><dd>{capital(v.kind.label())}" "<small>{kind}</small></dd></div>
            <div><dt>"Size"</dt><dd>{bytes(size)}" "<small>{base.as_ref().map(|(_, p)| format!("on {p}"))}</small></dd></div>
            {base.map(|(context, _)| view! { <div><dt>"Context"</dt><dd>{count(context)}" tokens"</dd></div> })}
            <div><dt>"Digest, BLAKE3"</dt><dd class="mono" title=v.digest.clone()>{short_digest(&v.digest)}</dd></div>
            <div><dt>"Made by"</dt><dd>{v.author_name}" "<small>{v.created_at.human()}</small></dd></div>
            <div><dt>"Card"</dt><dd class:fg-warning=move || { gaps > 0 }>{format!("{} of {fields} fields", fields - gaps)}</dd></div>
        </dl>
    }
}

/// `41e9…c07b`
fn short_digest(digest: &str) -> String {
    match (digest.get(..4), digest.get(digest.len().saturating_sub(4)..)) {
        (Some(first), Some(last)) if digest.len() > 12 => format!("{first}…{last}"),
        _ => digest.to_owned(),
    }
}

#[component]
fn Tabs(tenant: Signal<String>, tab: Signal<String>, page: ModelPage) -> impl IntoView {
    let serves = page.endpoints.iter().filter(|p| p.serves).count() as u64;
    let tabs: [(&'static str, &'static str, Option<u64>); 6] = [
        ("", "Card", None),
        ("evaluation", "Evaluation", None),
        ("versions", "Versions", Some(page.versions_total)),
        ("files", "Files", Some(page.version.files.len() as u64)),
        ("settings", "Settings", None),
        ("endpoints", "Endpoints", Some(serves)),
    ];
    let t = tenant.get_untracked();
    view! {
        <nav class="tabs" aria-label="Model">
            {tabs.into_iter().map(|(id, label, n)| view! {
                <a href=tab_href(&t, &page, id) aria-current=move || (*tab.read() == id).then_some("page")>{label}{n.map(|n| view! { " "<small>{n}</small> })}</a>
            }).collect_view()}
        </nav>
    }
}
