//! A key that the provider signs with. All that openidconnect checks, and P-521 (ES512), which it reads and does not check.

use openidconnect::{
    JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, JsonWebKeyUse, SignatureVerificationError,
    core::{CoreJsonWebKey, CoreJsonWebKeyType, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm},
};
use p521::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    known: CoreJsonWebKey,
    /// Of a key on P-521, its point, as SEC 1 writes it uncompressed.
    p521: Option<Vec<u8>>,
}

/// Bytes of a coordinate on P-521.
const COORDINATE: usize = 66;

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let p521 = if value["crv"] == "P-521" { Some(point(&value).ok_or_else(|| D::Error::custom("no point on P-521"))?) } else { None };
        Ok(Self { known: serde_json::from_value(value).map_err(D::Error::custom)?, p521 })
    }
}

/// Some providers leave leading zeros out.
fn point(key: &Value) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut point = vec![4];
    for name in ["x", "y"] {
        let bytes = URL_SAFE_NO_PAD.decode(key[name].as_str()?.trim_end_matches('=')).ok()?;
        point.resize(point.len() + COORDINATE.checked_sub(bytes.len())?, 0);
        point.extend(bytes);
    }
    Some(point)
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.known.serialize(to)
    }
}

impl Key {
    fn verify_p521(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureVerificationError> {
        let wrong = |what: &str| SignatureVerificationError::InvalidKey(what.to_owned());
        if self.known.key_use().is_some_and(|usage| !usage.allows_signature()) {
            return Err(wrong("it is not for signatures"));
        }
        match self.known.signing_alg() {
            JsonWebKeyAlgorithm::Unspecified | JsonWebKeyAlgorithm::Algorithm(CoreJwsSigningAlgorithm::EcdsaP521Sha512) => {}
            _ => return Err(wrong("it is for another algorithm")),
        }
        let point = self.p521.as_ref().ok_or_else(|| wrong("it is not on P-521"))?;
        let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| wrong("its point is not on P-521"))?;
        Signature::from_slice(signature)
            .and_then(|signature| key.verify(message, &signature))
            .map_err(|_| SignatureVerificationError::CryptoError("bad signature".into()))
    }
}

impl JsonWebKey for Key {
    type KeyUse = CoreJsonWebKeyUse;
    type SigningAlgorithm = CoreJwsSigningAlgorithm;

    fn key_id(&self) -> Option<&JsonWebKeyId> {
        self.known.key_id()
    }
    fn key_type(&self) -> &CoreJsonWebKeyType {
        self.known.key_type()
    }
    fn key_use(&self) -> Option<&CoreJsonWebKeyUse> {
        self.known.key_use()
    }
    fn signing_alg(&self) -> JsonWebKeyAlgorithm<&CoreJwsSigningAlgorithm> {
        self.known.signing_alg()
    }
    fn new_symmetric(key: Vec<u8>) -> Self {
        Self { known: CoreJsonWebKey::new_symmetric(key), p521: None }
    }
    fn verify_signature(
        &self,
        algorithm: &CoreJwsSigningAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        match algorithm {
            CoreJwsSigningAlgorithm::EcdsaP521Sha512 => self.verify_p521(message, signature),
            other => self.known.verify_signature(other, message, signature),
        }
    }
    fn hash_bytes(&self, bytes: &[u8], algorithm: &CoreJwsSigningAlgorithm) -> Result<Vec<u8>, String> {
        self.known.hash_bytes(bytes, algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use p521::ecdsa::{SigningKey, signature::Signer};
    use serde_json::json;

    const ES512: CoreJwsSigningAlgorithm = CoreJwsSigningAlgorithm::EcdsaP521Sha512;

    fn pair(number: u8) -> (SigningKey, Value) {
        let mut secret = [number; COORDINATE];
        secret[0] = 0;
        let signs = SigningKey::from_slice(&secret).unwrap();
        let point = VerifyingKey::from(&signs).to_sec1_point(false);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (text(&point.as_bytes()[1..=COORDINATE]), text(&point.as_bytes()[COORDINATE + 1..]));
        (signs, json!({ "kty": "EC", "crv": "P-521", "kid": "k", "use": "sig", "alg": "ES512", "x": x, "y": y }))
    }

    fn signed(key: &SigningKey, message: &[u8]) -> Vec<u8> {
        let signature: Signature = key.sign(message);
        signature.to_bytes().to_vec()
    }

    #[test]
    fn a_signature_on_p521_counts_by_its_own_key_for_its_own_message_and_no_other() {
        let (signs, published) = pair(7);
        let key: Key = serde_json::from_value(published.clone()).unwrap();
        let signature = signed(&signs, b"message");
        key.verify_signature(&ES512, b"message", &signature).unwrap();
        assert!(key.verify_signature(&ES512, b"another", &signature).is_err());
        assert!(key.verify_signature(&ES512, b"message", &signed(&pair(8).0, b"message")).is_err());
        assert!(key.verify_signature(&ES512, b"message", &signature[1..]).is_err());
        assert!(key.verify_signature(&CoreJwsSigningAlgorithm::EcdsaP256Sha256, b"message", &signature).is_err());
        for (name, value) in [("use", "enc"), ("alg", "ES256")] {
            let mut other = published.clone();
            other[name] = json!(value);
            let key: Key = serde_json::from_value(other).unwrap();
            assert!(key.verify_signature(&ES512, b"message", &signature).is_err(), "{name} {value}");
        }
        assert_eq!(serde_json::to_value(&key).unwrap()["crv"], "P-521", "it is said on as it came");
    }

    #[test]
    fn a_coordinate_without_its_leading_zero_is_the_same_and_one_that_is_too_long_is_none() {
        // Some key's first byte of x is 0 (it holds one bit).
        let (signs, mut published) = (1..=u8::MAX).map(pair).find(|(_, key)| key["x"].as_str().unwrap().starts_with("AA")).unwrap();
        let x = URL_SAFE_NO_PAD.decode(published["x"].as_str().unwrap()).unwrap();
        published["x"] = json!(URL_SAFE_NO_PAD.encode(&x[1..]));
        let key: Key = serde_json::from_value(published.clone()).unwrap();
        key.verify_signature(&ES512, b"message", &signed(&signs, b"message")).unwrap();
        published["x"] = json!(URL_SAFE_NO_PAD.encode([&[0], &x[..]].concat()));
        assert!(serde_json::from_value::<Key>(published).is_err());
    }
}
