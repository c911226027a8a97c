//! `POST /t/{tenant}/datasets-upload`: a form with the file as its last field, streamed into the store while it arrives.
//! With scripts the answer is JSON, without them a redirect to the dataset, or a page that says what is wrong.

use super::problem_page::{self, Page, Wants};
use crate::{layers::caller::SignedIn, listener::BrokenOff, web::Web};
use axum::{
    Json,
    extract::{
        FromRequest, Multipart, Path, Request, State,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use domain::{
    causes::causes,
    dataset::{DatasetVersion, Documentation, PersonalData},
    problem::{Problem, ProblemKind},
};
use futures::{Stream, stream};
use platform::{access::Caller, datasets::NewUpload};
use std::{io, time::Duration};

/// How much of a refused upload is still read, so that the browser hears why instead of a broken connection.
const READ_ON: u64 = 256 * 1024 * 1024;
/// Longest text field of the form.
const TEXT_BYTES: usize = 64 * 1024;

pub async fn upload(State(web): State<Web>, SignedIn(caller): SignedIn, Path(tenant): Path<String>, request: Request) -> Response {
    let headers = request.headers().clone();
    let wants = Wants::of(&headers);
    let mut form = match Multipart::from_request(request, &()).await {
        Ok(form) => form,
        Err(e) => {
            return refused(
                &Problem::new(ProblemKind::Invalid, format!("This is not an upload form: {e}.")).next("Use the upload page."),
                wants,
                &tenant,
                "",
            );
        }
    };
    let mut fields = Fields::default();
    match receive(&web, &caller, &tenant, &headers, &mut form, &mut fields).await {
        Ok(version) => {
            let href = app::links::dataset_version(&version.tenant, &version.dataset_name, version.number);
            match wants {
                Wants::Json | Wants::Api(_) => Json(serde_json::json!({ "href": href })).into_response(),
                Wants::Html => Redirect::to(&href).into_response(),
            }
        }
        Err(problem) => {
            read_on(form).await;
            refused(&problem, wants, &tenant, &fields.name)
        }
    }
}

fn refused(problem: &Problem, wants: Wants, tenant: &str, name: &str) -> Response {
    match wants {
        Wants::Json | Wants::Api(_) => problem_page::answer(problem, wants),
        // A browser cannot give the file back to a form; the name it can.
        Wants::Html => Page::of(problem).link(&app::links::dataset_new(&tenant, name), "Back to the upload").response(),
    }
}

#[derive(Default)]
struct Fields {
    name: String,
    held_out_percent: Option<String>,
    tokenizer: String,
    documentation: Documentation,
}

impl Fields {
    fn take(&mut self, field: &str, text: String) -> Result<(), Problem> {
        let text = text.trim().to_owned();
        match field {
            "name" => self.name = text,
            "held_out_percent" => self.held_out_percent = Some(text).filter(|t| !t.is_empty()),
            "tokenizer" => self.tokenizer = text,
            "source" => self.documentation.source = text,
            "licence" => self.documentation.licence = text,
            "personal_data" => {
                self.documentation.personal_data = match text.as_str() {
                    "" => PersonalData::Unknown,
                    word => PersonalData::from_word(word)
                        .ok_or_else(|| Problem::field("personal_data", format!("“{word}” is not one of the options.")))?,
                }
            }
            "legal_basis" => self.documentation.legal_basis = text,
            "languages" => {
                self.documentation.languages = text.split([',', ' ', ';']).filter(|t| !t.is_empty()).map(str::to_owned).collect()
            }
            "notes" => self.documentation.notes = text,
            // A form of another day may have more; what is not known is not needed.
            _ => {}
        }
        Ok(())
    }

    fn into_upload(self, file_name: String, expected_bytes: Option<u64>) -> Result<NewUpload, Problem> {
        let held_out_percent = match self.held_out_percent.as_deref() {
            None => 10,
            Some(text) => text.trim_end_matches(['%', ' ']).parse().map_err(|_| {
                Problem::invalid(vec![
                    domain::problem::FieldProblem::new("held_out_percent", format!("“{text}” is not a whole percentage.")).suggesting("10"),
                ])
            })?,
        };
        let tokenizer = Some(self.tokenizer).filter(|t| !t.is_empty());
        Ok(NewUpload { name: self.name, file_name, held_out_percent, tokenizer, documentation: self.documentation, expected_bytes })
    }
}

async fn receive(
    web: &Web,
    caller: &Caller,
    tenant: &str,
    headers: &HeaderMap,
    form: &mut Multipart,
    fields: &mut Fields,
) -> Result<DatasetVersion, Problem> {
    // Before a byte of the file: whoever may not upload should not have to send it all.
    let scope = caller.scope(web.platform(), tenant).await?;
    scope.permit(domain::policy::Action::DatasetWrite)?;
    while let Some(mut field) = next(form).await? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            let text = text_of(&name, &mut field).await?;
            fields.take(&name, text)?;
            continue;
        }
        let file_name = field.file_name().unwrap_or_default().to_owned();
        // The form around the file is small beside it; a little too much is expected, never too little.
        let expected = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let new = std::mem::take(fields);
        fields.name.clone_from(&new.name);
        return web.platform().datasets(&scope).upload(new.into_upload(file_name, expected)?, Box::pin(chunks(field))).await;
    }
    Err(Problem::field("file", "No file came with the form.").next("Choose a file with one conversation a line (JSONL), or a JSON list."))
}

