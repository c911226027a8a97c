//! The signing key: Ed25519, made once, kept in the data folder for its owner's eyes only.

use crate::secret_file;
use anyhow::{Context, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use openidconnect::{JsonWebKeyId, core::CoreEdDsaPrivateSigningKey};
use std::path::Path;

/// What stands before the 32 secret bytes of an Ed25519 key in PKCS #8 (RFC 8410).
const PKCS8: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

pub fn load_or_make(file: &Path) -> anyhow::Result<CoreEdDsaPrivateSigningKey> {
    let pem = secret_file::read_or_make(file, |secret| {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode([&PKCS8[..], secret].concat()))
    })
    .with_context(|| format!("the development provider's key {}", file.display()))?;
    // From the key itself, so that a new key is a new name and cached ones are asked for again.
    let id = JsonWebKeyId::new(blake3::hash(pem.as_bytes()).to_hex()[..16].to_owned());
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(id))
        .map_err(|e| anyhow!("{} holds no Ed25519 key: {e}. Remove the file to get a new one.", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openidconnect::{PrivateSigningKey, core::CoreJwsSigningAlgorithm};

    #[test]
    fn the_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let first = load_or_make(&file).unwrap();
        let again = load_or_make(&file).unwrap();
        let sign = |key: &CoreEdDsaPrivateSigningKey| key.sign(&CoreJwsSigningAlgorithm::EdDsa, b"hello").unwrap();
        assert_eq!(sign(&first), sign(&again));
    }
}
