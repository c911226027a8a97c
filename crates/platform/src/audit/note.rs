//! Signed notes as C2SP has them (<https://c2sp.org/signed-note>), with one Ed25519 signature: text, empty line, `— NAME BASE64`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// The type byte of Ed25519.
const ED25519: u8 = 1;

pub(super) struct Signer {
    name: String,
    key: SigningKey,
}

/// Who may be believed: `NAME+KEYID+BASE64`, as Go's `sumdb/note` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verifier {
    pub name: String,
    key: VerifyingKey,
}

impl Signer {
    /// The name is made from the public key: no two portals have the same.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let digest = Sha256::digest(key.verifying_key().as_bytes());
        Self { name: format!("atelier/{}", hex::encode(&digest[..4])), key }
    }

    pub(super) fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// `text` ends with a line's end.
    pub(super) fn sign(&self, text: &str) -> String {
        let signature = [self.verifier().id().as_slice(), &self.key.sign(text.as_bytes()).to_bytes()].concat();
        format!("{text}\n\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }
}

impl Verifier {
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, key) = (parts.next()?, parts.next()?, STANDARD.decode(parts.next()?).ok()?);
        let (&ED25519, key) = key.split_first()? else { return None };
        let found = Self { name: name.to_owned(), key: VerifyingKey::from_bytes(key.try_into().ok()?).ok()? };
        (!name.is_empty() && hex::encode(found.id()) == id).then_some(found)
    }

    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.key.as_bytes()).finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The text of a note that this key signed; signatures of others are passed over.
    pub(super) fn open<'n>(&self, note: &'n str) -> Option<&'n str> {
        let (text, signatures) = note.split_at(note.rfind("\n\n")? + 1);
        let signed = signatures.lines().filter_map(|line| line.strip_prefix("\u{2014} ")?.split_once(' ')).any(|(name, signature)| {
            let Ok(bytes) = STANDARD.decode(signature) else { return false };
            let Some((id, signature)) = bytes.split_at_checked(4) else { return false };
            let Ok(signature) = Signature::from_slice(signature) else { return false };
            name == self.name && id == self.id() && self.key.verify_strict(text.as_bytes(), &signature).is_ok()
        });
        signed.then_some(text)
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's golang.org/x/mod/sumdb/note, made by another implementation than ours.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_that_another_implementation_signed_is_opened() {
        let key = Verifier::read(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        assert!(key.open(NOTE).unwrap().ends_with("your problem is.\n"));
        assert_eq!(key.open(&NOTE.replace("the answer", "no answer")), None);
        assert_eq!(Verifier::read(&KEY.replace("c74f", "c74e")), None);
    }

    #[test]
    fn what_one_key_signs_no_other_opens() {
        let (ours, other) = (Signer::new(&[7; 32]), Signer::new(&[8; 32]));
        let note = ours.sign("a\n1\nb\n");
        assert_eq!(Verifier::read(&ours.verifier().to_string()), Some(ours.verifier()));
        assert_eq!(ours.verifier().open(&note), Some("a\n1\nb\n"));
        assert_eq!(other.verifier().open(&note), None);
        assert_eq!(ours.verifier().open(&note.replace("a\n", "x\n")), None);
        assert_eq!(ours.verifier().open("no note"), None);
    }
}
