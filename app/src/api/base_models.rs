//! Base models: what runs start from. Every signed-in person may see them.

use super::{AppError, Wire};
use domain::base_model::BaseModel;
use leptos::prelude::*;

/// `tenant` only decides whether the caller may look from there.
#[server(prefix = "/rpc", endpoint = "base_models/list", output = Wire)]
pub async fn list_base_models(tenant: String) -> Result<Vec<BaseModel>, AppError> {
    let caller = super::caller()?;
    let (platform, _) = super::scope(&tenant).await?;
    Ok(platform.base_models().list(&caller).await?)
}
