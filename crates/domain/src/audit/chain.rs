//! A chain: records numbered without gaps, each with the hash of the one before, so that a change shows.
//!
//! What is hashed is what is stored, column by column, so that nothing that a page shows or a filter searches lies outside. The format:
//! SHA-256 over the line `atelier audit record v2\n` and then the fields in the order of [`Row::hashed`], each as its length in bytes
//! (8 bytes, big endian) followed by its UTF-8 text; numbers are decimal, an absent tenant is the empty text, hashes are 64 lower-case
//! hex digits. So no two different records are the same bytes.

pub use super::row::Row;

use super::{ActorKind, Detail, Entry, Record, checkpoint::Checkpoint, first_segment, tree::Tree};
use crate::{name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What stands before the first record of a chain.
pub const FIRST_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The chain of actions on no tenant.
pub const PLATFORM: &str = "platform";
/// One chain of everything, as it was kept before each tenant had its own. Closed: nothing is added.
pub const FIRST_SEGMENT: &str = "first-segment";

const HEAD: &[u8] = b"atelier audit record v2\n";

/// The chain in which a tenant's records stand (`None`: those of the platform).
pub fn chain_of(tenant: Option<&Name>) -> String {
    tenant.map_or_else(|| PLATFORM.to_owned(), |tenant| format!("tenants/{tenant}"))
}

impl Row {
    /// The next record of a chain whose last hash is `prev`.
    pub fn new(seq: i64, prev: &str, entry: Entry) -> Self {
        let mut row = Self {
            chain: chain_of(entry.tenant.as_ref()),
            seq,
            at: entry.at.0,
            tenant: entry.tenant.map(String::from),
            actor_kind: entry.actor_kind.word().to_owned(),
            actor: entry.actor,
            actor_name: entry.actor_name,
            action: entry.action,
            object_kind: entry.object_kind,
            object: entry.object,
            object_name: entry.object_name,
            result: entry.result,
            detail: entry.detail.stored(),
            request_id: entry.request_id,
            from_ip: entry.from_ip,
            prev_hash: prev.to_owned(),
            hash: String::new(),
            first_entry: None,
        };
        row.hash = hex::encode(row.computed());
        row
    }

    /// For people. A word or a detail that this version does not know is shown as it is stored.
    pub fn record(self) -> Record {
        let entry = Entry {
            at: Timestamp(self.at),
            actor_kind: ActorKind::from_word(&self.actor_kind).unwrap_or(ActorKind::System),
            actor: self.actor,
            actor_name: self.actor_name,
            tenant: self.tenant.and_then(|tenant| tenant.parse().ok()),
            action: self.action,
            object_kind: self.object_kind,
            object: self.object,
            object_name: self.object_name,
            result: self.result,
            detail: Detail::read(&self.detail),
            request_id: self.request_id,
            from_ip: self.from_ip,
        };
        Record { chain: self.chain, seq: self.seq, entry, hash: self.hash }
    }

    fn hashed(&self) -> [String; 16] {
        [
            self.chain.clone(),
            self.seq.to_string(),
            self.at.to_string(),
            self.tenant.clone().unwrap_or_default(),
            self.actor_kind.clone(),
            self.actor.clone(),
            self.actor_name.clone(),
            self.action.clone(),
            self.object_kind.clone(),
            self.object.clone(),
            self.object_name.clone(),
            self.result.clone(),
            self.detail.clone(),
            self.request_id.clone(),
            self.from_ip.clone(),
            self.prev_hash.clone(),
        ]
    }

    fn computed(&self) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(HEAD);
        for field in self.hashed() {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        hash.finalize().into()
    }

    fn is_as_written(&self) -> bool {
        match self.chain.as_str() {
            FIRST_SEGMENT => first_segment::is_as_written(self),
            // A tenant's records stand in its own chain.
            _ => {
                self.first_entry.is_none()
                    && chain_of_text(self.tenant.as_deref()) == self.chain
                    && hex::encode(self.computed()) == self.hash
            }
        }
    }
}

fn chain_of_text(tenant: Option<&str>) -> String {
    tenant.map_or_else(|| PLATFORM.to_owned(), |tenant| format!("tenants/{tenant}"))
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
    #[error("record {seq} was added to a chain that ends before it")]
    Added { seq: i64 },
    #[error("the signed checkpoint knows {signed} records, and {found} are there")]
    CutOff { signed: u64, found: u64 },
    #[error("the first {signed} records are others than those of the signed checkpoint")]
    Rewritten { signed: u64 },
}

/// What checking one chain came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub chain: String,
    /// Records that hold, up to the first break.
    pub records: i64,
    pub last_hash: String,
    pub last_at: Option<Timestamp>,
    /// Of the tree over those records, hex.
    pub root: String,
    pub broken: Option<Broken>,
}

