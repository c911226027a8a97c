//! What is wrong with the identity provider, in words with the next step. Asks what a sign-in would ask, with a code that nobody gave,
//! so that address, certificate, realm, client, secret and callback are all looked at before the first person comes.

use super::{
    claims::GroupRules,
    discovery::Description,
    http::{Http, HttpError},
    keys::Key,
};
use crate::finding::Finding;
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::causes;
use openidconnect::{
    HttpRequest, HttpResponse, JsonWebKeySet,
    http::{Method, StatusCode, header},
    url::{Url, form_urlencoded},
};
use serde_json::Value;

mod address;
mod own_client;
mod own_token;
mod token_file;

use address::{description, unreachable};
pub use own_client::of_the_client;
pub use token_file::of_a_token;

/// What the portal would come with.
pub struct Asked<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub client_secret: Option<&'a str>,
    /// Address to which people come back.
    pub callback: &'a str,
    /// Address to which people come back after they signed out.
    pub home: &'a str,
    pub groups: &'a GroupRules,
    /// For whom access tokens must be.
    pub audience: &'a str,
}

/// One finding a part, in the order of a sign-in; ends with the first that makes the rest unknowable.
pub async fn diagnose(http: &Http, asked: &Asked<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let description = match description(http, asked).await {
        Ok(description) => description,
        Err((what, next)) => return vec![Finding::Missing(what, next)],
    };
    found.push(Finding::Good(format!("{} answers and describes itself", asked.issuer)));
    if let Some(insecure) = insecure(asked.issuer, &description) {
        found.push(insecure);
    }
    found.push(keys(http, &description).await);
    found.extend(client(http, asked, &description).await);
    found.extend(signing_out(http, asked, &description).await);
    if let Some(secret) = asked.client_secret
        && asked.issuer.contains("/realms/")
    {
        found.extend(own_token::look(http, asked, secret, &description).await);
    }
    found.push(groups(asked.groups, &description));
    found
}

/// The part that asks with our name: client, secret, callback.
pub async fn client(http: &Http, asked: &Asked<'_>, description: &Value) -> Vec<Finding> {
    let (known, callback) = callback(http, asked, description).await;
    // Whether it is the secret can be told only of a client that is there.
    match known {
        Known::No => vec![callback],
        Known::Yes => vec![secret(http, asked, description, true).await, callback],
        Known::Perhaps => vec![secret(http, asked, description, false).await, callback],
    }
}

/// A description that was found, as it was sent.
pub fn as_sent(description: &Description) -> Value {
    serde_json::to_value(description).unwrap_or_default()
}

fn insecure(issuer: &str, description: &Value) -> Option<Finding> {
    let plain = ["authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint"]
        .into_iter()
        .find(|name| issuer.starts_with("https:") && description[*name].as_str().is_some_and(|url| url.starts_with("http:")))?;
    Some(Finding::Missing(
        format!("the provider's {plain} is plain http, so secrets would cross the network in the clear"),
        "Tell the provider its public https address (Keycloak: KC_HOSTNAME, and KC_PROXY_HEADERS behind a proxy)".into(),
    ))
}

async fn keys(http: &Http, description: &Value) -> Finding {
    let at = description["jwks_uri"].as_str().unwrap_or_default();
    let next = || "The provider must publish the keys that it signs with; look into its log".to_owned();
    match get(http, at).await {
        Ok(answer) if answer.status() == StatusCode::OK => match serde_json::from_slice::<JsonWebKeySet<Key>>(answer.body()) {
            Ok(set) if !set.keys().is_empty() => {
                Finding::Good(format!("{} signing key{}", set.keys().len(), if set.keys().len() == 1 { "" } else { "s" }))
            }
            _ => Finding::Missing(format!("{at} holds no key that can be used"), next()),
        },
        Ok(answer) => Finding::Missing(format!("the keys at {at} answer with status {}", answer.status().as_u16()), next()),
        Err(e) => Finding::Missing(format!("the keys at {at} cannot be read ({})", causes::in_words(&e)), next()),
    }
}

