//! Signing in: the only place that knows OpenID Connect. Authorization code with PKCE (S256), state and nonce, bound to one browser
//! by a one-time cookie for each attempt; then a session of our own. Rights come from the provider's group claim at every sign-in.

mod access_token;
mod algorithms;
pub mod backchannel;
pub mod bearer;
pub mod callback;
mod checks;
pub mod claims;
pub mod cookies;
pub mod diagnosis;
pub mod discovery;
mod http;
mod jws;
pub mod keycloak;
mod keys;
pub mod leavers;
pub mod login;
pub mod logout;
mod logout_token;
mod provider;
pub mod renewal;
mod return_to;
pub mod token_people;

pub use provider::{Provider, ProviderError, Vouched};
pub use return_to::return_to;

use crate::{
    config::{Config, IdentityProvider},
    finding::Finding,
};
use claims::{GroupRules, Rights};
use domain::people::GROUPS_KEPT;
use platform::sessions::Profile;

/// What sign-in is told once, at the start.
pub struct SignIn {
    pub provider: Provider,
    pub groups: GroupRules,
    /// Under which issuer people are known. The development provider changes its address with the port, its people stay the same.
    pub people_of: String,
    pub https: bool,
    /// For whom access tokens must be.
    pub audience: String,
}

impl SignIn {
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let (issuer, people_of) = match &config.provider {
            IdentityProvider::Issuer(issuer) => (issuer.clone(), issuer.clone()),
            IdentityProvider::Development => (crate::devprovider::issuer(&config.public_url), "development".to_owned()),
        };
        let callback = format!("{}/auth/callback", config.public_url);
        let home = format!("{}/login", config.public_url);
        let roots = config.issuer_ca.as_deref().map(http::roots).transpose()?.unwrap_or_default();
        let http = http::Http::new(&issuer, &roots)?;
        Ok(Self {
            provider: Provider::new(issuer, config.client_id.clone(), config.client_secret.clone(), callback, home, http),
            groups: GroupRules::new(&config.groups),
            people_of,
            https: config.https(),
            audience: config.api_audience.clone(),
        })
    }

    /// Warns in words of what would keep people from signing in. The portal goes on all the same: a provider may come later.
    pub async fn warn_of_the_provider(&self) {
        let found = self.provider.diagnose(&self.groups, &self.audience).await;
        for finding in found {
            if let Finding::Missing(what, next) = finding {
                tracing::warn!("sign-in: {what}. {next}. `atelier doctor` with the same settings looks again");
            }
        }
    }

    /// The person as the platform keeps them, with the roles that the groups give.
    pub fn profile(&self, vouched: Vouched) -> Profile {
        let (groups, problem) = self.groups.groups(&vouched.claims);
        if let Some(problem) = problem {
            tracing::warn!(issuer = self.provider.issuer(), subject = vouched.subject, "groups of a person: {problem}");
        }
        if groups.len() > GROUPS_KEPT {
            tracing::info!(
                subject = vouched.subject,
                groups = groups.len(),
                "all groups were read for roles; the first {GROUPS_KEPT} are kept for the page that shows them"
            );
        }
        let Rights { platform_role, memberships } = self.groups.rights(&groups);
        Profile {
            issuer: self.people_of.clone(),
            subject: vouched.subject,
            name: vouched.name,
            email: vouched.email,
            groups,
            platform_role,
            memberships,
            session: vouched.session,
            id_token: Some(vouched.id_token),
            refresh_token: vouched.refresh_token,
        }
    }

    /// What access tokens must say.
    pub fn access_rules(&self, config: &Config) -> access_token::AccessRules {
        access_token::AccessRules {
            issuer: self.provider.issuer().to_owned(),
            audience: self.audience.clone(),
            clients: config.api_clients.clone(),
        }
    }

    /// None: the provider is no Keycloak, or the portal has no secret there.
    pub fn admin_api(&self, config: &Config) -> anyhow::Result<Option<keycloak::AdminApi>> {
        let roots = config.issuer_ca.as_deref().map(http::roots).transpose()?.unwrap_or_default();
        let http = http::Http::new(self.provider.issuer(), &roots)?;
        Ok(keycloak::AdminApi::new(http, self.provider.issuer(), &config.client_id, config.client_secret.as_deref()))
    }

    /// Who an access token speaks of, with the roles that its groups give.
    fn profile_of_token(&self, subject: &str, token: &jws::Believed) -> Profile {
        let (groups, _) = self.groups.groups(&token.claims);
        let Rights { platform_role, memberships } = self.groups.rights(&groups);
        let names = ["name", "preferred_username", "client_id"].iter().find_map(|claim| token.text(claim));
        Profile {
            issuer: self.people_of.clone(),
            subject: subject.to_owned(),
            name: names.unwrap_or_default().to_owned(),
            email: token.text("email").map(str::to_owned),
            groups,
            platform_role,
            memberships,
            id_token: None,
            session: None,
            refresh_token: None,
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
