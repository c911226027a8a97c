//! The only ways to a transaction that writes, so that nothing that belongs to a change can be forgotten.
//!
//! - [`Change`]: what a person (proven by a permit) or the program itself does. It ends with an audit record, or with a reason from
//!   [`Unaudited`]'s short list; there is no third way to commit it.
//! - [`as_leader`]: what a controller does. Its first statement makes sure that the lease is still its own.
//! - [`beside`] and [`beside_as_leader`]: what comes in masses and is nobody's action (metered calls, log lines, points of curves,
//!   evaluated rows); on PostgreSQL it does not stand in the writers' line.
//!
//! Events, the directory's revision and changed rights are marked by the store functions that write, and committed with the rest.
//! Nobody else can begin a transaction: that takes a [`WriteAccess`], and only this file calls for one.

use crate::{
    Platform,
    access::{Actor, Permit},
    audit,
    problem::Doing,
    store::{self, Tx, leases::Fence},
    write_access::WriteAccess,
};
use domain::{audit::Entry, name::Name, problem::Problem, time::Timestamp, traces::TARGET};
use std::ops::{Deref, DerefMut};
use tracing::field::Empty;

/// A change under way; dropped, it leaves nothing behind. It reads and writes like the transaction that it holds.
#[must_use = "a change that is not committed leaves nothing behind"]
pub(crate) struct Change<'p> {
    tx: Tx,
    permit: Option<Permit<'p>>,
}

/// Why a change has no audit record. Each is nobody's action on a tenant's things, or only a part of one that is recorded at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unaudited {
    /// A person's own chat: what is asked and answered is never in the log.
    OwnChat,
    /// Rows that a file arrives into; the upload is recorded when it has arrived.
    UploadArriving,
    /// The rows of an upload that came to nothing.
    UploadCleared,
    /// A job that found nothing to do, or says why it waits.
    JobBookkeeping,
    /// The provider confirmed a session and changed nothing.
    SessionConfirmed,
    /// The provider ended a session that nobody has here.
    NothingToEnd,
}

impl<'p> Change<'p> {
    /// What this permit allows.
    pub(crate) async fn begin(platform: &Platform, permit: &Permit<'p>) -> Result<Self, Problem> {
        Ok(Self { tx: in_line(platform).await?, permit: Some(permit.clone()) })
    }
}

impl Change<'static> {
    /// What nobody asked for just now: a job's result, a sign-in, a refusal.
    pub(crate) async fn by_system(platform: &Platform) -> Result<Self, Problem> {
        Ok(Self { tx: in_line(platform).await?, permit: None })
    }
}

impl Change<'_> {
    /// The record of this change, to be completed and given to [`Change::commit`].
    pub(crate) fn entry(&self, object_kind: &str, object: impl ToString, object_name: impl ToString) -> Entry {
        match &self.permit {
            Some(permit) => permit.entry(self.tx.at(), object_kind, object, object_name),
            None => audit::by(&Actor::system(), self.tx.at(), None, "", object_kind, object, object_name),
        }
    }

    /// The same for a platform action that concerns one tenant, so that its owners see it in their own log.
    pub(crate) fn entry_about(&self, tenant: &Name, object_kind: &str, object: impl ToString, object_name: impl ToString) -> Entry {
        Entry { tenant: Some(tenant.clone()), ..self.entry(object_kind, object, object_name) }
    }

    /// A further record, where one change concerns several things.
    pub(crate) async fn record(&mut self, entry: Entry) -> store::Result<()> {
        audit::append(&mut self.tx, entry).await
    }

    /// Ends the change, with its record, its events and its place in the directory, or not at all.
    pub(crate) async fn commit(mut self, entry: Entry) -> store::Result<()> {
        self.record(entry).await?;
        self.tx.commit().await
    }

    /// Ends a change that may go unrecorded for this reason.
    pub(crate) async fn commit_unaudited(self, _why: Unaudited) -> store::Result<()> {
        self.tx.commit().await
    }
}

impl Deref for Change<'_> {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.tx
    }
}

/// Traced from waiting for its turn to its end. It gets the name of what is done once that is known (`audit::append`), so nobody enters the
/// span before: from then on its name would be fixed.
async fn in_line(platform: &Platform) -> Result<Tx, Problem> {
    let trace = tracing::info_span!(
        target: TARGET, "change", otel.name = Empty, atelier.tenant = Empty, atelier.object_kind = Empty, atelier.object = Empty
    );
    let tx = platform.store().begin(platform.now(), WriteAccess::of_change()).await.doing("beginning a transaction")?;
    Ok(tx.traced(trace))
}

/// The controllers' way: a transaction that only the holder of the lease gets; `None` = another one leads by now. Writers stand in one
/// line, and a takeover is a writer: nobody takes the lease before this ends.
pub(crate) async fn as_leader(platform: &Platform, fence: &Fence) -> Result<Option<Tx>, Problem> {
    let mut tx = in_line(platform).await?;
    Ok(tx.holds(fence).await.doing("looking at the lease")?.then_some(tx))
}

/// Beside the writers' line on PostgreSQL, for rows that are only added and that nothing else reads while deciding.
pub(crate) async fn beside(platform: &Platform, at: Timestamp) -> store::Result<Tx> {
    platform.store().begin_beside(at, WriteAccess::of_change()).await
}

/// The same for a controller: only while it leads, and nobody takes the lease before this ends. For what tasks say in masses.
pub(crate) async fn beside_as_leader(platform: &Platform, fence: &Fence) -> Result<Option<Tx>, Problem> {
    let mut tx = beside(platform, platform.now()).await.doing("beginning a transaction")?;
    Ok(tx.holds_beside(fence).await.doing("looking at the lease")?.then_some(tx))
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
