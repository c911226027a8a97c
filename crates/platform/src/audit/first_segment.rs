//! Closing the log of before each tenant had a chain of its own: once, by the first process that starts on it.

use super::{by_system, checkpoints::Signed};
use crate::{Platform, change::Change, problem::Doing, store::ChainEnd};
use domain::{
    audit::{Detail, chain::FIRST_SEGMENT},
    problem::Problem,
};

/// Where the tree of a segment without records would stand.
const NO_RECORDS: &str = "none";

impl Platform {
    /// Reads the first segment by its old rule, and notes in the platform's chain where it ends and whether it held: from then on its end
    /// is under that chain's hashes. One that does not hold is noted as such, and keeps nobody from working.
    pub(crate) async fn close_first_segment(&self) -> Result<(), Problem> {
        let doing = "closing the audit log of before";
        if !self.store().first_segment_is_open().await.doing(doing)? {
            return Ok(());
        }
        let found = self.verify_chain(FIRST_SEGMENT, Signed::default().of(FIRST_SEGMENT)).await?;
        let mut tx = Change::by_system(self).await?;
        let end = tx.audit_end(FIRST_SEGMENT).await.doing(doing)?;
        if !end.subtrees.is_empty() {
            // Another replica was quicker.
            return Ok(());
        }
        let subtrees = if found.records == 0 { NO_RECORDS.to_owned() } else { found.root.clone() };
        tx.set_audit_end(&ChainEnd { subtrees, ..end.clone() }).await.doing(doing)?;
        let mut entry = by_system(tx.at(), None, "audit.first_segment_closed", "audit", FIRST_SEGMENT, "");
        entry.detail = Detail::FirstSegmentClosed { records: end.size, head: end.head, root: found.root, whole: found.broken.is_none() };
        tx.commit(entry).await.doing(doing)?;
        if let Some(broken) = found.broken {
            tracing::error!(%broken, "the audit log of before does not hold; see `atelier audit verify`");
        }
        Ok(())
    }
}
