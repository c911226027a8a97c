//! Signed checkpoints: what every chain's size and root were, in notes that can be taken away. With one of them, an end that was cut off
//! and a chain that was written anew are found, whoever owns the database.
//!
//! A file holds one note a chain, an empty line between two; its name in the artefact store tells when. The key is made once, and
//! kept in the database sealed with the key of tokens, which is not in the database.

use super::{
    by_system,
    note::{Signer, Verifier},
};
use crate::{Platform, change::Change, problem::Doing, random};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    artefacts,
    audit::{
        Detail, Verification,
        checkpoint::{Checkpoint, LastCheckpoint},
    },
    problem::{Problem, ProblemKind},
    time::Timestamp,
};

const KEY: &str = "audit_checkpoint_key";
/// What the sealed key is bound to.
const PLACE: &str = "audit checkpoint key";

/// Checkpoints whose signatures were checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Signed {
    pub at: Option<Timestamp>,
    /// Chain and what was said of it.
    notes: Vec<(String, Checkpoint)>,
}

/// A checkpoint that lies in the artefact store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub path: String,
    pub text: String,
    /// False when nothing had happened since the one before, which is this one.
    pub fresh: bool,
}

impl Signed {
    pub(super) fn of(&self, chain: &str) -> Option<Checkpoint> {
        self.notes.iter().find(|(of, _)| of == chain).map(|(_, checkpoint)| checkpoint.clone())
    }

    pub(super) fn chains(&self) -> impl Iterator<Item = String> {
        self.notes.iter().map(|(chain, _)| chain.clone())
    }

    pub(super) fn last(&self, which: impl Fn(&str) -> bool) -> Option<LastCheckpoint> {
        let records = self.notes.iter().filter(|(chain, _)| which(chain)).map(|(_, checkpoint)| checkpoint.size).sum();
        self.at.map(|at| LastCheckpoint { at, records })
    }

    /// Every note must be signed by this key, and be of its log.
    fn read(text: &str, key: &Verifier) -> Option<Self> {
        let parts: Vec<&str> = text.trim_end().split("\n\n").collect();
        let note = |part: &[&str]| {
            let [body, signatures] = part else { return None };
            let note = format!("{body}\n\n{signatures}\n");
            let checkpoint = Checkpoint::read(key.open(&note)?)?;
            Some((checkpoint.chain(&key.name)?.to_owned(), checkpoint))
        };
        let notes = parts.chunks(2).map(note).collect::<Option<Vec<_>>>()?;
        Some(Self { at: None, notes })
    }
}

/// `20261121T200000Z-1795291200000.txt`: the first part for people, the second for us.
fn file_name(at: Timestamp) -> String {
    let readable: String = at.rfc3339().chars().filter(|c| !"-:".contains(*c)).collect();
    format!("{readable}-{}.txt", at.0)
}

fn made_at(path: &str) -> Option<Timestamp> {
    path.strip_suffix(".txt")?.rsplit('-').next()?.parse().ok().map(Timestamp)
}

fn not_as_signed(what: &str) -> Problem {
    Problem::conflict(format!("{what} is not as it was signed, or was signed with another key."))
        .next("Use a copy that was taken away, and name its key with --key.")
}

impl Platform {
    /// The public half of the key that signs checkpoints, as C2SP's tools take it; made now if there is none.
    pub async fn checkpoint_key(&self) -> Result<String, Problem> {
        Ok(self.signer().await?.verifier().to_string())
    }

    /// A new key for checkpoints. Those that were signed before are verified with the key of then.
    pub async fn renew_checkpoint_key(&self) -> Result<String, Problem> {
        Ok(self.make_key(true).await?.verifier().to_string())
    }

    async fn signer(&self) -> Result<Signer, Problem> {
        match self.store().secret_if_any(KEY).await.doing("reading the key of checkpoints")? {
            Some(sealed) => self.unsealed(&sealed),
            None => self.make_key(false).await,
        }
    }

    fn unsealed(&self, sealed: &str) -> Result<Signer, Problem> {
        let opened = self.inner.token_key.open(PLACE, sealed);
        let secret = opened.and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        secret.map(|secret| Signer::new(&secret)).ok_or_else(|| {
            Problem::new(ProblemKind::Internal, "The key of checkpoints was sealed with another token key than this one.")
                .next("Start with the previous token key, or run `atelier audit checkpoint --new-key`.")
        })
    }

