//! The audit record of a tenant and of the platform: pages of records, and the check of the chain.

use super::{AppError, Wire};
use domain::{
    audit::{Record, Verification, checkpoint::LastCheckpoint},
    page::Page,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    #[serde(default)]
    pub actor: String,
    #[serde(default)]
    pub action: String,
    #[serde(default)]
    pub object: String,
    /// Where the page begins, see `domain::page::Cursor`; empty = from the newest.
    #[serde(default)]
    pub after: String,
    /// Check the chain too.
    #[serde(default)]
    pub verify: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditPage {
    /// Newest first.
    pub records: Page<Record>,
    pub verified: Option<Verification>,
    pub checkpoint: Option<LastCheckpoint>,
}

#[server(prefix = "/rpc", endpoint = "audit/page", output = Wire)]
pub async fn get_audit(tenant: String, query: AuditQuery) -> Result<AuditPage, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let audit = platform.audit(&scope);
    let records = audit.page(filter(&query)).await?;
    let verified = if query.verify { Some(audit.verify().await?) } else { None };
    Ok(shape(records, verified, audit.last_checkpoint().await?))
}

#[server(prefix = "/rpc", endpoint = "admin/audit", output = Wire)]
pub async fn get_platform_audit(query: AuditQuery) -> Result<AuditPage, AppError> {
    let (platform, scope) = super::platform_scope()?;
    let audit = platform.platform_audit(&scope);
    let records = audit.page(filter(&query)).await?;
    let verified = if query.verify { Some(audit.verify().await?) } else { None };
    Ok(shape(records, verified, audit.last_checkpoint().await?))
}

#[cfg(feature = "ssr")]
fn filter(query: &AuditQuery) -> domain::filter::AuditFilter {
    let text = |s: &str| (!s.trim().is_empty()).then(|| s.trim().to_owned());
    domain::filter::AuditFilter {
        actor: text(&query.actor),
        action: text(&query.action),
        object: text(&query.object),
        after: domain::page::Cursor::from_text(&query.after),
        limit: domain::page::PAGE as u32,
    }
}

#[cfg(feature = "ssr")]
fn shape(records: Page<Record>, verified: Option<Verification>, checkpoint: Option<LastCheckpoint>) -> AuditPage {
    AuditPage { records, verified, checkpoint }
}
