//! The lineage strip from wherever a page stands.

use super::{AppError, Wire};
use leptos::prelude::*;

/// `at`: empty, `datasets`, `dataset/NAME/V`, a run's id, `model/NAME/V`, `endpoint/NAME`, `keys` or `usage`; an empty V is the newest version.
#[server(prefix = "/rpc", endpoint = "chain", output = Wire)]
pub async fn lineage_strip(tenant: String, at: String) -> Result<domain::lineage::LineageStrip, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let at = at_of(&platform, &scope, &at).await?;
    Ok(platform.lineage_strip(&scope, at).await?)
}

#[cfg(feature = "ssr")]
async fn at_of(platform: &platform::Platform, scope: &platform::access::Scope, at: &str) -> Result<platform::lineage::At, AppError> {
    use platform::lineage::At;
    let parts: Vec<&str> = at.split('/').collect();
    Ok(match parts.as_slice() {
        ["datasets"] => At::Datasets,
        ["keys"] => At::Keys,
        ["usage"] => At::Usage,
        ["dataset", name, v] => At::DatasetVersion(platform.datasets(scope).version_id(name, v.parse().ok()).await?),
        ["model", name, v] => At::ModelVersion(platform.models(scope).version_id(name, v.parse().ok()).await?),
        ["endpoint", name] => At::Endpoint(platform.endpoints(scope).id(name).await?),
        // A run that cannot be read is told by its own page.
        [id] => id.parse().map_or(At::None, At::Run),
        _ => At::None,
    })
}
