//! The first question: is there a provider at the issuer's address, does it call itself so, and can it be believed?

use super::{Asked, get, location, texts};
use crate::signin::{
    algorithms::ALGORITHMS,
    discovery::Description,
    http::{Http, HttpError},
};
use domain::causes;
use openidconnect::{HttpResponse, http::StatusCode, url::Url};
use serde_json::Value;

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What is wrong, and the next step.
pub type Wrong = (String, String);

/// What the provider says of itself.
pub async fn description(http: &Http, asked: &Asked<'_>) -> Result<Value, Wrong> {
    let issuer = asked.issuer;
    if let Some(cut) = issuer.trim_end_matches('/').strip_suffix(WELL_KNOWN) {
        return Err((format!("{issuer} is the address of the description and not the issuer"), format!("Set ATELIER_ISSUER={cut}")));
    }
    let answer = match get(http, &described_at(issuer)).await {
        Ok(answer) => answer,
        Err(e) => return Err(unreachable(issuer, &e)),
    };
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            let to = location(&answer);
            let next = match to.strip_suffix(WELL_KNOWN) {
                Some(issuer) => format!("Set ATELIER_ISSUER={issuer}"),
                None => "Set ATELIER_ISSUER to the provider's own address".into(),
            };
            return Err((format!("{issuer} leads to {to}, and the portal follows no redirects"), next));
        }
        StatusCode::NOT_FOUND => return Err(elsewhere(http, issuer, &answer).await),
        status => {
            let next = "Look into the provider's log; the portal asks again at each sign-in.";
            return Err((format!("{} answers with status {}", described_at(issuer), status.as_u16()), next.into()));
        }
    }
    let Ok(description) = serde_json::from_slice::<Value>(answer.body()) else {
        return Err((
            format!("{} answers with something that is no description (no JSON)", described_at(issuer)),
            "ATELIER_ISSUER must be the issuer's address; Keycloak's ends in /realms/NAME".into(),
        ));
    };
    names_itself(issuer, &description)?;
    if serde_json::from_value::<Description>(description.clone()).is_err() {
        return Err((
            format!("the description at {} lacks what OpenID Connect Discovery asks for", described_at(issuer)),
            "It must name authorization_endpoint, token_endpoint and jwks_uri; is this an OpenID Connect provider?".into(),
        ));
    }
    let algorithms: Vec<&str> = texts(&description, "id_token_signing_alg_values_supported");
    let ours: Vec<String> = ALGORITHMS.iter().filter_map(|a| serde_json::to_value(a).ok()?.as_str().map(str::to_owned)).collect();
    if !algorithms.iter().any(|a| ours.iter().any(|o| o == a)) {
        return Err((
            format!("{issuer} signs ID tokens with {} only, which the portal does not believe", algorithms.join(", ")),
            format!("Let it sign with one of {}", ours.join(", ")),
        ));
    }
    Ok(description)
}

fn described_at(issuer: &str) -> String {
    format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'))
}

/// The provider must call itself as we call it, to the letter.
pub fn names_itself(issuer: &str, description: &Value) -> Result<(), Wrong> {
    let said = description["issuer"].as_str().unwrap_or_default();
    if said == issuer {
        return Ok(());
    }
    if said.trim_end_matches('/') == issuer.trim_end_matches('/') {
        let which = if issuer.ends_with('/') { "without" } else { "with" };
        return Err((
            format!("the provider calls itself {said}, {which} a slash at the end; the two must be equal to the letter"),
            format!("Set ATELIER_ISSUER={said}"),
        ));
    }
    Err((
        format!("the provider at {issuer} calls itself {said:?}"),
        format!(
            "Set ATELIER_ISSUER={said}, or tell the provider its public address (Keycloak: KC_HOSTNAME, and KC_PROXY_HEADERS behind a proxy)"
        ),
    ))
}

