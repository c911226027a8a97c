//! The audit record: who did what, on what, when, from where, with which result; chained by hashes so that a change shows.

use crate::{name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Person,
    Key,
    /// A controller or the command line on the server itself.
    System,
}

impl ActorKind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Key => "key",
            Self::System => "system",
        }
    }
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Person, Self::Key, Self::System].into_iter().find(|s| s.word() == word)
    }
}

/// What happened, before it has a place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub actor_kind: ActorKind,
    /// Id of the actor; `system` for the system.
    pub actor: String,
    pub actor_name: String,
    /// None for deeds on the platform itself.
    pub tenant: Option<Name>,
    /// `run.launch`, `key.revoke`...: the word of `policy::Action`, or a system deed.
    pub action: String,
    /// `run`, `dataset_version`...
    pub object_kind: String,
    pub object: String,
    pub object_name: String,
    /// `done` or `refused`.
    pub result: String,
    /// In words, where there is more to say; never a secret.
    pub detail: String,
    pub request_id: String,
    pub from_ip: String,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// 1, 2, 3... without gaps over the whole platform.
    pub seq: i64,
    pub entry: Entry,
    /// Hash of the record before; 64 zeros for the first.
    pub prev_hash: String,
    pub hash: String,
}

pub const FIRST_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// SHA-256 over the record's number, the hash before it and the entry as JSON in field order, hex.
pub fn hash(seq: i64, prev_hash: &str, entry: &Entry) -> String {
    let mut h = Sha256::new();
    h.update(seq.to_be_bytes());
    h.update(prev_hash.as_bytes());
    // A struct with fixed field order and no maps: the same text everywhere.
    h.update(serde_json::to_vec(entry).unwrap_or_default());
    hex::encode(h.finalize())
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Broken {
    #[error("record {missing} is missing")]
    Gap { missing: i64 },
    #[error("record {seq} does not follow from the one before it")]
    Unlinked { seq: i64 },
    #[error("record {seq} was changed after it was written")]
    Changed { seq: i64 },
}

/// Checks one record against the one before (`None` for the first).
pub fn verify_next(before: Option<(i64, &str)>, record: &Record) -> Result<(), Broken> {
    let (seq, prev) = before.unwrap_or((0, FIRST_PREV));
    if record.seq != seq + 1 {
        return Err(Broken::Gap { missing: seq + 1 });
    }
    if record.prev_hash != prev {
        return Err(Broken::Unlinked { seq: record.seq });
    }
    if record.hash != hash(record.seq, &record.prev_hash, &record.entry) {
        return Err(Broken::Changed { seq: record.seq });
    }
    Ok(())
}

/// The result of checking the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub records: i64,
    pub last_hash: String,
    pub last_at: Option<Timestamp>,
    pub broken: Option<Broken>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: i64) -> Vec<Record> {
        let mut prev = FIRST_PREV.to_owned();
        (1..=n)
            .map(|seq| {
                let entry = Entry {
                    at: Timestamp(seq),
                    actor_kind: ActorKind::System,
                    actor: "system".into(),
                    actor_name: "system".into(),
                    tenant: None,
                    action: "test".into(),
                    object_kind: "none".into(),
                    object: String::new(),
                    object_name: String::new(),
                    result: "done".into(),
                    detail: format!("{seq}"),
                    request_id: String::new(),
                    from_ip: String::new(),
                };
                let hash = hash(seq, &prev, &entry);
                Record { seq, entry, prev_hash: std::mem::replace(&mut prev, hash.clone()), hash }
            })
            .collect()
    }

    fn verify(records: &[Record]) -> Result<(), Broken> {
        let mut before: Option<(i64, &str)> = None;
        for r in records {
            verify_next(before, r)?;
            before = Some((r.seq, &r.hash));
        }
        Ok(())
    }

    #[test]
    fn a_whole_chain_holds() {
        assert_eq!(verify(&chain(5)), Ok(()));
    }

    #[test]
    fn the_hash_before_is_under_the_hash() {
        let entry = chain(1).remove(0).entry;
        let other = "f".repeat(64);
        assert_ne!(hash(1, FIRST_PREV, &entry), hash(1, &other, &entry));
        assert_ne!(hash(1, FIRST_PREV, &entry), hash(2, FIRST_PREV, &entry), "and the number");
        // Whoever cuts the first records off and calls the next one the first must change its hash, and so every later one.
        let mut cut = chain(3);
        cut.remove(0);
        for record in &mut cut {
            record.seq -= 1;
        }
        cut[0].prev_hash = FIRST_PREV.into();
        assert_eq!(verify(&cut), Err(Broken::Changed { seq: 1 }));
    }

    #[test]
    fn a_changed_a_missing_and_a_replaced_record_are_each_found() {
        let mut changed = chain(5);
        changed[2].entry.detail = "other".into();
        assert_eq!(verify(&changed), Err(Broken::Changed { seq: 3 }));
        let mut missing = chain(5);
        missing.remove(1);
        assert_eq!(verify(&missing), Err(Broken::Gap { missing: 2 }));
        let mut replaced = chain(5);
        replaced[3].entry.detail = "other".into();
        replaced[3].hash = hash(4, &replaced[3].prev_hash, &replaced[3].entry);
        assert_eq!(verify(&replaced), Err(Broken::Unlinked { seq: 5 }));
    }
}