async fn next(form: &mut Multipart) -> Result<Option<Field<'_>>, Problem> {
    form.next_field().await.map_err(|e| broken_off(&why(&e)))
}

async fn text_of(name: &str, field: &mut Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|e| broken_off(&why(&e)))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_BYTES {
            return Err(Problem::field(name, "That is too long."));
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| Problem::field(name, "That is not text in UTF-8."))?;
    domain::text::check(name, &text)?;
    Ok(text)
}

/// In the words of what ended the body, where that is known: the listener's limit of silence, say.
fn why(error: &MultipartError) -> String {
    let known = causes(error).find_map(|e| e.downcast_ref::<BrokenOff>());
    known.map_or_else(|| error.to_string(), BrokenOff::to_string)
}

fn broken_off(why: &str) -> Problem {
    Problem::new(ProblemKind::Invalid, format!("The upload was interrupted: {why}.")).next("Nothing was kept. Send it again.")
}

/// The file's bytes as they arrive.
fn chunks(field: Field<'_>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(field), |field| async {
        let mut field = field?;
        match field.chunk().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(field))),
            Ok(None) => None,
            Err(e) => Some((Err(io::Error::other(why(&e))), None)),
        }
    })
}

/// Reads what is still coming, within reason: a browser that is cut off shows its own error instead of ours.
async fn read_on(mut form: Multipart) {
    let mut read = 0u64;
    let rest = async {
        while let Ok(Some(mut field)) = form.next_field().await {
            while let Ok(Some(chunk)) = field.chunk().await {
                read += chunk.len() as u64;
                if read > READ_ON {
                    return;
                }
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use futures::StreamExt;

    async fn all(stream: impl Stream<Item = io::Result<Bytes>>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut stream = Box::pin(stream);
        while let Some(chunk) = stream.next().await {
            out.extend_from_slice(&chunk?);
        }
        Ok(out)
    }

    async fn form(body: &'static str) -> Multipart {
        let request =
            axum::http::Request::builder().header(header::CONTENT_TYPE, "multipart/form-data; boundary=B").body(Body::from(body)).unwrap();
        Multipart::from_request(request, &()).await.unwrap()
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_is_an_error_and_not_a_short_file() {
        let mut whole = form("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nrow\r\n--B--\r\n").await;
        assert_eq!(all(chunks(whole.next_field().await.unwrap().unwrap())).await.unwrap(), b"row");
        let mut cut = form("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nrow").await;
        assert!(all(chunks(cut.next_field().await.unwrap().unwrap())).await.is_err());
    }

    #[test]
    fn fields_are_read_as_people_write_them() {
        let mut fields = Fields::default();
        for (name, text) in
            [("name", " facts "), ("languages", "en, pl;de"), ("held_out_percent", "15 %"), ("personal_data", "none"), ("future", "x")]
        {
            fields.take(name, text.into()).unwrap();
        }
        assert_eq!(fields.documentation.languages, ["en", "pl", "de"]);
        let upload = fields.into_upload("f.jsonl".into(), None).unwrap();
        assert_eq!((upload.name.as_str(), upload.held_out_percent, upload.tokenizer), ("facts", 15, None));
        let wrong = Fields::default().take("personal_data", "maybe".into()).unwrap_err();
        assert_eq!(wrong.fields[0].field, "personal_data");
    }
}
