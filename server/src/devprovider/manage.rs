//! `/dev-idp/people`: what an administrator of an identity provider does, for trying out what the portal makes of it.

use super::{Provider, people};
use crate::http::problem_page::{document, escape};
use axum::{
    extract::{Form, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};

pub async fn page(State(provider): Provider) -> Response {
    let changes = provider.accounts.changes();
    let people: String = people::PEOPLE
        .iter()
        .map(|p| {
            let may = if changes.disabled.contains(p.login) { "" } else { " checked" };
            format!(
                "<form method=\"post\" action=\"/dev-idp/people\" class=\"form\"><h2>{name}</h2><input type=\"hidden\" name=\"user\" value=\"{login}\">\
                 <div class=\"field full\"><label for=\"groups-{login}\">Groups, with commas</label><span class=\"control\"><input id=\"groups-{login}\" name=\"groups\" value=\"{groups}\"></span></div>\
                 <div class=\"field full\"><label class=\"check\"><input type=\"checkbox\" name=\"enabled\" value=\"1\"{may}><span>May sign in</span></label></div>\
                 <p><button class=\"btn\" type=\"submit\">Save {name}</button></p></form>",
                name = escape(p.name),
                login = p.login,
                groups = escape(&provider.accounts.groups(p).join(", ")),
            )
        })
        .collect();
    let order = if changes.out_of_order { "" } else { " checked" };
    let body = format!(
        "<h1>People of the development provider</h1><p class=\"muted\">The portal hears of a change when it asks again, which it does every few minutes.</p>{people}\
         <form method=\"post\" action=\"/dev-idp/people\" class=\"form\"><h2>The provider itself</h2>\
         <div class=\"field full\"><label class=\"check\"><input type=\"checkbox\" name=\"enabled\" value=\"1\"{order}><span>Answers; without this it gives no tokens (503)</span></label></div>\
         <p><button class=\"btn\" type=\"submit\">Save provider</button></p></form>"
    );
    document("People of the development provider", &body).into_response()
}

#[derive(serde::Deserialize)]
pub struct Change {
    /// Empty: the provider itself.
    #[serde(default)]
    user: String,
    /// As a checkbox sends it.
    enabled: Option<String>,
    /// Missing: the groups stay.
    groups: Option<String>,
}

pub async fn change(State(provider): Provider, headers: HeaderMap, Form(change): Form<Change>) -> Response {
    let from = headers.get("sec-fetch-site").and_then(|v| v.to_str().ok());
    if from.is_some_and(|site| site != "same-origin") {
        return (StatusCode::FORBIDDEN, "Another site sent this.").into_response();
    }
    let mut changes = provider.accounts.changes();
    if change.user.is_empty() {
        changes.out_of_order = change.enabled.is_none();
    } else if let Some(person) = people::find(&change.user) {
        if change.enabled.is_some() {
            changes.disabled.remove(person.login);
        } else {
            changes.disabled.insert(person.login.to_owned());
        }
        if let Some(groups) = change.groups {
            let groups = groups.split(',').map(|g| g.trim().to_owned()).filter(|g| !g.is_empty()).collect();
            changes.groups.insert(person.login.to_owned(), groups);
        }
    } else {
        return (StatusCode::NOT_FOUND, "There is no such person.").into_response();
    }
    match provider.accounts.save(&changes) {
        Ok(()) => Redirect::to("/dev-idp/people").into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("The change could not be written: {e}.")).into_response(),
    }
}
