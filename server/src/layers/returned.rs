//! A form that was posted with scripts off and refused leads back to its page, which shows the problem. Leptos writes the problem into the
//! address, where anybody could write one and send the link; here it travels in a cookie, for one page and one time.

use crate::{signin::cookies::ReturnedForm, web::Web};
use app::{Returned, api::AppError};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use domain::problem::{Problem, ProblemKind};
use openidconnect::url::{Url, form_urlencoded};

/// What Leptos calls the function that refused, and its error, in the address.
const FUNCTION: &str = "__path";
const ERROR: &str = "__err";
/// Browsers keep cookies of up to 4 kB, with name and attributes.
const LONGEST: usize = 3600;

/// Around everything that the app answers.
pub async fn carry(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let https = web.config().https();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && let Some(clean) = without_error(request.uri()) {
        return Redirect::to(&clean).into_response();
    }
    let cookie = reads.then(|| ReturnedForm::read(request.headers(), https)).flatten();
    let returned = cookie.and_then(|value| for_page(&value, request.uri().path()));
    let shown = returned.is_some();
    if let Some(returned) = returned {
        request.extensions_mut().insert(returned);
    }
    let mut response = next.run(request).await;
    if shown {
        response.headers_mut().extend(ReturnedForm::clear(https).map(|c| (header::SET_COOKIE, c)));
    }
    let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
    if let Some((to, value)) = location.and_then(taken_out) {
        response.headers_mut().insert(header::LOCATION, to);
        response.headers_mut().extend(ReturnedForm::set(&value, https).map(|c| (header::SET_COOKIE, c)));
    }
    response
}

/// The address without what is not said in addresses; none when it says nothing of the kind.
fn without_error(uri: &Uri) -> Option<String> {
    let query = uri.query()?;
    let ours = |key: &str| key == FUNCTION || key == ERROR;
    form_urlencoded::parse(query.as_bytes()).any(|(key, _)| ours(&key)).then(|| {
        let rest = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| !ours(key));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
        if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) }
    })
}

/// Where Leptos leads to, without the problem, and the cookie that has it instead.
fn taken_out(location: &str) -> Option<(HeaderValue, String)> {
    let host = Url::parse("http://here").ok()?;
    let url = host.join(location).ok()?;
    let said = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let (function, error) = (said(FUNCTION)?, said(ERROR)?);
    let uri: Uri = format!("{}?{}", url.path(), url.query()?).parse().ok()?;
    let to = HeaderValue::from_str(&without_error(&uri)?).ok()?;
    let mut value = format!("{}|{function}|{error}", url.path());
    if value.len() > LONGEST {
        let problem = Problem::new(ProblemKind::Invalid, "The form was refused, with more problems than can be shown here.")
            .next("Fill it in step by step, or turn scripts on: then each field says what is wrong with it.");
        let error = URL_SAFE.encode(serde_json::to_string(&AppError(problem)).ok()?);
        value = format!("{}|{function}|{error}", url.path());
    }
    Some((to, value))
}

/// What a cookie of [`taken_out`] says, on the page that it is for.
fn for_page(cookie: &str, page: &str) -> Option<Returned> {
    let mut parts = cookie.rsplitn(3, '|');
    let (error, function, of) = (parts.next()?, parts.next()?, parts.next()?);
    (of == page).then(|| Returned { function: function.to_owned(), error: error.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_what_is_no_part_of_it_and_keeps_the_rest() {
        let clean = |uri: &'static str| without_error(&Uri::from_static(uri));
        assert_eq!(clean("/t/a/runs-new?__path=%2Frpc&name=a+b&__err=eA%3D%3D").as_deref(), Some("/t/a/runs-new?name=a+b"));
        assert_eq!(clean("/t/a?%5F_err=x").as_deref(), Some("/t/a"), "written with escapes too");
        assert_eq!(clean("/t/a?tab=log"), None);
    }

    #[test]
    fn a_problem_goes_to_its_page_only() {
        let (to, cookie) = taken_out("http://portal.example/t/a/runs-new?name=x&__path=%2Frpc%2Fruns&__err=eyJ9%3D").unwrap();
        assert_eq!(to, "/t/a/runs-new?name=x");
        assert_eq!(for_page(&cookie, "/t/a/runs-new"), Some(Returned { function: "/rpc/runs".into(), error: "eyJ9=".into() }));
        assert_eq!(for_page(&cookie, "/t/a/runs"), None);
        assert_eq!(taken_out("/t/a/runs/run_1"), None);
    }

    #[test]
    fn a_problem_that_no_cookie_can_hold_is_said_in_short() {
        let (_, cookie) = taken_out(&format!("/t/a/runs-new?__path=%2Frpc%2Fruns&__err={}", "a".repeat(5000))).unwrap();
        let error = for_page(&cookie, "/t/a/runs-new").unwrap().error;
        let said = String::from_utf8(URL_SAFE.decode(error).unwrap()).unwrap();
        assert!(cookie.len() < LONGEST && said.contains("more problems than can be shown here"), "{said}");
    }
}
