//! Base models: what runs start from. Every signed-in person may see them.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{base_model::BaseModel, page::Page};
use leptos::prelude::*;

/// `tenant` only decides whether the caller may look from there; `text` is part of name, architecture or licence; `after`: see `domain::page::Cursor`.
#[server(prefix = "/rpc", endpoint = "base_models/list", output = Wire)]
pub async fn list_base_models(
    tenant: String,
    #[server(default)] text: String,
    #[server(default)] after: String,
) -> Result<Page<BaseModel>, AppError> {
    let caller = super::caller()?;
    let (platform, _) = super::scope(&tenant).await?;
    let filter = domain::filter::BaseModelFilter { text, ready: false };
    Ok(platform.base_models().list(&caller, &filter, &Cursor::from_text(after)).await?)
}
