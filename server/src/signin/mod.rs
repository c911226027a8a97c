//! Signing in: the only place that knows OpenID Connect. Authorization code with PKCE (S256), state and nonce, bound to one browser
//! by a one-time cookie; then a session of our own. Rights come from the provider's group claim at every sign-in.

pub mod callback;
pub mod claims;
pub mod cookies;
pub mod login;
pub mod logout;
mod provider;
mod return_to;

pub use provider::{Provider, ProviderError};
pub use return_to::return_to;

use crate::config::{Config, IdentityProvider};
use claims::GroupRules;

/// What sign-in is told once, at the start.
pub struct SignIn {
    pub provider: Provider,
    pub groups: GroupRules,
    /// Under which issuer people are known. The development provider changes its address with the port, its people stay the same.
    pub people_of: String,
    pub https: bool,
}

impl SignIn {
    pub fn new(config: &Config) -> Self {
        let (issuer, people_of) = match &config.provider {
            IdentityProvider::Issuer(issuer) => (issuer.clone(), issuer.clone()),
            IdentityProvider::Development => (crate::devprovider::issuer(&config.public_url), "development".to_owned()),
        };
        let callback = format!("{}/auth/callback", config.public_url);
        let home = format!("{}/login", config.public_url);
        Self {
            provider: Provider::new(issuer, config.client_id.clone(), config.client_secret.clone(), callback, home),
            groups: GroupRules::new(&config.groups),
            people_of,
            https: config.https(),
        }
    }

    /// Origin of the provider, when it is another one than ours: forms may lead there (sign-out).
    pub fn foreign_origin(config: &Config) -> Option<String> {
        match &config.provider {
            IdentityProvider::Issuer(issuer) => openidconnect::url::Url::parse(issuer).ok().map(|u| u.origin().ascii_serialization()),
            IdentityProvider::Development => None,
        }
    }
}
