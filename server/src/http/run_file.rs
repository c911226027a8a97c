//! The settings of a new run as a file, with scripts off: `POST /t/{tenant}/runs-file` gives back the form's text as a file, and
//! `POST /t/{tenant}/runs-file-open` the form with the text of a file. Nothing is kept.

use super::problem_page::Page;
use crate::{layers::caller::SignedIn, web::Web};
use app::{
    api::run_form::{FILE_BYTES, RunForm, file_text},
    links,
};
use axum::{
    body::Bytes,
    extract::{FromRequest, Multipart, Path, Request, State, multipart::MultipartError},
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use domain::{policy::Action, problem::Problem};
use openidconnect::url::form_urlencoded;
use platform::access::Caller;

pub async fn save(State(web): State<Web>, SignedIn(caller): SignedIn, Path(tenant): Path<String>, body: Bytes) -> Response {
    if let Err(problem) = may_read(&web, &caller, &tenant).await {
        return Page::of(&problem).response();
    }
    let mut form = RunForm::default();
    form.take(&form_urlencoded::parse(&body).into_owned().collect::<Vec<_>>());
    // Names of runs hold no sign that a header could not.
    let disposition = format!("attachment; filename=\"{}\"", form.file_name());
    let headers = [(header::CONTENT_TYPE, "text/yaml; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, form.document().text().replace("\r\n", "\n")).into_response()
}

pub async fn open(State(web): State<Web>, SignedIn(caller): SignedIn, Path(tenant): Path<String>, request: Request) -> Response {
    let mut form = RunForm::default();
    let opened = async {
        may_read(&web, &caller, &tenant).await?;
        form.yaml = read(request, &mut form).await?;
        Ok::<_, Problem>(())
    };
    match opened.await {
        Ok(()) => Redirect::to(&form_with(&tenant, &form)).into_response(),
        Err(problem) => Page::of(&problem).link(&form_with(&tenant, &form), "Back to the form").response(),
    }
}

async fn may_read(web: &Web, caller: &Caller, tenant: &str) -> Result<(), Problem> {
    caller.scope(web.platform(), tenant).await?.permit(Action::RunRead).map(drop)
}

/// The text of the file; what else was typed goes into the form.
async fn read(request: Request, form: &mut RunForm) -> Result<String, Problem> {
    let broken_off = |e: MultipartError| Problem::field("file", format!("The file did not arrive: {e}.")).next("Open it again.");
    let no_file = || Problem::field("file", "No file came with the form.").next("Choose a file with settings, one “key: value” a line.");
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| no_file())?;
    let mut opened = None;
    while let Some(mut part) = parts.next_field().await.map_err(broken_off)? {
        let name = part.name().unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = part.chunk().await.map_err(broken_off)? {
            // The body has a limit of its own; of a file that is too long no more is kept than tells so.
            if bytes.len() <= FILE_BYTES {
                bytes.extend_from_slice(&chunk);
            }
        }
        if name == "file" {
            opened = Some(bytes);
        } else {
            let text = file_text(&bytes).map_err(|problem| Problem::field(&name, problem.sentence))?;
            form.take(&[(name, text)]);
        }
    }
    // A field in which no file was chosen comes empty.
    let bytes = opened.filter(|bytes| !bytes.is_empty()).ok_or_else(no_file)?;
    file_text(&bytes).map_err(|problem| Problem::field(problem.field.as_str(), problem.sentence))
}

/// The address of the form with these fields, at its text.
fn form_with(tenant: &str, form: &RunForm) -> String {
    let names = RunForm::OURS.iter().filter(|key| **key != "submission").map(|key| (format!("form[{key}]"), form.get(key)));
    let fields: Vec<_> = names.chain([("view".to_owned(), "yaml".to_owned())]).collect();
    links::with(links::run_new(&tenant), &fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
}
