//! The audit record of a tenant and of the platform: pages of records, and the check of the chain.

use super::{AppError, Wire};
use domain::audit::{Record, Verification, checkpoint::LastCheckpoint};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

/// Records a page.
pub const PAGE: u32 = 50;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    #[serde(default)]
    pub actor: String,
    #[serde(default)]
    pub action: String,
    #[serde(default)]
    pub object: String,
    /// Only records older than this place (`domain::audit::Cursor`); empty = from the newest.
    #[serde(default)]
    pub before: String,
    /// Check the chain too.
    #[serde(default)]
    pub verify: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditPage {
    pub records: Vec<Record>,
    /// There are older ones that match.
    pub more: bool,
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
fn filter(query: &AuditQuery) -> platform::audit::AuditFilter {
    let text = |s: &str| (!s.trim().is_empty()).then(|| s.trim().to_owned());
    platform::audit::AuditFilter {
        actor: text(&query.actor),
        action: text(&query.action),
        object: text(&query.object),
        before: domain::audit::Cursor::read(&query.before),
        // One more than is shown, to know whether there are older ones.
        limit: PAGE + 1,
    }
}

#[cfg(feature = "ssr")]
fn shape(mut records: Vec<Record>, verified: Option<Verification>, checkpoint: Option<LastCheckpoint>) -> AuditPage {
    let more = records.len() > PAGE as usize;
    records.truncate(PAGE as usize);
    AuditPage { records, more, verified, checkpoint }
}
