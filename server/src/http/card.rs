//! `GET /t/{tenant}/models/{name}/card.md?v=`: the model card as a Markdown file with Hugging Face's head.

use super::problem_page::{self, Wants};
use crate::{layers::caller::SignedIn, web::Web};
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use domain::problem::Problem;
use platform::access::Caller;

#[derive(serde::Deserialize)]
pub struct Which {
    /// Number of the version; none = the newest.
    v: Option<u32>,
}

pub async fn card(
    State(web): State<Web>,
    SignedIn(caller): SignedIn,
    Path((tenant, name)): Path<(String, String)>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Response {
    match markdown(&web, &caller, &tenant, &name, which.v).await {
        Ok((number, text)) => {
            let disposition =
                format!("attachment; filename=\"{}-v{number}.md\"", name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', ""));
            ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)], text)
                .into_response()
        }
        Err(problem) => problem_page::answer(&problem, Wants::of(&headers)),
    }
}

async fn markdown(web: &Web, caller: &Caller, tenant: &str, name: &str, number: Option<u32>) -> Result<(u32, String), Problem> {
    let scope = caller.scope(web.platform(), tenant).await?;
    let models = web.platform().models(&scope);
    let number = models.version(name, number).await?.number;
    Ok((number, models.markdown(name, Some(number)).await?))
}
