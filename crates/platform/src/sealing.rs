//! What the identity provider gives us for a session (its tokens) is kept encrypted, with a key that is not in the database:
//! whoever reads a copy of the database can neither act for a person at the provider nor read who somebody is.

use crate::{
    Platform,
    access::{Actor, Origin},
    change::Change,
    problem::Doing,
    random, sessions,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use domain::{audit::Detail, problem::Problem};

/// XChaCha20's nonce: long enough to be drawn at random.
const NONCE: usize = 24;

/// 256 bits that all replicas share.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(hidden)")
    }
}

impl TokenKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// base64url(nonce, text encrypted). `place` says what it is and whose: it opens nowhere else.
    pub(crate) fn seal(&self, place: &str, text: &str) -> String {
        let nonce: [u8; NONCE] = random();
        let payload = Payload { msg: text.as_bytes(), aad: place.as_bytes() };
        // Fails only for texts of many gigabytes; nothing is kept then.
        let sealed = self.cipher().encrypt(XNonce::from_slice(&nonce), payload).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat())
    }

    /// None when it was sealed with another key, for another place, or changed since.
    pub(crate) fn open(&self, place: &str, sealed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let text = self.cipher().decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: place.as_bytes() }).ok()?;
        String::from_utf8(text).ok()
    }

    /// By which replicas notice that they have different keys; tells nothing of the key.
    pub(crate) fn fingerprint(&self) -> String {
        hex::encode(blake3::derive_key("atelier 2026-11 fingerprint of the key of provider tokens", &self.0))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(&self.0))
    }
}

/// Replicas must share the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyDisagreement {
    #[error(
        "This database is used with another key for the identity provider's tokens than the one that this process has. Give every replica \
         the same file with --token-key (ATELIER_TOKEN_KEY). If the old key is lost, run `atelier sign-everybody-out` once"
    )]
    Other,
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl Platform {
    /// The first process that asks decides which key this database is used with; all others must have the same.
    pub async fn agree_on_token_key(&self) -> Result<(), KeyDisagreement> {
        let ours = self.inner.token_key.fingerprint();
        let first = self.store().secret(FINGERPRINT, &ours).await.doing("reading which key this database is used with")?;
        if first == ours { Ok(()) } else { Err(KeyDisagreement::Other) }
    }

    /// Ends every session and every pass, and lets the next process that starts decide on the key of tokens.
    /// Returns how many sessions ended.
    pub async fn sign_everybody_out(&self) -> Result<u64, Problem> {
        let doing = "signing everybody out";
        let mut tx = Change::by_system(self).await?;
        let ended = tx.end_all_sessions().await.doing(doing)?;
        tx.forget_secret(FINGERPRINT).await.doing(doing)?;
        let mut entry = sessions::entry(tx.at(), &Actor::system(), "session.end_all", String::new(), &Origin::default());
        entry.detail = Detail::SessionsEnded { sessions: ended };
        tx.commit(entry).await.doing(doing)?;
        Ok(ended)
    }
}

const FINGERPRINT: &str = "token_key_fingerprint";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_with_its_key_in_its_place_and_nowhere_else() {
        let key = TokenKey::new([7; 32]);
        let sealed = key.seal("session a", "a refresh token");
        assert!(!sealed.contains("refresh") && sealed != key.seal("session a", "a refresh token"));
        assert_eq!(key.open("session a", &sealed).as_deref(), Some("a refresh token"));
        assert_eq!(key.open("session b", &sealed), None);
        assert_eq!(TokenKey::new([8; 32]).open("session a", &sealed), None);
        let mut changed = sealed.into_bytes();
        changed[40] ^= 1;
        assert_eq!(key.open("session a", &String::from_utf8_lossy(&changed)), None);
        assert_eq!((key.open("session a", ""), key.open("session a", "ä")), (None, None));
    }

    #[test]
    fn neither_the_key_nor_its_bytes_are_in_a_log() {
        let key = TokenKey::new([7; 32]);
        assert_eq!(format!("{key:?}"), "TokenKey(hidden)");
        assert!(!key.fingerprint().contains("0707"));
    }
}
