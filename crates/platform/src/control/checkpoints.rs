//! Signs a checkpoint of the audit log every hour, while this process leads.

use super::{Halt, Leader};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(3600);
/// How long after a change of leaders: a portal that is being set up has other things to do.
pub(super) const AT_FIRST: Duration = Duration::from_secs(120);
/// How soon it is tried again after trouble, which the log names.
const AFTER_TROUBLE: Duration = Duration::from_secs(600);

/// How soon the next one is due.
pub(super) async fn sign(leader: Leader) -> Result<Duration, Halt> {
    match leader.platform.write_checkpoint().await {
        Ok(written) => {
            tracing::debug!(path = written.path, fresh = written.fresh, "signed a checkpoint of the audit log");
            Ok(EVERY)
        }
        Err(problem) => {
            tracing::error!(%problem, "no checkpoint of the audit log can be signed");
            Ok(AFTER_TROUBLE)
        }
    }
}
