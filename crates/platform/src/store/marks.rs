//! What others must hear of a change. Store functions mark it where they write; the commit writes it down, each thing once.

use super::{Result, Tx, revisions::Told};
use crate::uuid_at;
use domain::{
    event::{Event, Topic},
    ids::{EventId, PersonId},
    name::Name,
};

/// Events that are kept; a page that was asleep for longer reads itself anew.
const EVENTS_KEPT: i64 = 20_000;
/// Changes of rights that are kept for replicas that are late.
const RIGHTS_KEPT: i64 = 1_000;

#[derive(Default)]
pub(super) struct Marks {
    events: Vec<(Name, Topic, String)>,
    rights: Vec<PersonId>,
    directory: bool,
    jobs: bool,
}

impl Tx {
    /// Open pages hear that `object` changed.
    pub(crate) fn changed(&mut self, tenant: &Name, topic: Topic, object: impl ToString) {
        let mark = (tenant.clone(), topic, object.to_string());
        if !self.marks.events.contains(&mark) {
            self.marks.events.push(mark);
        }
    }

    /// Long streams of this person look again whether they may go on.
    pub(crate) fn rights_changed(&mut self, person: PersonId) {
        if !self.marks.rights.contains(&person) {
            self.marks.rights.push(person);
        }
    }

    /// Gateways read routes, keys and limits anew.
    pub(crate) fn directory_changed(&mut self) {
        self.marks.directory = true;
    }

    /// Whoever does jobs looks for one.
    pub(crate) fn jobs_changed(&mut self) {
        self.marks.jobs = true;
    }

    /// Last in the transaction: whoever writes beside the line holds the counters only until its commit.
    pub(super) async fn write_marks(&mut self) -> Result<Told> {
        let marks = std::mem::take(&mut self.marks);
        let counters = marks.directory || !marks.events.is_empty() || !marks.rights.is_empty();
        if marks.directory {
            self.next("directory").await?;
        }
        for (tenant, topic, object) in marks.events {
            let seq = self.next("events").await?;
            let event = Event { id: EventId::from_uuid(uuid_at(self.at())), seq, tenant, at: self.at(), topic, object };
            self.insert_event(&event).await?;
            // In small steps, so that no single change pays for it.
            if seq % 100 == 0 {
                self.forget_events_until(seq - EVENTS_KEPT).await?;
            }
        }
        for person in marks.rights {
            let seq = self.next("rights").await?;
            self.insert_rights_change(seq, person).await?;
            if seq % 100 == 0 {
                self.forget_rights_changes_until(seq - RIGHTS_KEPT).await?;
            }
        }
        Ok(Told { counters, jobs: marks.jobs })
    }
}
