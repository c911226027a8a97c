//! The audit log: appended in the transaction of the change itself, read in pages, verified from the first record on, and signed in
//! checkpoints.

mod checkpoints;
mod first_segment;
mod note;

pub use checkpoints::Written;

use crate::{
    Platform,
    access::{Actor, PlatformScope, Scope},
    problem::Doing,
    store::{self, ChainEnd, Tx},
};
use checkpoints::Signed;
use domain::{
    audit::{
        Detail, Entry, Record, Verification, Verified,
        chain::{Checker, FIRST_SEGMENT, Row, chain_of},
        checkpoint::{Checkpoint, LastCheckpoint},
        tree::Tree,
    },
    filter::AuditFilter,
    name::Name,
    page::Page,
    policy::Action,
    problem::Problem,
    time::Timestamp,
};

/// Puts an entry at the end of its chain. The transaction is not done until this is in it.
pub(crate) async fn append(tx: &mut Tx, entry: Entry) -> store::Result<()> {
    tx.is_about(&entry);
    let chain = chain_of(entry.tenant.as_ref());
    let end = tx.audit_end(&chain).await?;
    let mut tree = match u64::try_from(end.size).ok().and_then(|size| Tree::read(size, &end.subtrees)) {
        Some(tree) => tree,
        // Somebody wrote into the database by hand. Work goes on; `audit verify` tells what is wrong.
        None => {
            tracing::error!(chain, size = end.size, "the end of an audit chain does not fit its length; its tree is built anew");
            let mut tree = Tree::default();
            tx.audit_hashes(&chain, end.size).await?.iter().for_each(|hash| tree.push(hash.as_bytes()));
            tree
        }
    };
    let row = Row::new(end.size + 1, &end.head, entry);
    tree.push(row.hash.as_bytes());
    tx.insert_audit(&row).await?;
    tx.set_audit_end(&ChainEnd { chain, size: row.seq, head: row.hash, subtrees: tree.stored() }).await
}

/// An entry of a controller's or the command line's own action: `dataset.checked`, `run.finished`.
pub(crate) fn by_system(
    at: Timestamp,
    tenant: Option<&Name>,
    action: &str,
    object_kind: &str,
    object: impl ToString,
    object_name: impl ToString,
) -> Entry {
    by(&Actor::system(), at, tenant, action, object_kind, object, object_name)
}

/// An entry of what `actor` did without a permit: signing in, a controller's work.
pub(crate) fn by(
    actor: &Actor,
    at: Timestamp,
    tenant: Option<&Name>,
    action: &str,
    object_kind: &str,
    object: impl ToString,
    object_name: impl ToString,
) -> Entry {
    Entry {
        at,
        actor_kind: actor.kind,
        actor: actor.id.clone(),
        actor_name: actor.name.clone(),
        tenant: tenant.cloned(),
        action: action.to_owned(),
        object_kind: object_kind.to_owned(),
        object: object.to_string(),
        object_name: object_name.to_string(),
        result: "done".into(),
        detail: Detail::None,
        request_id: String::new(),
        from_ip: String::new(),
    }
}

/// The tenant's log.
pub struct Audit<'a> {
    scope: &'a Scope,
}

/// The whole log.
pub struct PlatformAudit<'a> {
    platform: &'a Platform,
    scope: &'a PlatformScope,
}

