//! The audit log of the platform: every tenant's records and the platform's own.

use super::audit::{AuditLog, use_audit_query};
use crate::{
    api::audit::get_platform_audit,
    links,
    ui::{AdminPage, Crumb, Load, Place},
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn AdminAudit() -> impl IntoView {
    let query = use_audit_query();
    let page = Resource::new(move || query.get(), get_platform_audit);
    let base = Signal::stored(links::admin_audit());
    view! {
        <Title text="Audit log"/>
        <AdminPage place=Place::AdminAudit crumbs=vec![Crumb::here("Audit log")]>
            <Load resource=page let:page><AuditLog page base query whose="on the platform" several=true/></Load>
        </AdminPage>
    }
}