/// What checking some chains came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub chains: Vec<Verified>,
    /// Chains that were compared with a signed checkpoint.
    pub signed: u64,
    /// When that checkpoint was made, where that is known.
    pub signed_at: Option<Timestamp>,
}

impl Verification {
    pub fn records(&self) -> i64 {
        self.chains.iter().map(|chain| chain.records).sum()
    }
    pub fn last_at(&self) -> Option<Timestamp> {
        self.chains.iter().filter_map(|chain| chain.last_at).max()
    }
    /// The first chain that does not hold, and why.
    pub fn broken(&self) -> Option<(&str, &Broken)> {
        self.chains.iter().find_map(|chain| Some((chain.chain.as_str(), chain.broken.as_ref()?)))
    }
}

/// Checks a chain, record by record from the first; memory stays the same however long it is.
pub struct Checker {
    so_far: Verified,
    tree: Tree,
    signed: Option<Checkpoint>,
}

impl Checker {
    /// `signed`: what a checkpoint that may be believed says of this chain.
    pub fn new(chain: &str, signed: Option<Checkpoint>) -> Self {
        let so_far = Verified {
            chain: chain.to_owned(),
            records: 0,
            last_hash: FIRST_PREV.to_owned(),
            last_at: None,
            root: String::new(),
            broken: None,
        };
        Self { so_far, tree: Tree::default(), signed }
    }

    /// Takes the next record; false when the chain breaks there, and then nothing more need be read.
    pub fn take(&mut self, row: &Row) -> bool {
        if self.so_far.broken.is_none() {
            self.so_far.broken = self.look(row).err();
        }
        self.so_far.broken.is_none()
    }

    fn look(&mut self, row: &Row) -> Result<(), Broken> {
        let seq = self.so_far.records + 1;
        if row.seq != seq {
            return Err(Broken::Gap { missing: seq });
        }
        if row.prev_hash != self.so_far.last_hash {
            return Err(Broken::Unlinked { seq });
        }
        if row.chain != self.so_far.chain || !row.is_as_written() {
            return Err(Broken::Changed { seq });
        }
        self.tree.push(row.hash.as_bytes());
        self.so_far.records = seq;
        self.so_far.last_at = Some(Timestamp(row.at));
        self.so_far.last_hash.clone_from(&row.hash);
        match &self.signed {
            Some(signed) if signed.size == self.tree.size() && signed.root != self.tree.root() => {
                Err(Broken::Rewritten { signed: signed.size })
            }
            _ => Ok(()),
        }
    }

    /// `counted`: how many records the database says it ever wrote.
    pub fn finish(mut self, counted: i64) -> Verified {
        let found = self.tree.size();
        self.so_far.root = hex::encode(self.tree.root());
        let cut_off = self.signed.filter(|signed| signed.size > found).map(|signed| Broken::CutOff { signed: signed.size, found });
        let counted = match counted {
            more if more > self.so_far.records => Some(Broken::Gap { missing: self.so_far.records + 1 }),
            fewer if fewer < self.so_far.records => Some(Broken::Added { seq: fewer + 1 }),
            _ => None,
        };
        self.so_far.broken = self.so_far.broken.or(cut_off).or(counted);
        self.so_far
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
