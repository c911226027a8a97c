//! What follows for an endpoint from the replicas that its engine sees: its state, where calls go, and what its log says of it.

use crate::{
    endpoint::{AdapterState, Endpoint, EndpointEvent, EndpointState},
    ids::ModelVersionId,
    reason::{endpoint::EndpointReason, task::PendingCause},
    replica::{Replica, ReplicaState},
    run::LogLevel,
    time::Timestamp,
};
use std::mem::discriminant;

/// What is to be written beside an endpoint after a look at its replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// For its log.
    pub told: Vec<(LogLevel, String)>,
    /// Versions that no replica has loaded any more.
    pub unloaded: Vec<ModelVersionId>,
}

impl Endpoint {
    /// A server was started for it and is not known to have ended.
    pub const fn has_server(&self) -> bool {
        match self.state {
            EndpointState::Starting | EndpointState::Ready => true,
            // Without, it is to be started anew.
            EndpointState::Degraded => self.ready_at.is_some() && self.external.is_none(),
            EndpointState::Wanted | EndpointState::Stopping | EndpointState::Stopped | EndpointState::Failed => false,
        }
    }

    /// Whether calls are answered; also by fewer replicas than wanted.
    pub fn answers(&self) -> bool {
        self.state == EndpointState::Ready || self.state == EndpointState::Degraded && self.replicas.iter().any(Replica::is_ready)
    }

    /// Its replicas as the engine sees them now. `by_readiness`: that one is ready means that it has answered, so the endpoint's own state
    /// follows from it; otherwise the server's own word decides.
    pub fn look(&mut self, mut seen: Vec<Replica>, by_readiness: bool, at: Timestamp) -> Looked {
        let before = std::mem::take(&mut self.replicas);
        for replica in &mut seen {
            match before.iter().find(|b| b.name == replica.name) {
                Some(known) if known.restarts == replica.restarts => replica.adapters.clone_from(&known.adapters),
                Some(_) => {}
                // A version of this program that knew no replicas has noted only what the server has loaded.
                None if before.is_empty() => replica.adapters = self.loaded(),
                None => {}
            }
        }
        // Of a single process its own output tells.
        let told = if by_readiness { news(&before, &seen) } else { Vec::new() };
        let mut looked = Looked { told, ..Looked::default() };
        self.replicas = seen;
        if self.state != EndpointState::Starting || by_readiness {
            self.take_addresses();
        }
        if by_readiness {
            self.follow_readiness(at);
        }
        for a in &mut self.attachments {
            if a.state == AdapterState::Ready && !self.replicas.iter().any(|r| r.has_loaded(a.version)) {
                a.state = AdapterState::Loading;
                looked.unloaded.push(a.version);
            }
        }
        looked
    }

    /// Calls go to the replicas that are ready.
    pub fn take_addresses(&mut self) {
        self.addresses = self.replicas.iter().filter(|r| r.is_ready()).filter_map(|r| r.address.clone()).collect();
    }

    fn loaded(&self) -> Vec<String> {
        self.attachments.iter().filter(|a| a.state == AdapterState::Ready).map(|a| a.version.to_string()).collect()
    }

    fn follow_readiness(&mut self, at: Timestamp) {
        let (ready, wanted) = (self.ready_replicas(), self.settings.replicas);
        if !self.has_server() || (self.state == EndpointState::Starting && ready == 0) {
            return;
        }
        let event = if ready >= wanted { EndpointEvent::Answers } else { EndpointEvent::ReplicasMissing };
        if let Ok(state) = self.state.next(event) {
            self.state = state;
        }
        self.ready_at = self.ready_at.or(Some(at));
        self.reason = match event {
            EndpointEvent::Answers => EndpointReason::Answers,
            _ => EndpointReason::ReplicasMissing { ready, wanted, cause: self.in_the_way() },
        };
    }

    pub fn ready_replicas(&self) -> u32 {
        u32::try_from(self.replicas.iter().filter(|r| r.is_ready()).count()).unwrap_or(u32::MAX)
    }

    /// What keeps a replica from starting, where something does.
    fn in_the_way(&self) -> Option<PendingCause> {
        self.replicas.iter().find_map(|r| match &r.state {
            ReplicaState::Waiting { cause } if *cause != PendingCause::Starting => Some(cause.clone()),
            _ => None,
        })
    }

    /// How many of its replicas run with the settings as they are, and of how many; none when no change is under way.
    pub fn updating(&self) -> Option<(u32, u32)> {
        let staying = || self.replicas.iter().filter(|r| !matches!(r.state, ReplicaState::Failed { .. }));
        staying().any(|r| r.outdated).then(|| {
            let done = staying().filter(|r| !r.outdated && r.is_ready()).count();
            (u32::try_from(done).unwrap_or(u32::MAX), self.settings.replicas)
        })
    }
}

/// What happened to replicas between two looks, a line each.
fn news(before: &[Replica], now: &[Replica]) -> Vec<(LogLevel, String)> {
    let mut told = Vec::new();
    for replica in now {
        let known = before.iter().find(|b| b.name == replica.name);
        if let Some(known) = known
            && known.restarts < replica.restarts
            && !matches!(known.state, ReplicaState::Failed { .. })
            && !matches!(replica.state, ReplicaState::Failed { .. })
        {
            told.push((LogLevel::Warning, format!("{} ended and was started again.", named(replica))));
        }
        if known.is_some_and(|k| goes_on(&k.state, &replica.state)) {
            continue;
        }
        told.extend(begins(known.map(|k| &k.state), replica));
    }
    for gone in before.iter().filter(|b| !b.name.is_empty() && now.iter().all(|n| n.name != b.name)) {
        told.push(match gone.state {
            ReplicaState::Draining => (LogLevel::Info, format!("{} has ended.", named(gone))),
            ReplicaState::Ready => (LogLevel::Warning, format!("{} is gone; calls go to the others.", named(gone))),
            _ => (LogLevel::Info, format!("{} is gone.", named(gone))),
        });
    }
    told
}

/// It does what it did. One that waits for the same tells nothing new, whoever has it meanwhile.
fn goes_on(before: &ReplicaState, now: &ReplicaState) -> bool {
    match (before, now) {
        (ReplicaState::Waiting { cause: before }, ReplicaState::Waiting { cause: now }) => discriminant(before) == discriminant(now),
        _ => before == now,
    }
}

fn begins(was: Option<&ReplicaState>, replica: &Replica) -> Option<(LogLevel, String)> {
    let (name, node) = (named(replica), &replica.node);
    Some(match &replica.state {
        ReplicaState::Waiting { cause: PendingCause::Starting } => return None,
        ReplicaState::Waiting { cause } => (LogLevel::Warning, format!("{name}: {}", cause.said())),
        ReplicaState::Loading if was == Some(&ReplicaState::Ready) => {
            (LogLevel::Warning, format!("{name} on {node} does not answer any more; calls go to the others."))
        }
        ReplicaState::Loading => (LogLevel::Info, format!("{name} loads the model on {node}.")),
        ReplicaState::Ready => (LogLevel::Info, format!("{name} on {node} takes calls.")),
        ReplicaState::Draining => (LogLevel::Info, format!("{name} takes no new calls; it ends when those under way are answered.")),
        ReplicaState::Failed { end } => (LogLevel::Error, format!("{name} on {node} failed: {}. It is started again.", end.said())),
    })
}

fn named(replica: &Replica) -> String {
    match replica.name.as_str() {
        "" => "A replica".into(),
        _ => format!("Replica {}", replica.short()),
    }
}

#[cfg(test)]
#[path = "endpoint_replicas_tests.rs"]
mod tests;
