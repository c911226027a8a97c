//! Signing and checking a [`Pass`]: what the web role gives a signed-in person's page so that it can call the gateway.

use super::{PASS_PREFIX, Pass};
use crate::time::Timestamp;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Why a text is not a valid pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPass {
    /// Wrong shape, or signed with another secret: nobody needs to know which.
    #[error("not a pass of this portal")]
    NotOurs,
    #[error("the pass has expired")]
    Expired,
}

impl Pass {
    /// The text form: `atlp_` + base64url(JSON) + `.` + base64url(HMAC-SHA256 over all before the dot).
    pub fn sign(&self, secret: &[u8; 32]) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut text = format!("{PASS_PREFIX}{}", URL_SAFE_NO_PAD.encode(json));
        let tag = mac(secret, &text).finalize().into_bytes();
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(tag));
        text
    }

    /// Checks signature (in constant time) and end. The person's membership is checked against the directory by the gateway.
    pub fn verify(text: &str, secret: &[u8; 32], now: Timestamp) -> Result<Pass, BadPass> {
        // An all-zero secret is what a directory has before the platform filled it: nothing may pass with it.
        if secret == &[0; 32] || !text.starts_with(PASS_PREFIX) || text.len() > 1_000 {
            return Err(BadPass::NotOurs);
        }
        let (signed, tag) = text.rsplit_once('.').ok_or(BadPass::NotOurs)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| BadPass::NotOurs)?;
        mac(secret, signed).verify_slice(&tag).map_err(|_| BadPass::NotOurs)?;
        let json = URL_SAFE_NO_PAD.decode(&signed[PASS_PREFIX.len()..]).map_err(|_| BadPass::NotOurs)?;
        let pass: Pass = serde_json::from_slice(&json).map_err(|_| BadPass::NotOurs)?;
        if pass.expires_at <= now { Err(BadPass::Expired) } else { Ok(pass) }
    }
}

fn mac(secret: &[u8; 32], signed: &str) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this cannot fail; a fresh default would be a wrong key, never an open access.
    // HMAC pads a short key with zeros to the hash's block; doing it here makes the constructor infallible.
    let mut block = [0; 64];
    block[..32].copy_from_slice(secret);
    let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
    mac.update(signed.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PersonId;
    use proptest::prelude::*;

    fn pass() -> Pass {
        Pass { tenant: "acme".parse().unwrap(), person: PersonId::from_uuid(uuid::Uuid::from_u128(5)), expires_at: Timestamp(1_000) }
    }

    #[test]
    fn a_pass_is_good_until_its_end_and_only_with_its_secret() {
        let text = pass().sign(&[3; 32]);
        assert!(text.starts_with("atlp_"));
        assert_eq!(Pass::verify(&text, &[3; 32], Timestamp(999)), Ok(pass()));
        assert_eq!(Pass::verify(&text, &[3; 32], Timestamp(1_000)), Err(BadPass::Expired));
        assert_eq!(Pass::verify(&text, &[4; 32], Timestamp(0)), Err(BadPass::NotOurs));
    }

    #[test]
    fn the_secret_of_an_empty_directory_opens_nothing() {
        assert_eq!(Pass::verify(&pass().sign(&[0; 32]), &[0; 32], Timestamp(0)), Err(BadPass::NotOurs));
    }

    proptest! {
        #[test]
        fn no_changed_character_survives(at in 0usize..200, with in "[a-zA-Z0-9_.-]") {
            let text = pass().sign(&[3; 32]);
            let at = at % text.len();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            if changed != text {
                prop_assert_eq!(Pass::verify(&changed, &[3; 32], Timestamp(0)), Err(BadPass::NotOurs));
            }
        }

        #[test]
        fn no_text_makes_the_check_panic(text in "(atlp_)?.{0,80}") {
            prop_assert!(Pass::verify(&text, &[3; 32], Timestamp(0)).is_err());
        }
    }
}
