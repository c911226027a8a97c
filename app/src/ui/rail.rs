//! The rail at the left: build, serve, govern. On phones a sheet that the menu button opens, without scripts too.

use super::{address::use_tenant, frame::use_frame, icon::Icon, load::drawn_once};
use crate::{api::frame::Frame, links};
use domain::policy::Action;
use leptos::prelude::*;

/// Which entry of the rail is lit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Home,
    Datasets,
    Runs,
    Models,
    BaseModels,
    Endpoints,
    Playground,
    Keys,
    Usage,
    Lineage,
    Members,
    Audit,
    AdminTenants,
    AdminBaseModels,
    AdminCluster,
    AdminUsage,
    AdminAudit,
}

#[component]
pub(super) fn Rail(place: Place, admin: bool) -> impl IntoView {
    let frame = use_frame();
    let tenant = use_tenant();
    view! {
        <nav class="rail" id="rail" popover="auto" aria-label="Main">
            <Transition>
                {move || {
                    let frame = frame.get()?.ok()?;
                    let tenant = tenant.get_untracked();
                    Some(drawn_once(move || if admin { admin_entries(place, &frame).into_any() } else { tenant_entries(place, &tenant, &frame).into_any() }))
                }}
            </Transition>
        </nav>
    }
}

fn tenant_entries(here: Place, tenant: &String, frame: &Frame) -> impl IntoView {
    let n = frame.tenant.as_ref().map(|t| t.counts).unwrap_or_default();
    // A page that would only be refused is not offered.
    let (audit, keys, playground) = (frame.may(Action::AuditRead), frame.may(Action::KeyRead), frame.may(Action::Infer));
    let members = frame.may(Action::MemberRead);
    view! {
        <ul>{entry(here, Place::Home, links::home(tenant), "home", "Home", None)}</ul>
        <h2>"Build"</h2>
        <ul>
            {entry(here, Place::Datasets, links::datasets(tenant), "datasets", "Datasets", Some(n.datasets))}
            {entry(here, Place::Runs, links::runs(tenant), "runs", "Runs", Some(n.runs))}
            {entry(here, Place::Models, links::models(tenant), "models", "Models", Some(n.models))}
            {entry(here, Place::BaseModels, links::base_models(tenant), "catalog", "Base models", None)}
        </ul>
        <h2>"Serve"</h2>
        <ul>
            {entry(here, Place::Endpoints, links::endpoints(tenant), "endpoints", "Endpoints", Some(n.endpoints))}
            {playground.then(|| entry(here, Place::Playground, links::playground(tenant), "playground", "Playground", None))}
            {keys.then(|| entry(here, Place::Keys, links::keys(tenant), "keys", "API keys", Some(n.keys)))}
        </ul>
        <h2>"Govern"</h2>
        <ul>
            {entry(here, Place::Usage, links::usage(tenant), "usage", "Usage", None)}
            {entry(here, Place::Lineage, links::lineage(tenant), "graph", "Lineage", None)}
            {members.then(|| entry(here, Place::Members, links::members(tenant), "person", "Members", None))}
            {audit.then(|| entry(here, Place::Audit, links::audit(tenant), "audit", "Audit log", None))}
        </ul>
    }
}

fn admin_entries(here: Place, frame: &Frame) -> impl IntoView {
    let (audit, usage) = (frame.may(Action::PlatformAuditRead), frame.may(Action::PlatformUsageRead));
    view! {
        <ul>{entry(here, Place::AdminTenants, links::admin_tenants(), "tenants", "Tenants", None)}</ul>
        <h2>"Platform"</h2>
        <ul>
            {frame.has_cluster.then(|| entry(here, Place::AdminCluster, links::admin_cluster(), "cluster", "Cluster", None))}
            {entry(here, Place::AdminBaseModels, links::admin_base_models(), "catalog", "Base models", None)}
            {usage.then(|| entry(here, Place::AdminUsage, links::admin_usage(), "usage", "Usage records", None))}
            {audit.then(|| entry(here, Place::AdminAudit, links::admin_audit(), "audit", "Audit log", None))}
        </ul>
    }
}

fn entry(here: Place, place: Place, href: String, icon: &'static str, label: &'static str, n: Option<u64>) -> impl IntoView {
    view! {
        <li>
            <a href=href title=label aria-current=(here == place).then_some("page")>
                <Icon name=icon/>{label}{n.map(|n| view! { <span class="n">{n}</span> })}
            </a>
        </li>
    }
}