/// Nothing at that path: is it the realm, or the path before it?
async fn elsewhere(http: &Http, issuer: &str, answer: &HttpResponse) -> Wrong {
    let realm = issuer.trim_end_matches('/').rsplit_once("/realms/").map(|(_, realm)| realm);
    if let Some(realm) = realm
        && String::from_utf8_lossy(answer.body()).contains("Realm does not exist")
    {
        return (
            format!("Keycloak answers, and has no realm “{realm}”"),
            "Compare the end of ATELIER_ISSUER with the realm's name at Keycloak; capitals count".into(),
        );
    }
    for other in other_paths(issuer) {
        if let Ok(answer) = get(http, &described_at(&other)).await
            && answer.status() == StatusCode::OK
            && serde_json::from_slice::<Value>(answer.body()).is_ok_and(|d| d["issuer"].is_string())
        {
            return (format!("there is no provider at {issuer}, but one at {other}"), format!("Set ATELIER_ISSUER={other}"));
        }
    }
    let next = if realm.is_some() {
        "Compare the realm's name and the path before it with Keycloak's; old ones begin with /auth"
    } else {
        "The path is not the issuer's: Keycloak's ends in /realms/NAME; a provider's own pages name the issuer"
    };
    (format!("{} is not there (404)", described_at(issuer)), next.into())
}

/// Keycloak before version 17 lived under /auth, and a proxy may put it there or take it away.
pub fn other_paths(issuer: &str) -> Vec<String> {
    let Ok(url) = Url::parse(issuer) else { return Vec::new() };
    let (origin, path) = (url.origin().ascii_serialization(), url.path().trim_end_matches('/'));
    match path.strip_prefix("/auth/") {
        Some(rest) => vec![format!("{origin}/{rest}")],
        None if path.contains("/realms/") => vec![format!("{origin}/auth{path}")],
        None => Vec::new(),
    }
}

/// Why no answer came, and what to look at.
pub fn unreachable(issuer: &str, e: &HttpError) -> Wrong {
    let chain = causes::in_words(e);
    let is = |words: &[&str]| words.iter().any(|w| chain.contains(w));
    let silent = matches!(e, HttpError::Sent(e) if e.is_timeout());
    let (what, next) = if is(&["UnknownIssuer"]) {
        (
            "shows a certificate that is signed by nobody whom this machine trusts",
            "Name the certificate authority of your house with --issuer-ca FILE (ATELIER_ISSUER_CA, PEM), or add it to the system's (Debian: /usr/local/share/ca-certificates, then update-ca-certificates)",
        )
    } else if is(&["certificate expired", "Expired"]) {
        ("shows a certificate that has expired", "Renew the provider's certificate; compare this machine's clock")
    } else if is(&["not valid for name", "NotValidForName"]) {
        ("shows a certificate for another name", "Use the name that the certificate is for, or let it be issued for this one")
    } else if is(&["invalid peer certificate"]) {
        ("shows a certificate that is not believed", "The words in brackets say why")
    } else if is(&["InvalidContentType", "corrupt message"]) {
        ("does not speak TLS", "Check scheme and port: https wants the provider's TLS port")
    } else if is(&["dns error", "failed to lookup"]) {
        (
            "has a name that this machine cannot resolve",
            "Check the name in ATELIER_ISSUER, and the DNS that this machine (or container) uses",
        )
    } else if silent {
        ("does not answer in time", "Check firewall, proxy (HTTPS_PROXY, NO_PROXY) and the provider itself, from this machine")
    } else if is(&["Connection refused"]) {
        ("refuses the connection: nothing listens there", "Start the provider, or check host and port in ATELIER_ISSUER")
    } else if matches!(e, HttpError::TooLarge) {
        ("answers with more than a description has", "ATELIER_ISSUER must be the issuer's address; Keycloak's ends in /realms/NAME")
    } else {
        ("cannot be reached", "Check host, port, firewall and proxy (HTTPS_PROXY, NO_PROXY), from this machine")
    };
    (format!("{issuer} {what} ({chain})"), next.into())
}
