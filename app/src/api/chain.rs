//! The lineage strip from wherever a page stands.

use super::AppError;
use leptos::prelude::*;

/// `at`: empty, `datasets`, a dataset version's, run's, model version's or endpoint's id, `keys` or `usage`.
#[server(prefix = "/rpc", endpoint = "chain")]
pub async fn chain(tenant: String, at: String) -> Result<domain::chain::Chain, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    Ok(platform.chain(&scope, parse(&at)?).await?)
}

#[cfg(feature = "ssr")]
fn parse(at: &str) -> Result<platform::chain::At, AppError> {
    use platform::chain::At;
    let unknown = |_| AppError::from(domain::problem::Problem::not_found(format!("The place “{}”", at.chars().take(60).collect::<String>())));
    Ok(match at {
        "" => At::None,
        "datasets" => At::Datasets,
        "keys" => At::Keys,
        "usage" => At::Usage,
        id => match id.split_once('_').map_or("", |(kind, _)| kind) {
            "dsv" => At::DatasetVersion(id.parse().map_err(unknown)?),
            "run" => At::Run(id.parse().map_err(unknown)?),
            "mv" => At::ModelVersion(id.parse().map_err(unknown)?),
            _ => At::Endpoint(id.parse().map_err(unknown)?),
        },
    })
}
