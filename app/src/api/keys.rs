//! API keys: the list, making one, revoking one.

use super::{AppError, Wire};
#[cfg(feature = "ssr")]
use domain::page::Cursor;
use domain::{
    ids::PersonId,
    key::{ApiKey, CreatedKey, Limits, NewKey},
    page::Page,
    problem::{FieldProblem, Problem},
    time::Timestamp,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyList {
    /// Newest first, revoked ones included.
    pub keys: Page<ApiKey>,
    /// There is a key, whatever the filter.
    pub any: bool,
    /// The key that a question on the page is about.
    pub asked: Option<ApiKey>,
    /// Service keys that nobody answers for: the first page of them.
    pub unanswered: Vec<ApiKey>,
    /// The newest of one's own keys that is neither revoked nor over.
    pub own: Option<ApiKey>,
    pub base_url: String,
    pub me: PersonId,
    pub now: Timestamp,
    pub write_refused: Option<String>,
    /// Why one may not revoke the keys of others.
    pub revoke_any_refused: Option<String>,
    /// One may say who answers for a service key.
    pub may_name: bool,
    /// Who may answer for the key that is asked about: for those who may name somebody, else empty. The first page of them.
    pub members: Vec<Choice>,
    pub more_members: bool,
}

/// A member as forms offer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub id: PersonId,
    pub name: String,
}

/// `text` looks in name, owner, models and the key's beginning; `state` is `working`, or anything for all; `after`: see `domain::page::Cursor`;
/// `asked` is the id of the key that a question is about, or empty.
#[server(prefix = "/rpc", endpoint = "keys/list", output = Wire)]
pub async fn list_keys(
    tenant: String,
    #[server(default)] text: String,
    #[server(default)] state: String,
    #[server(default)] after: String,
    #[server(default)] asked: String,
) -> Result<KeyList, AppError> {
    use domain::policy::Action;
    let (platform, scope) = super::scope(&tenant).await?;
    let keys = platform.keys(&scope);
    let filtered = !text.trim().is_empty() || state == "working" || !after.is_empty();
    let filter = domain::filter::KeyFilter { text, working: state == "working" };
    let page = keys.list(&filter, &Cursor::from_text(after)).await?;
    let any = !page.rows.is_empty() || filtered && !keys.list(&Default::default(), &Cursor::default()).await?.rows.is_empty();
    // One that is gone asks nothing.
    let asked = match asked.parse() {
        Ok(id) => keys.get(id).await.ok(),
        Err(_) => None,
    };
    let (members, more_members) = match &asked {
        Some(_) => responsible_choices(&platform, &scope, "").await?,
        None => (Vec::new(), false),
    };
    Ok(KeyList {
        keys: page,
        any,
        asked,
        unanswered: keys.unanswered().await?.rows,
        own: keys.own().await?,
        base_url: super::base_url(scope.tenant().name.as_str()),
        me: scope.person().id,
        now: platform.now(),
        write_refused: scope.why_not(Action::KeyWrite),
        revoke_any_refused: scope.why_not(Action::KeyRevokeAny),
        members,
        more_members,
        may_name: scope.may(Action::ServiceKeyWrite),
    })
}

/// One page of the members, by name, oneself before them; and whether there are more.
#[cfg(feature = "ssr")]
async fn responsible_choices(
    platform: &platform::Platform,
    scope: &platform::access::Scope,
    text: &str,
) -> Result<(Vec<Choice>, bool), Problem> {
    if !scope.may(domain::policy::Action::ServiceKeyWrite) {
        return Ok((Vec::new(), false));
    }
    let page = platform.members(scope).list(text, &Cursor::default()).await?;
    let more = page.next.is_some();
    let mut choices: Vec<Choice> = page.rows.into_iter().map(|m| Choice { id: m.person, name: m.person_name }).collect();
    let me = scope.person();
    if text.is_empty()
        && choices.iter().all(|c| c.id != me.id)
        && let Ok(member) = platform.members(scope).get(me.id).await
    {
        choices.insert(0, Choice { id: member.person, name: member.person_name });
    }
    Ok((choices, more))
}

