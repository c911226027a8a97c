//! Signing in and out at the development provider: two plain pages without scripts.

use super::{Grant, Provider, is_on_this_machine, people};
use crate::http::problem_page::{document, escape};
use axum::{
    extract::{Form, Query, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use openidconnect::url::Url;
use std::time::Instant;

/// What a client asks for. Every field may be missing: then it is refused in words.
#[derive(serde::Deserialize, Default)]
pub struct Request {
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
}

impl Request {
    /// A wrong client or address is told so here and never redirected to.
    fn check(&self, client_id: &str) -> Result<(), &'static str> {
        if self.client_id != client_id {
            return Err("The development provider does not know this client.");
        }
        if !is_on_this_machine(&self.redirect_uri, "/auth/callback") {
            return Err("The development provider returns to a portal on this machine only.");
        }
        if self.response_type != "code" || !self.scope.split(' ').any(|s| s == "openid") {
            return Err("The development provider knows only the code flow of OpenID Connect.");
        }
        if self.code_challenge.is_empty() || self.code_challenge_method != "S256" {
            return Err("The development provider wants PKCE with S256.");
        }
        Ok(())
    }

    fn hidden_fields(&self) -> String {
        [
            ("response_type", &self.response_type),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &self.state),
            ("scope", &self.scope),
            ("nonce", &self.nonce),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
        ]
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value)))
        .collect()
    }
}

pub async fn ask(State(provider): Provider, Query(request): Query<Request>) -> Response {
    match request.check(&provider.client_id) {
        Ok(()) => form(&request, people::PEOPLE[0].login, None),
        Err(why) => refused(why),
    }
}

#[derive(serde::Deserialize)]
pub struct SignIn {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(flatten)]
    request: Request,
}

pub async fn sign_in(State(provider): Provider, Form(sent): Form<SignIn>) -> Response {
    let request = sent.request;
    if let Err(why) = request.check(&provider.client_id) {
        return refused(why);
    }
    let Some(person) = people::find(&sent.user).filter(|_| sent.password == people::PASSWORD) else {
        return form(&request, &sent.user, Some("That is not the password. On a development machine everybody's password is “atelier”."));
    };
    if provider.accounts.active(person.login).is_none() {
        return form(&request, person.login, Some("This person is disabled; /dev-idp/people lets them in again."));
    }
    let Ok(mut to) = Url::parse(&request.redirect_uri) else { return refused("The address to return to is no URL.") };
    let nonce = Some(request.nonce).filter(|n| !n.is_empty());
    let code =
        provider.keep(Grant { redirect_uri: request.redirect_uri, challenge: request.code_challenge, nonce, person, made: Instant::now() });
    to.query_pairs_mut().append_pair("code", &code).append_pair("state", &request.state).append_pair("iss", &provider.issuer);
    Redirect::to(to.as_str()).into_response()
}

fn form(request: &Request, chosen: &str, wrong: Option<&str>) -> Response {
    let options: String = people::PEOPLE
        .iter()
        .map(|p| {
            let selected = if p.login == chosen { " selected" } else { "" };
            format!("<option value=\"{}\"{selected}>{}, {}</option>", p.login, escape(p.name), escape(p.part))
        })
        .collect();
    let (error, described) = match wrong {
        Some(sentence) => (
            format!("<p id=\"wrong\" class=\"error\" role=\"alert\">{}</p>", escape(sentence)),
            " aria-describedby=\"wrong\" aria-invalid=\"true\"",
        ),
        None => (String::new(), ""),
    };
    let body = format!(
        "<h1>Development sign-in</h1><p class=\"muted\">These people exist on this machine only. Everybody's password is <span class=\"mono\">{}</span>.</p>\
         <form method=\"post\" action=\"/dev-idp/authorize\" class=\"form\">{}\
         <div class=\"field full\"><label for=\"user\">Person</label><span class=\"control\"><select id=\"user\" name=\"user\">{options}</select></span></div>\
         <div class=\"field full\"><label for=\"password\">Password</label><span class=\"control\"><input id=\"password\" name=\"password\" type=\"password\" required autocomplete=\"current-password\"{described}></span>{error}</div>\
         <p><button class=\"btn primary\" type=\"submit\">Sign in</button></p></form>",
        people::PASSWORD,
        request.hidden_fields()
    );
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut response = (status, document("Development sign-in", &body)).into_response();
    // After the form the browser is sent to the portal, which may have another port (a second replica).
    let policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                  form-action 'self' http://127.0.0.1:* http://localhost:*; frame-ancestors 'none'; base-uri 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

#[derive(serde::Deserialize)]
pub struct SignOut {
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

/// This provider remembers nobody between two sign-ins, so there is nothing to end: back to the portal.
pub async fn sign_out(Query(asked): Query<SignOut>) -> Response {
    let to = asked.post_logout_redirect_uri.filter(|to| is_on_this_machine(to, "/login")).and_then(|to| Url::parse(&to).ok());
    match to {
        Some(mut to) => {
            if let Some(state) = &asked.state {
                to.query_pairs_mut().append_pair("state", state);
            }
            Redirect::to(to.as_str()).into_response()
        }
        None => document("Signed out", "<h1>You are signed out</h1>").into_response(),
    }
}

fn refused(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, document("Sign-in refused", &format!("<h1>Sign-in refused</h1><p>{}</p>", escape(why)))).into_response()
}
