//! `GET /t/{tenant}/datasets/{name}/files/{file}?v=`: a file of a dataset version, streamed: what was uploaded, both sides of the split,
//! or the verdict on every row. A plain link, so that it works without scripts.

use super::problem_page::{self, Wants};
use crate::{layers::caller::SignedIn, web::Web};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use domain::{dataset::DatasetFile, problem::Problem};
use platform::{access::Caller, datasets::Download};

#[derive(serde::Deserialize)]
pub struct Which {
    /// Number of the version; none = the newest.
    v: Option<u32>,
}

pub async fn file(
    State(web): State<Web>,
    SignedIn(caller): SignedIn,
    Path((tenant, name, file)): Path<(String, String, String)>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Response {
    match find(&web, &caller, &tenant, &name, which.v, &file).await {
        Ok(Download { file_name, bytes, body }) => {
            let headers = [
                // Never shown as a page of ours, whatever it holds.
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file_name}\"")),
                (header::CONTENT_LENGTH, bytes.to_string()),
                // Gigabytes are not packed on their way: that would cost more processor than all of the judging.
                (header::CONTENT_ENCODING, "identity".to_owned()),
            ];
            (headers, Body::from_stream(body)).into_response()
        }
        Err(problem) => problem_page::answer(&problem, Wants::of(&headers)),
    }
}

async fn find(web: &Web, caller: &Caller, tenant: &str, name: &str, number: Option<u32>, file: &str) -> Result<Download, Problem> {
    let scope = caller.scope(web.platform(), tenant).await?;
    let datasets = web.platform().datasets(&scope);
    // Whether the dataset may be seen comes before what of it is asked for.
    datasets.version(name, number).await?;
    let file = DatasetFile::from_word(file).ok_or_else(|| Problem::not_found("The file"))?;
    datasets.download(name, number, file).await
}