/// Members with this text in their name or address, for forms: at most a page of them.
#[server(prefix = "/rpc", endpoint = "keys/members", output = Wire)]
pub async fn find_members(tenant: String, #[server(default)] text: String) -> Result<Vec<Choice>, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    scope.permit(domain::policy::Action::ServiceKeyWrite)?;
    Ok(responsible_choices(&platform, &scope, &text).await?.0)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyChoices {
    /// Model ids that a key can be kept to: those that are served, and the first page of the names of models.
    pub models: Vec<String>,
    pub more_models: bool,
    pub base_url: String,
    pub me: PersonId,
    /// Who may answer for a service key.
    pub members: Vec<Choice>,
    pub more_members: bool,
    pub service_refused: Option<String>,
}

#[server(prefix = "/rpc", endpoint = "keys/choices", output = Wire)]
pub async fn get_key_choices(tenant: String) -> Result<KeyChoices, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    scope.permit(domain::policy::Action::KeyWrite)?;
    let names = platform.models(&scope).names("").await?;
    let more_models = names.next.is_some();
    let mut models: Vec<String> = names.rows.into_iter().map(String::from).collect();
    let (served, _) = platform.endpoints(&scope).callable().await?;
    models.extend(served.endpoints.iter().flat_map(|e| served.model_ids(e)));
    models.sort();
    models.dedup();
    let (members, more_members) = responsible_choices(&platform, &scope, "").await?;
    Ok(KeyChoices {
        models,
        more_models,
        base_url: super::base_url(scope.tenant().name.as_str()),
        me: scope.person().id,
        members,
        more_members,
        service_refused: scope.why_not(domain::policy::Action::ServiceKeyWrite),
    })
}

/// The form as it is sent: everything text, so that what was typed can be shown again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyForm {
    #[serde(default)]
    pub label: String,
    /// `me`, or `tenant` for a service key; empty = `me`.
    #[serde(default)]
    pub whose: String,
    /// Id of the member who answers for a service key.
    #[serde(default)]
    pub responsible: String,
    /// `all` or `some`.
    #[serde(default)]
    pub may: String,
    #[serde(default)]
    pub models: Vec<String>,
    /// Further models by their names, with commas.
    #[serde(default)]
    pub others: String,
    #[serde(default)]
    pub requests_per_minute: String,
    #[serde(default)]
    pub tokens_per_minute: String,
    #[serde(default)]
    pub concurrent_calls: String,
    /// Days; empty = never.
    #[serde(default)]
    pub expires_in_days: String,
}

impl KeyForm {
    /// What the form asks for, or every field that cannot be read.
    pub fn read(&self) -> Result<NewKey, Problem> {
        let mut wrong = Vec::new();
        let mut number = |field: &str, text: &str| {
            let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '\u{a0}').collect();
            if digits.is_empty() {
                return None;
            }
            let sentence = || format!("“{}” is not a whole number. Write 1 or more, or nothing.", text.trim());
            digits.parse::<u32>().map_err(|_| wrong.push(FieldProblem::new(field, sentence()))).ok()
        };
        let requests_per_minute = number("requests_per_minute", &self.requests_per_minute);
        let tokens_per_minute = number("tokens_per_minute", &self.tokens_per_minute);
        let concurrent_calls = number("concurrent_calls", &self.concurrent_calls);
        let expires_in_days = number("expires_in_days", &self.expires_in_days);
        let ticked: Vec<String> = self.models.iter().cloned().chain(super::entries(&self.others).map(str::to_owned)).collect();
        let models = (self.may == "some").then(|| ticked.clone());
        if models.as_ref().is_some_and(Vec::is_empty) {
            wrong.push(FieldProblem::new("models", "Choose at least one model, or allow all of them."));
        }
        // Ticked, but the other choice stands: a key that may do more than was meant is worse than a question.
        if models.is_none() && !ticked.is_empty() {
            wrong.push(FieldProblem::new(
                "models",
                "Models are ticked although every model is allowed. Choose “Only these”, or untick them.",
            ));
        }
        let responsible = match self.whose.as_str() {
            "tenant" => {
                let member = self.responsible.parse::<PersonId>();
                member.map_err(|_| wrong.push(FieldProblem::new("responsible", "Choose the responsible member."))).ok()
            }
            _ => None,
        };
        let key = NewKey {
            label: self.label.trim().to_owned(),
            models,
            limits: Limits { requests_per_minute, tokens_per_minute, concurrent_calls },
            expires_in_days,
            responsible,
        };
        wrong.extend(key.check());
        if wrong.is_empty() { Ok(key) } else { Err(Problem::invalid(wrong)) }
    }
}

