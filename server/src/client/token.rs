//! The access token: out of a file, or asked for by a program that has a client of its own at the identity provider.

use super::ServerArgs;
use crate::config::is_loopback;
use anyhow::{Context, bail, ensure};
use domain::causes;
use openidconnect::url::{Url, form_urlencoded};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Description {
    issuer: String,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
}

pub async fn token(args: &ServerArgs, http: &reqwest::Client) -> anyhow::Result<String> {
    match (&args.token_file, &args.client_secret_file, &args.issuer) {
        (Some(file), ..) => secret(file, "--token-file"),
        (None, Some(file), Some(issuer)) => {
            let secret = secret(file, "--client-secret-file")?;
            of_client(http, issuer, &args.client_id, &secret).await
        }
        _ => bail!("Say as whom: --token-file, or --client-secret-file with --issuer and --client-id."),
    }
}

fn secret(file: &Path, flag: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{flag}: {} cannot be read", file.display()))?;
    let text = text.trim();
    ensure!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()), "{flag}: {} holds no secret on one line.", file.display());
    Ok(text.to_owned())
}

/// By client credentials (RFC 6749 4.4).
async fn of_client(http: &reqwest::Client, issuer: &str, client: &str, secret: &str) -> anyhow::Result<String> {
    let issuer = issuer.trim_end_matches('/');
    let safe = |text: &str| Url::parse(text).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url));
    ensure!(safe(issuer), "--issuer {issuer} must begin with https://: the secret would be sent in the clear.");
    let away =
        |e: reqwest::Error| anyhow::anyhow!("The identity provider {issuer} does not answer: {}.", causes::in_words(&e.without_url()));
    let described = http.get(format!("{issuer}/.well-known/openid-configuration")).send().await.map_err(away)?;
    let described: Description =
        described.json().await.with_context(|| format!("{issuer} does not describe itself as an identity provider"))?;
    ensure!(described.issuer.trim_end_matches('/') == issuer, "{issuer} calls itself {}: write it so.", described.issuer);
    ensure!(safe(&described.token_endpoint), "{issuer} names a token endpoint without https.");
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("grant_type", "client_credentials").finish();
    // Both parts are encoded before they are joined (RFC 6749 2.3.1).
    let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let request = http.post(&described.token_endpoint).basic_auth(part(client), Some(part(secret)));
    let request = request.header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    let answer = request.send().await.map_err(away)?;
    let status = answer.status();
    ensure!(
        status.is_success(),
        "{issuer} gives the client “{client}” no token ({status}). Look at its name and secret, and that it has a service account."
    );
    let tokens: Tokens = answer.json().await.with_context(|| format!("{issuer} answers without a token"))?;
    Ok(tokens.access_token)
}