impl Platform {
    pub fn audit<'a>(&self, scope: &'a Scope) -> Audit<'a> {
        Audit { scope }
    }
    pub fn platform_audit<'a>(&'a self, scope: &'a PlatformScope) -> PlatformAudit<'a> {
        PlatformAudit { platform: self, scope }
    }

    /// Checks every chain from its first record to the last, and against the newest checkpoint of the artefact store.
    pub async fn verify_audit(&self) -> Result<Verification, Problem> {
        let signed = self.newest_signed().await?;
        self.verify_all(&signed).await
    }

    /// Every chain that the database or the checkpoint knows.
    async fn verify_all(&self, signed: &Signed) -> Result<Verification, Problem> {
        let known = self.store().audit_chains().await.doing("reading the audit log")?;
        let mut chains: Vec<String> = known.into_iter().map(|(chain, _)| chain).chain(signed.chains()).collect();
        chains.sort();
        chains.dedup();
        self.verify_chains(&chains, signed).await
    }

    async fn verify_chains(&self, chains: &[String], signed: &Signed) -> Result<Verification, Problem> {
        let mut out = Verification { signed_at: signed.at, ..Verification::default() };
        for chain in chains {
            let of_chain = signed.of(chain);
            out.signed += u64::from(of_chain.is_some());
            out.chains.push(self.verify_chain(chain, of_chain).await?);
        }
        Ok(out)
    }

    /// Memory stays at one page.
    async fn verify_chain(&self, chain: &str, signed: Option<Checkpoint>) -> Result<Verified, Problem> {
        const PAGE: i64 = 1000;
        let (store, doing) = (self.store(), "reading the audit log");
        let mut checker = Checker::new(chain, signed);
        // Records may come while this reads: there are at least as many as before it, and at most as many as after it.
        let least = store.audit_size(chain).await.doing(doing)?;
        let mut read = 0;
        loop {
            let page = store.audit_after(chain, read, PAGE).await.doing(doing)?;
            let whole = page.len() as i64 == PAGE;
            read = page.last().map_or(read, |row| row.seq);
            if !page.iter().all(|row| checker.take(row)) || !whole {
                break;
            }
        }
        let most = store.audit_size(chain).await.doing(doing)?;
        Ok(checker.finish(read.clamp(least, most.max(least))))
    }
}

impl Audit<'_> {
    /// Newest first.
    pub async fn page(&self, filter: AuditFilter) -> Result<Page<Record>, Problem> {
        self.scope.permit(Action::AuditRead)?;
        let page = self.scope.platform().store().audit_page(Some(self.scope.tenant()), &filter).await.doing("reading the audit log")?;
        Ok(page.map(Row::record))
    }

    /// Checks the tenant's chain, and the first segment where there is one: of that, a part cannot be checked alone.
    pub async fn verify(&self) -> Result<Verification, Problem> {
        self.scope.permit(Action::AuditRead)?;
        let platform = self.scope.platform();
        let known = platform.store().audit_chains().await.doing("reading the audit log")?;
        let mut chains = vec![chain_of(Some(self.scope.tenant_name()))];
        chains.extend(known.into_iter().map(|(chain, _)| chain).filter(|chain| chain == FIRST_SEGMENT));
        platform.verify_chains(&chains, &platform.newest_signed().await?).await
    }

    /// What the newest checkpoint says of the tenant's chain.
    pub async fn last_checkpoint(&self) -> Result<Option<LastCheckpoint>, Problem> {
        self.scope.permit(Action::AuditRead)?;
        let chain = chain_of(Some(self.scope.tenant_name()));
        Ok(self.scope.platform().newest_signed().await?.last(|of| of == chain))
    }
}

impl PlatformAudit<'_> {
    /// Newest first.
    pub async fn page(&self, filter: AuditFilter) -> Result<Page<Record>, Problem> {
        self.scope.permit(Action::PlatformAuditRead)?;
        let page = self.platform.store().audit_page(None, &filter).await.doing("reading the audit log")?;
        Ok(page.map(Row::record))
    }
    pub async fn verify(&self) -> Result<Verification, Problem> {
        self.scope.permit(Action::PlatformAuditRead)?;
        self.platform.verify_audit().await
    }
    /// What the newest checkpoint says of all chains.
    pub async fn last_checkpoint(&self) -> Result<Option<LastCheckpoint>, Problem> {
        self.scope.permit(Action::PlatformAuditRead)?;
        Ok(self.platform.newest_signed().await?.last(|_| true))
    }
}