/// Trades a code that nobody gave. A provider looks at client and secret first, and only then finds that the code is none.
async fn secret(http: &Http, asked: &Asked<'_>, description: &Value, known: bool) -> Finding {
    let at = description["token_endpoint"].as_str().unwrap_or_default();
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", "asked-by-atelier-doctor"),
        ("redirect_uri", asked.callback),
        ("code_verifier", "asked-by-atelier-doctor-asked-by-atelier-doctor"),
    ];
    if asked.client_secret.is_none() {
        fields.push(("client_id", asked.client_id));
    }
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = HttpRequest::new(form.into_bytes());
    *request.method_mut() = Method::POST;
    let head = request.headers_mut();
    head.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/x-www-form-urlencoded"));
    head.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    if let Some(secret) = asked.client_secret {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(asked.client_id), encoded(secret))));
        if let Ok(value) = basic.parse() {
            head.insert(header::AUTHORIZATION, value);
        }
    }
    let answer = match send(http, at, request).await {
        Ok(answer) => answer,
        Err(e) => {
            let (what, next) = unreachable(at, &e);
            return Finding::Missing(what, next);
        }
    };
    let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    says_of_the_client(asked, answer.status(), said["error"].as_str().unwrap_or_default(), known)
}

/// `known`: it has shown its sign-in page to this client.
fn says_of_the_client(asked: &Asked<'_>, status: StatusCode, error: &str, known: bool) -> Finding {
    let client = asked.client_id;
    match (error, asked.client_secret) {
        ("invalid_grant", Some(_)) => Finding::Good(format!("the client “{client}” and its secret are accepted")),
        ("invalid_grant", None) => Finding::Good(format!("the client “{client}” is accepted, without a secret")),
        ("invalid_client" | "unauthorized_client", Some(_)) if known => Finding::Missing(
            format!("the provider knows the client “{client}”, and the secret is not its secret"),
            "Set ATELIER_CLIENT_SECRET to the client's secret there (Keycloak: Clients, the client, Credentials)".into(),
        ),
        ("invalid_client" | "unauthorized_client", Some(_)) => Finding::Missing(
            format!("the provider does not know the client “{client}”, or not this secret"),
            "Compare ATELIER_CLIENT_ID and ATELIER_CLIENT_SECRET with the client there (Keycloak: Clients, its Credentials tab)".into(),
        ),
        ("invalid_client" | "unauthorized_client", None) => Finding::Missing(
            format!("the provider does not know the client “{client}”, or wants its secret"),
            "Compare ATELIER_CLIENT_ID with the client there, and set ATELIER_CLIENT_SECRET (Keycloak: Clients, its Credentials tab), or make it a public client".into(),
        ),
        _ if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => Finding::Missing(
            format!("the provider does not let the client “{client}” trade codes (status {})", status.as_u16()),
            "Compare ATELIER_CLIENT_ID and ATELIER_CLIENT_SECRET with the client there".into(),
        ),
        _ => Finding::Note(format!("whether the client “{client}” is accepted cannot be told (status {}, {error:?})", status.as_u16())),
    }
}

/// Whether the provider has a client of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    Perhaps,
}

