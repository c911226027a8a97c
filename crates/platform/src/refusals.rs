//! Refusals on their way into the audit log. They are written beside the answers, not before them, many in one transaction, so that
//! a flood of refused attempts neither slows the portal down nor hides what happened: nothing is dropped, and what comes in masses is counted.

use crate::{Platform, access::Origin, audit, change, problem::Doing};
use domain::{
    audit::{ActorKind, Detail, Entry},
    problem::Problem,
    time::{MINUTE, Timestamp},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Records a transaction.
const BATCH: usize = 200;
/// Refusals of signed-in people that wait at a time; further ones are counted in one record.
const QUEUE: usize = 20_000;
/// Addresses that are told apart within a minute; further ones share one record.
const ADDRESSES: usize = 4_096;
/// How long a database that refuses is left alone.
const AFTER_TROUBLE: Duration = Duration::from_secs(3);

/// What was refused to somebody without a valid identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// A sign-in that came to no session.
    SignIn,
    /// An API key that is unknown, revoked or expired.
    Key,
}

#[derive(Default)]
pub(crate) struct Refusals {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One record each.
    waiting: VecDeque<Entry>,
    /// One record by kind, address and minute.
    counted: HashMap<(Attempt, String, i64), Counted>,
    /// A task writes; it ends when nothing is left.
    writes: bool,
}

struct Counted {
    first: Entry,
    times: u64,
}

impl Counted {
    fn into_entry(self) -> Entry {
        Entry { detail: Detail::RefusedTimes { times: self.times }, ..self.first }
    }
}

impl State {
    fn note(&mut self, entry: Entry) {
        if self.waiting.len() < QUEUE {
            self.waiting.push_back(entry);
            return;
        }
        if let Some(last) = self.waiting.back_mut() {
            // Still one record: who hammers like this is one program of one person.
            let times = if let Detail::OneOfRefusals { times } = last.detail { times } else { 1 };
            last.detail = Detail::OneOfRefusals { times: times + 1 };
        }
    }

    fn count(&mut self, attempt: Attempt, origin: &Origin, at: Timestamp) {
        let minute = at.0.div_euclid(MINUTE);
        let mut key = (attempt, origin.from_ip.clone(), minute);
        if self.counted.len() >= ADDRESSES && !self.counted.contains_key(&key) {
            key.1 = "many addresses".into();
        }
        let from_ip = key.1.clone();
        let counted = self.counted.entry(key).or_insert_with(|| Counted { first: entry(attempt, origin, from_ip, at), times: 0 });
        counted.times += 1;
    }

    /// What may be written now, at most a batch: what waits, and the minutes that are over.
    fn take(&mut self, now: Timestamp) -> Vec<Entry> {
        let mut batch: Vec<Entry> = self.waiting.drain(..self.waiting.len().min(BATCH)).collect();
        let over: Vec<_> =
            self.counted.keys().filter(|(_, _, minute)| minute * MINUTE + MINUTE <= now.0).take(BATCH - batch.len()).cloned().collect();
        batch.extend(over.iter().filter_map(|key| self.counted.remove(key)).map(Counted::into_entry));
        batch
    }

    fn give_back(&mut self, batch: Vec<Entry>) {
        for entry in batch.into_iter().rev() {
            self.waiting.push_front(entry);
        }
    }

    /// Milliseconds until the next minute is over; none when nothing is left.
    fn next(&self, now: Timestamp) -> Option<u64> {
        let first = self.counted.keys().map(|(_, _, minute)| minute * MINUTE + MINUTE).min()?;
        Some(u64::try_from(first - now.0).unwrap_or(0))
    }
}

fn entry(attempt: Attempt, origin: &Origin, from_ip: String, at: Timestamp) -> Entry {
    let (actor_kind, actor_name, action, object_kind) = match attempt {
        Attempt::SignIn => (ActorKind::Person, "nobody signed in", "session.sign_in", "session"),
        Attempt::Key => (ActorKind::Key, "no valid key", "key.use", "key"),
    };
    Entry {
        at,
        actor_kind,
        actor: "unknown".into(),
        actor_name: actor_name.into(),
        tenant: None,
        action: action.into(),
        object_kind: object_kind.into(),
        object: String::new(),
        object_name: String::new(),
        result: "refused".into(),
        detail: Detail::None,
        request_id: origin.request_id.clone(),
        from_ip,
    }
}

