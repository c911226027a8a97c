//! Refresh tokens: signed, so that they outlive a restart, and good once, as strict providers have it.

use super::{DevProvider, people::DevPerson, random};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{PrivateSigningKey, core::CoreJwsSigningAlgorithm};

impl DevProvider {
    pub(super) fn refresh_token(&self, person: &DevPerson) -> Option<String> {
        let what = format!("{}.{}", person.login, random());
        Some(format!("{what}.{}", self.mark(&what)?))
    }

    /// Who the token was made for. None: not ours, used before, or the person is disabled.
    pub(super) fn take_refresh_token(&self, token: &str) -> Option<&'static DevPerson> {
        let (what, mark) = token.rsplit_once('.')?;
        if self.mark(what)? != mark {
            return None;
        }
        let person = self.accounts.active(what.split('.').next()?)?;
        let first = self.used.lock().unwrap_or_else(|e| e.into_inner()).insert(token.to_owned());
        first.then_some(person)
    }

    fn mark(&self, what: &str) -> Option<String> {
        let signature = self.key.sign(&CoreJwsSigningAlgorithm::EdDsa, format!("refresh token {what}").as_bytes()).ok()?;
        Some(URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devprovider::people;

    #[test]
    fn a_refresh_token_is_good_once_also_after_a_restart_and_cannot_be_made_up() {
        let data = tempfile::tempdir().unwrap();
        let open = || DevProvider::open("http://127.0.0.1:1", "atelier", data.path()).unwrap();
        let before = open();
        let token = before.refresh_token(people::find("mira").unwrap()).unwrap();
        let after = open();
        assert!(after.take_refresh_token(&token.replace("mira", "admin")).is_none());
        assert_eq!(after.take_refresh_token(&token).map(|p| p.login), Some("mira"));
        assert!(after.take_refresh_token(&token).is_none(), "used");
    }
}
