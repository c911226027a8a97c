//! Asking the provider again with a refresh token.

use super::{Provider, ProviderError, Vouched};
use domain::causes;
use openidconnect::{
    OAuth2TokenResponse, RefreshToken, RequestTokenError, StandardErrorResponse, TokenResponse,
    core::{CoreErrorResponseType, CoreErrorResponseType::Extension},
};

/// What the provider said of a person who was signed in before.
pub struct Again {
    /// None: it sent no ID token, so it said only that the person may still come in.
    pub vouched: Option<Vouched>,
    /// The one to use next, when it gave a new one.
    pub refresh_token: Option<String>,
}

/// Why nothing was confirmed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The person, or the session there, is over.
    #[error("{0}")]
    Refused(String),
    /// The provider does not answer, has trouble, or speaks of something that is not the person's fault.
    #[error("{0}")]
    Away(String),
}

impl Provider {
    /// `subject` is who was signed in: tokens of anybody else are refused.
    pub async fn renew(&self, refresh_token: &str, subject: &str) -> Result<Again, RenewError> {
        let away = |e: ProviderError| RenewError::Away(e.to_string());
        let client = self.client(&*self.description().await.map_err(away)?).map_err(away)?;
        let token = RefreshToken::new(refresh_token.to_owned());
        let request = client.exchange_refresh_token(&token).map_err(|e| RenewError::Away(e.to_string()))?;
        let tokens = request.request_async(&self.http).await.map_err(|e| match e {
            RequestTokenError::ServerResponse(said) if is_about_the_person(&said) => RenewError::Refused(said.to_string()),
            other => RenewError::Away(causes::in_words(&other)),
        })?;
        let refresh_token = tokens.refresh_token().map(|t| t.secret().clone());
        if tokens.id_token().is_none() {
            return Ok(Again { vouched: None, refresh_token });
        }
        // A token that came, and cannot be believed, confirms nobody. Keys that have just changed are asked for again at
        // every try; until they fit, the session is as when nothing was said.
        let vouched = self.person(&client, &tokens, None).await.map_err(away)?;
        if vouched.subject != subject {
            return Err(RenewError::Refused("the provider spoke of another person".into()));
        }
        Ok(Again { vouched: Some(vouched), refresh_token })
    }
}

/// An error of OAuth that tells of the grant, and not of our own settings or of the provider's health.
fn is_about_the_person(said: &StandardErrorResponse<CoreErrorResponseType>) -> bool {
    match said.error() {
        CoreErrorResponseType::InvalidGrant => true,
        Extension(code) => {
            matches!(code.as_str(), "access_denied" | "login_required" | "interaction_required" | "consent_required" | "account_disabled")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_person_ends_a_session() {
        let said = |json: &str| is_about_the_person(&serde_json::from_str(json).unwrap());
        for ends in [r#"{"error":"invalid_grant","error_description":"User disabled"}"#, r#"{"error":"interaction_required"}"#] {
            assert!(said(ends), "{ends}");
        }
        for stays in [r#"{"error":"invalid_client"}"#, r#"{"error":"temporarily_unavailable"}"#, r#"{"error":"server_error"}"#] {
            assert!(!said(stays), "{stays}");
        }
    }
}
