//! The audit log: appended in the transaction of the deed itself, read in pages, verified from the first record on.

use crate::{
    Platform,
    access::{Actor, PlatformScope, Scope},
    problem::Doing,
    store::{self, Tx},
};
use domain::{
    audit::{Broken, Entry, FIRST_PREV, Record, Verification, hash, verify_next},
    name::Name,
    policy::Action,
    problem::Problem,
    time::Timestamp,
};

/// What to show of the log; an empty filter shows the newest records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Id or name of who acted; part of it is enough.
    pub actor: Option<String>,
    /// `run.launch`, or the beginning of it: `run.`.
    pub action: Option<String>,
    /// Id of the thing, or the beginning of its name.
    pub object: Option<String>,
    /// Only older records: the next page.
    pub before_seq: Option<i64>,
    /// 1 to 500.
    pub limit: u32,
}

/// Puts an entry at the end of the chain. The transaction is not done until this is in it.
pub(crate) async fn append(tx: &mut Tx, entry: Entry) -> store::Result<()> {
    let seq = tx.next("audit").await?;
    let prev_hash = match seq {
        1 => FIRST_PREV.to_owned(),
        _ => tx.audit_hash(seq - 1).await?,
    };
    let hash = hash(seq, &prev_hash, &entry);
    tx.insert_audit(&Record { seq, entry, prev_hash, hash }).await
}

/// An entry of a controller's or the command line's own deed: `dataset.checked`, `run.finished`.
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
        detail: String::new(),
        request_id: String::new(),
        from_ip: String::new(),
    }
}

/// The tenant's part of the log.
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

    /// Checks the chain from the first record to the last; memory stays at one page.
    pub async fn verify_audit(&self) -> Result<Verification, Problem> {
        const PAGE: i64 = 1000;
        let mut before: Option<(i64, String)> = None;
        let mut last_at = None;
        let mut records = 0;
        loop {
            let after = before.as_ref().map_or(0, |(seq, _)| *seq);
            let page = self.store().audit_after(after, PAGE).await.doing("reading the audit log")?;
            let whole = page.len() as i64 == PAGE;
            for record in page {
                if let Err(broken) = verify_next(before.as_ref().map(|(seq, hash)| (*seq, hash.as_str())), &record) {
                    return Ok(verification(records, before, last_at, Some(broken)));
                }
                records += 1;
                last_at = Some(record.entry.at);
                before = Some((record.seq, record.hash));
            }
            if !whole {
                break;
            }
        }
        // Records cut off at the end leave a chain that holds; the counter knows how many there were.
        let counted = self.store().audit_counter_and_last().await.doing("reading the audit log")?;
        let broken = (counted.0 > counted.1).then_some(Broken::Gap { missing: counted.1 + 1 });
        Ok(verification(records, before, last_at, broken))
    }
}

fn verification(records: i64, last: Option<(i64, String)>, last_at: Option<Timestamp>, broken: Option<Broken>) -> Verification {
    Verification { records, last_hash: last.map_or_else(|| FIRST_PREV.to_owned(), |(_, hash)| hash), last_at, broken }
}

impl Audit<'_> {
    /// Newest first.
    pub async fn page(&self, filter: AuditFilter) -> Result<Vec<Record>, Problem> {
        self.scope.permit(Action::AuditRead)?;
        self.scope.platform().store().audit_page(Some(self.scope.tenant_name()), &filter).await.doing("reading the audit log")
    }
    /// Checks the whole platform's chain: a part of it cannot be checked alone.
    pub async fn verify(&self) -> Result<Verification, Problem> {
        self.scope.permit(Action::AuditRead)?;
        self.scope.platform().verify_audit().await
    }
}

impl PlatformAudit<'_> {
    /// Newest first.
    pub async fn page(&self, filter: AuditFilter) -> Result<Vec<Record>, Problem> {
        self.scope.permit(Action::PlatformAuditRead)?;
        self.platform.store().audit_page(None, &filter).await.doing("reading the audit log")
    }
    pub async fn verify(&self) -> Result<Verification, Problem> {
        self.scope.permit(Action::PlatformAuditRead)?;
        self.platform.verify_audit().await
    }
}
