//! `GET /admin/usage/set-aside.jsonl`: the calls that the database refused, one JSON object a line.

use super::problem_page::{self, Wants};
use crate::{layers::caller::SignedIn, web::Web};
use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use domain::{page::Cursor, problem::Problem};
use platform::access::Caller;

pub async fn set_aside(State(web): State<Web>, SignedIn(caller): SignedIn, headers: HeaderMap) -> Response {
    match lines(&web, &caller).await {
        Ok(lines) => {
            let head = [
                (header::CONTENT_TYPE, "application/jsonl; charset=utf-8"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"set-aside.jsonl\""),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (head, lines).into_response()
        }
        Err(problem) => problem_page::answer(&problem, Wants::of(&headers)),
    }
}

async fn lines(web: &Web, caller: &Caller) -> Result<String, Problem> {
    let scope = caller.platform_scope()?;
    let (mut lines, mut after) = (String::new(), Some(Cursor::default()));
    while let Some(from) = after {
        let page = web.platform().calls_set_aside(&scope).list(&from).await?;
        for line in page.rows.iter().filter_map(|call| serde_json::to_string(call).ok()) {
            lines.push_str(&line);
            lines.push('\n');
        }
        after = page.next;
    }
    Ok(lines)
}