/// Asks for the sign-in page as a browser would.
async fn callback(http: &Http, asked: &Asked<'_>, description: &Value) -> (Known, Finding) {
    let Ok(mut at) = Url::parse(description["authorization_endpoint"].as_str().unwrap_or_default()) else {
        let next = "Look into the provider's settings".into();
        return (Known::Perhaps, Finding::Missing("the provider's authorization_endpoint is no address".into(), next));
    };
    at.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", asked.client_id)
        .append_pair("redirect_uri", asked.callback)
        .append_pair("scope", "openid email profile")
        .append_pair("state", "asked-by-atelier-doctor")
        .append_pair("nonce", "asked-by-atelier-doctor")
        // The S256 of nothing that anybody has.
        .append_pair("code_challenge", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")
        .append_pair("code_challenge_method", "S256");
    match get(http, at.as_str()).await {
        Ok(answer) => says_of_the_callback(asked, answer.status(), &location(&answer), &String::from_utf8_lossy(answer.body())),
        Err(e) => {
            let (what, next) = unreachable(at.origin().ascii_serialization().as_str(), &e);
            (Known::Perhaps, Finding::Missing(format!("the sign-in page: {what}"), next))
        }
    }
}

fn says_of_the_callback(asked: &Asked<'_>, status: StatusCode, location: &str, page: &str) -> (Known, Finding) {
    let (callback, client) = (asked.callback, asked.client_id);
    let url = Url::parse(location).ok().filter(|_| location.starts_with(callback));
    let said = |what: &str| url.as_ref()?.query_pairs().find(|(name, _)| name == what).map(|(_, value)| value.into_owned());
    if let Some(error) = said("error") {
        let description = said("error_description").unwrap_or_default();
        return (Known::Yes, refused_by_name(client, &error, &description));
    }
    if status.is_success() || status.is_redirection() {
        return (Known::Yes, Finding::Good(format!("people are sent back to {callback}")));
    }
    // In Keycloak's words.
    if page.contains("Client not found") {
        let next =
            "Compare ATELIER_CLIENT_ID with the client's id there, capitals count (Keycloak: Clients, in the realm of ATELIER_ISSUER)";
        return (Known::No, Finding::Missing(format!("the provider has no client “{client}”"), next.into()));
    }
    if page.contains("Client disabled") || page.contains("Client is not enabled") {
        let next = "Enable it there (Keycloak: Clients, the client, the switch at the top)";
        return (Known::No, Finding::Missing(format!("the client “{client}” is disabled at the provider"), next.into()));
    }
    if status.is_client_error() {
        let next = format!("Register {callback} as redirect URI of the client “{client}” there; it follows from ATELIER_PUBLIC_URL");
        let what = format!("the provider refuses to send people back to {callback} (status {})", status.as_u16());
        return (Known::Perhaps, Finding::Missing(what, next));
    }
    (Known::Perhaps, Finding::Note(format!("whether people would be sent back to {callback} cannot be told (status {})", status.as_u16())))
}

/// The provider knows client and callback, and answers a sign-in with an error.
fn refused_by_name(client: &str, error: &str, description: &str) -> Finding {
    let words = description.to_ascii_lowercase().replace('_', " ");
    let (what, next) = match error {
        _ if words.contains("code challenge") || words.contains("pkce") => (
            "does not take PKCE with S256 from",
            "Set the method of the client's code challenge to S256 there (Keycloak: Clients, the client, Capability config, PKCE Method)",
        ),
        "invalid_scope" => (
            "does not give the scopes openid, email and profile to",
            "Add them to the client's default scopes there (Keycloak: Clients, the client, Client scopes)",
        ),
        "unauthorized_client" => (
            "does not let people sign in with a code at",
            "Turn the standard flow (authorization code) of the client on there (Keycloak: Clients, the client, Capability config)",
        ),
        _ => (
            "refuses a sign-in of",
            "Look at the client's settings there: standard flow (authorization code) on, PKCE with S256 allowed, scopes email and profile",
        ),
    };
    let said = if description.is_empty() { error.to_owned() } else { format!("{error}: {description}") };
    Finding::Missing(format!("the provider {what} the client “{client}” ({said})"), next.into())
}

/// Asks for the page of signing out as a browser would that nobody is signed in with.
async fn signing_out(http: &Http, asked: &Asked<'_>, description: &Value) -> Option<Finding> {
    let home = asked.home;
    let Some(mut at) = description["end_session_endpoint"].as_str().and_then(|at| Url::parse(at).ok()) else {
        return Some(Finding::Note("the provider has no address for signing out there; people sign out of the portal only".into()));
    };
    at.query_pairs_mut().append_pair("client_id", asked.client_id).append_pair("post_logout_redirect_uri", home);
    let answer = get(http, at.as_str()).await.ok()?;
    if answer.status().is_client_error() && String::from_utf8_lossy(answer.body()).to_ascii_lowercase().contains("redirect") {
        let next = format!("Register {home} as post logout redirect URI of the client “{}” there", asked.client_id);
        return Some(Finding::Missing(format!("the provider refuses to send people back to {home} after they signed out"), next));
    }
    (answer.status().is_success() || answer.status().is_redirection())
        .then(|| Finding::Good(format!("people come back to {home} after they signed out")))
}

/// A description may list the claim; tokens decide, and the portal has none here.
fn groups(rules: &GroupRules, description: &Value) -> Finding {
    let first = rules.claim.split('.').next().unwrap_or_default();
    let listed = texts(description, "claims_supported").iter().any(|claim| *claim == rules.claim || *claim == first);
    if listed {
        return Finding::Good(format!("the provider lists the claim “{}”", rules.claim));
    }
    Finding::Note(format!(
        "whether ID tokens carry the claim “{}” shows only in one: save one as a file (Keycloak: Clients, the client, Client scopes, Evaluate, Generated ID token) and give it with --id-token FILE",
        rules.claim
    ))
}

fn texts<'a>(description: &'a Value, name: &str) -> Vec<&'a str> {
    description[name].as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn location(answer: &HttpResponse) -> String {
    answer.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

async fn get(http: &Http, url: &str) -> Result<HttpResponse, HttpError> {
    send(http, url, HttpRequest::new(Vec::new())).await
}

async fn send(http: &Http, url: &str, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
    *request.uri_mut() = url.parse().map_err(openidconnect::http::Error::from)?;
    http.send(request).await
}

#[cfg(test)]
mod tests;