/// Makes a key. The answer is the only place where the secret is ever seen.
#[server(prefix = "/rpc", endpoint = "keys/create", output = Wire)]
pub async fn key_create(tenant: String, form: KeyForm) -> Result<CreatedKey, AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    Ok(platform.keys(&scope).create(form.read()?).await?)
}

#[server(prefix = "/rpc", endpoint = "keys/revoke", output = Wire)]
pub async fn key_revoke(tenant: String, key: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    let key = key.parse().map_err(|_| Problem::not_found("The key"))?;
    platform.keys(&scope).revoke(key).await?;
    super::redirect(&crate::links::keys(&scope.tenant().name));
    Ok(())
}

/// Says which member answers for a service key from now on.
#[server(prefix = "/rpc", endpoint = "keys/responsible", output = Wire)]
pub async fn key_responsible(tenant: String, key: String, person: String) -> Result<(), AppError> {
    let (platform, scope) = super::scope(&tenant).await?;
    scope.permit(domain::policy::Action::ServiceKeyWrite)?;
    let key = key.parse().map_err(|_| Problem::not_found("The key"))?;
    platform.keys(&scope).set_responsible(key, super::members::read(&person)?).await?;
    super::redirect(&crate::links::keys(&scope.tenant().name));
    Ok(())
}

/// The answer to a form that was posted to the page itself, with scripts off: given to the page through the context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posted {
    pub form: KeyForm,
    pub answer: Result<CreatedKey, AppError>,
}

/// Handles `POST /t/{tenant}/keys-new`: reads the form (URL-encoded pairs), makes the key, and says what the page shall show.
#[cfg(feature = "ssr")]
pub async fn posted(
    platform: &platform::Platform,
    caller: &platform::access::Caller,
    tenant: &str,
    pairs: Vec<(String, String)>,
) -> Posted {
    let mut form = KeyForm::default();
    for (name, value) in pairs {
        match name.as_str() {
            "form[label]" => form.label = value,
            "form[whose]" => form.whose = value,
            "form[responsible]" => form.responsible = value,
            "form[may]" => form.may = value,
            "form[others]" => form.others = value,
            "form[requests_per_minute]" => form.requests_per_minute = value,
            "form[tokens_per_minute]" => form.tokens_per_minute = value,
            "form[concurrent_calls]" => form.concurrent_calls = value,
            "form[expires_in_days]" => form.expires_in_days = value,
            name if name.starts_with("form[models]") => form.models.push(value),
            _ => {}
        }
    }
    let answer = async {
        let scope = caller.scope(platform, tenant).await?;
        platform.keys(&scope).create(form.read()?).await
    };
    let answer = answer.await.map_err(AppError);
    Posted { form, answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> KeyForm {
        KeyForm { label: " help desk ".into(), may: "all".into(), expires_in_days: "90".into(), ..KeyForm::default() }
    }

    #[test]
    fn an_empty_limit_is_no_limit_and_blanks_between_digits_are_fine() {
        let key = KeyForm { tokens_per_minute: "20 000".into(), concurrent_calls: "4".into(), ..form() }.read().unwrap();
        assert_eq!((key.label.as_str(), key.models, key.expires_in_days), ("help desk", None, Some(90)));
        assert_eq!(key.limits, Limits { tokens_per_minute: Some(20_000), concurrent_calls: Some(4), ..Limits::default() });
    }

    #[test]
    fn a_service_key_needs_a_member_who_answers_for_it() {
        let service = |responsible: &str| KeyForm { whose: "tenant".into(), responsible: responsible.into(), ..form() }.read();
        assert_eq!(service("").unwrap_err().fields[0].field, "responsible");
        let person: PersonId = "per_01a1fcc5a9d9720b954eeb427061700e".parse().unwrap();
        assert_eq!(service(&person.to_string()).unwrap().responsible, Some(person));
        assert_eq!(KeyForm { responsible: person.to_string(), ..form() }.read().unwrap().responsible, None, "one's own, whoever is chosen");
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let problem =
            KeyForm { label: String::new(), may: "some".into(), requests_per_minute: "many".into(), expires_in_days: "0".into(), ..form() }
                .read()
                .unwrap_err();
        let fields: Vec<_> = problem.fields.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["requests_per_minute", "models", "label", "expires_in_days"]);
    }
}