impl Platform {
    fn refusals(&self) -> MutexGuard<'_, State> {
        self.inner.refusals.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person was refused something that they see.
    pub(crate) fn note_refusal(&self, entry: Entry) {
        tracing::warn!(actor = entry.actor, action = entry.action, request_id = entry.request_id, "refused");
        self.refusals().note(entry);
        self.see_to_refusals();
    }

    /// An attempt without a valid identity was refused: one record by kind, address and minute, with the number of times, when the minute is over.
    pub fn refused_attempt(&self, attempt: Attempt, origin: &Origin) {
        self.refusals().count(attempt, origin, self.now());
        self.see_to_refusals();
    }

    /// Writes every refusal that waits, also of a minute that is not over: the last thing before the end.
    pub async fn write_refusals(&self) -> Result<(), Problem> {
        loop {
            let batch = self.refusals().take(Timestamp(i64::MAX));
            if batch.is_empty() {
                return Ok(());
            }
            self.write(batch).await?;
        }
    }

    /// One task at a time, and none while there is nothing to write.
    fn see_to_refusals(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if std::mem::replace(&mut self.refusals().writes, true) {
            return;
        }
        let platform = self.clone();
        runtime.spawn(async move {
            loop {
                let pause = {
                    let mut state = platform.refusals();
                    let batch = state.take(platform.now());
                    if batch.is_empty() {
                        match state.next(platform.now()) {
                            None => {
                                state.writes = false;
                                return;
                            }
                            Some(ms) => Err(Duration::from_millis(ms.clamp(10, 250))),
                        }
                    } else {
                        Ok(batch)
                    }
                };
                match pause {
                    Err(pause) => tokio::time::sleep(pause).await,
                    Ok(batch) => {
                        if let Err(problem) = platform.write(batch).await {
                            tracing::error!(%problem, "refusals cannot be audited now; trying again");
                            tokio::time::sleep(AFTER_TROUBLE).await;
                        }
                    }
                }
            }
        });
    }

    /// Beside the line of writers: a flood of refused attempts makes no writer wait.
    async fn write(&self, mut batch: Vec<Entry>) -> Result<(), Problem> {
        // In one order of chains, as everybody who writes into several; within a chain as they came.
        batch.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        let written: Result<(), Problem> = async {
            let doing = "writing refusals into the audit log";
            let mut tx = change::beside(self, self.now()).await.doing(doing)?;
            for entry in &batch {
                audit::append(&mut tx, entry.clone()).await.doing(doing)?;
            }
            tx.commit().await.doing(doing)
        }
        .await;
        if written.is_err() {
            self.refusals().give_back(batch);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(ip: &str) -> Origin {
        Origin { request_id: "req_1".into(), from_ip: ip.into() }
    }

    #[test]
    fn an_address_has_one_record_a_minute_and_only_when_the_minute_is_over() {
        let mut state = State::default();
        for _ in 0..50 {
            state.count(Attempt::Key, &from("192.0.2.1"), Timestamp(61_000));
        }
        state.count(Attempt::SignIn, &from("192.0.2.1"), Timestamp(61_000));
        state.count(Attempt::Key, &from("192.0.2.1"), Timestamp(120_000));
        assert_eq!((state.take(Timestamp(119_999)).len(), state.next(Timestamp(119_000))), (0, Some(1_000)));
        let mut told: Vec<_> = state.take(Timestamp(120_000)).into_iter().map(|e| (e.action, e.from_ip, e.detail.said())).collect();
        told.sort();
        let ip = || "192.0.2.1".to_owned();
        assert_eq!(
            told,
            [
                ("key.use".into(), ip(), "Refused 50 times within a minute.".into()),
                ("session.sign_in".into(), ip(), "Refused once within a minute.".to_owned())
            ]
        );
        assert_eq!(state.counted.len(), 1, "the next minute is still open");
    }

    #[test]
    fn memory_is_bounded_and_still_nothing_goes_uncounted() {
        let mut state = State::default();
        for i in 0..ADDRESSES + 10 {
            state.count(Attempt::Key, &from(&format!("2001:db8::{i:x}")), Timestamp(0));
        }
        assert_eq!(state.counted.len(), ADDRESSES + 1);
        assert_eq!(state.counted[&(Attempt::Key, "many addresses".into(), 0)].times, 10);
        for i in 0..QUEUE + 3 {
            state.note(entry(Attempt::Key, &from("192.0.2.1"), i.to_string(), Timestamp(0)));
        }
        assert_eq!(state.waiting.len(), QUEUE);
        assert_eq!(state.waiting.back().unwrap().detail, Detail::OneOfRefusals { times: 4 });
    }
}