    async fn make_key(&self, over_another: bool) -> Result<Signer, Problem> {
        let doing = "making the key of checkpoints";
        let secret = random::<32>();
        let signer = Signer::new(&secret);
        let mut tx = Change::by_system(self).await?;
        if !over_another && let Some(sealed) = tx.secret_if_any(KEY).await.doing(doing)? {
            return self.unsealed(&sealed);
        }
        tx.set_secret(KEY, &self.inner.token_key.seal(PLACE, &STANDARD.encode(secret))).await.doing(doing)?;
        let mut entry = by_system(tx.at(), None, "audit.checkpoint_key", "audit", "checkpoint_key", "");
        entry.detail = Detail::CheckpointKeyMade { verifier: signer.verifier().to_string() };
        tx.commit(entry).await.doing(doing)?;
        Ok(signer)
    }

    /// The newest checkpoint of the artefact store; empty when there is none, or none that was signed with the present key.
    pub(super) async fn newest_signed(&self) -> Result<Signed, Problem> {
        let doing = "reading the newest checkpoint";
        let listed = self.blobs().list(artefacts::audit_checkpoints()).await.doing(doing)?;
        let Some(path) = listed.into_iter().rev().map(|l| l.path).find(|path| made_at(path).is_some()) else {
            return Ok(Signed::default());
        };
        let text = self.blobs().bytes(&path).await.doing(doing)?;
        let text = String::from_utf8_lossy(&text);
        let key = self.signer().await?.verifier();
        // After a change of keys the next checkpoint is the first of the new one.
        if !text.starts_with(&format!("{}/", key.name)) {
            return Ok(Signed::default());
        }
        let read = Signed::read(&text, &key).ok_or_else(|| not_as_signed(&format!("The checkpoint {path} in the artefact store")))?;
        Ok(Signed { at: made_at(&path), ..read })
    }

    /// Signs what every chain is now and writes it into the artefact store. Nothing is signed that contradicts the newest checkpoint
    /// there: whoever wrote a chain anew does not get the portal's word for it.
    pub async fn write_checkpoint(&self) -> Result<Written, Problem> {
        let signer = self.signer().await?;
        let before = self.newest_signed().await?;
        let verified = self.verify_all(&before).await?;
        if let Some((chain, broken)) = verified.broken() {
            return Err(Problem::conflict(format!("The audit log failed verification, so no checkpoint is signed: {chain}, {broken}."))
                .next("Keep a copy of the database, and see `atelier audit verify`."));
        }
        let name = signer.verifier().name;
        let now: Vec<Checkpoint> = verified.chains.iter().filter_map(|chain| checkpoint(&name, chain)).collect();
        let text = now.iter().map(|c| signer.sign(&c.text())).collect::<Vec<_>>().join("\n");
        if let Some(at) = before.at
            && before.notes.iter().map(|(_, c)| c).eq(&now)
        {
            let path = format!("{}/{}", artefacts::audit_checkpoints(), file_name(at));
            return Ok(Written { path, text, fresh: false });
        }
        let path = format!("{}/{}", artefacts::audit_checkpoints(), file_name(self.now()));
        self.blobs().put(&path, text.clone()).await.doing("writing a checkpoint")?;
        Ok(Written { path, text, fresh: true })
    }

    /// Checks every chain against the checkpoint in `text`. `key`: by whom it must be signed; `None` = by this portal.
    pub async fn verify_against(&self, text: &str, key: Option<&str>) -> Result<Verification, Problem> {
        let key = match key {
            Some(key) => Verifier::read(key).ok_or_else(|| {
                Problem::field("key", "This is no key for notes.")
                    .next("It looks like NAME+KEYID+BASE64; `atelier audit key` prints the portal’s.")
            })?,
            None => self.signer().await?.verifier(),
        };
        let signed = Signed::read(text, &key).ok_or_else(|| not_as_signed("This checkpoint"))?;
        self.verify_all(&signed).await
    }
}

fn checkpoint(log: &str, chain: &domain::audit::Verified) -> Option<Checkpoint> {
    let root = hex::decode(&chain.root).ok()?.try_into().ok()?;
    Some(Checkpoint { origin: format!("{log}/{}", chain.chain), size: u64::try_from(chain.records).ok()?, root })
}
