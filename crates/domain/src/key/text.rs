//! The text of an API key: `atl_` + 43 characters (32 random bytes in base64url) + `_` + 6 hex digits of checksum.
//!
//! The checksum lets a typo or a cut-off copy be told from an unknown key without looking anything up, and lets secret
//! scanners match the pattern with almost no false finds. It protects nothing by itself.

use super::PREFIX;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const SECRET: usize = 43;
const CHECKSUM: usize = 6;
/// Characters of a whole key.
pub const LENGTH: usize = PREFIX.len() + SECRET + 1 + CHECKSUM;

/// A key that was just made. `text` is shown once; `digest` and `hint` are stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    pub text: String,
    /// BLAKE3 of the whole text.
    pub digest: [u8; 32],
    /// The first eight characters: `atl_Xk3v`.
    pub hint: String,
}

/// A key out of 32 bytes of good randomness.
pub fn make(random: [u8; 32]) -> Made {
    let mut text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let sum = checksum(&text);
    text.push('_');
    text.push_str(&sum);
    Made { digest: digest(&text), hint: text[..8].to_owned(), text }
}

/// Whether the text can be a key at all: prefix, length, alphabet and checksum. Needs no look-up.
pub fn well_formed(text: &str) -> bool {
    if text.len() != LENGTH || !text.is_ascii() || !text.starts_with(PREFIX) {
        return false;
    }
    let (head, tail) = text.split_at(PREFIX.len() + SECRET);
    let secret = &head[PREFIX.len()..];
    secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') && tail.strip_prefix('_') == Some(checksum(head).as_str())
}

/// What is stored and looked up instead of the key: BLAKE3 of the whole text.
pub fn digest(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

fn checksum(head: &str) -> String {
    let hash = blake3::derive_key("atelier 2026 checksum of an API key's text", head.as_bytes());
    let mut out = hex::encode(&hash[..CHECKSUM / 2]);
    out.truncate(CHECKSUM);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_has_the_shape_that_is_promised() {
        let made = make([7; 32]);
        assert_eq!((made.text.len(), made.text.len() - "atl_".len() - 43 - 1), (LENGTH, 6));
        assert!(made.text.starts_with(&made.hint) && made.hint.len() == 8);
        assert_eq!(made.digest, digest(&made.text));
        assert_ne!(made.text, make([8; 32]).text);
    }

    proptest! {
        #[test]
        fn every_made_key_is_well_formed_and_no_changed_one_is(random: [u8; 32], at in 0..LENGTH, with in "[a-zA-Z0-9_-]") {
            let text = make(random).text;
            prop_assert!(well_formed(&text));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            // 24 bits of checksum: a collision in a test run would be a once-in-sixteen-million event.
            prop_assert_eq!(well_formed(&changed), changed == text);
        }

        #[test]
        fn no_text_makes_the_check_panic(text in ".{0,80}") {
            prop_assert!(!well_formed(&text));
        }
    }
}
