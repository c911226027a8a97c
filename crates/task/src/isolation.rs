//! Tries from inside a tenant's pod what must be out of reach, and what must pass, and says of each what came of it. Judges nothing, and
//! names no address: whoever may read logs of this tenant's pods may not know where others are.

use crate::{SUCCEEDED, bad_spec, on_a_thread_of_its_own, reporter::Reporter, transfer};
use domain::{
    artefacts::ArtefactStore,
    causes::causes,
    isolation::{Outcome, Way},
    name::Name,
    problem::Outage,
    report::TaskMessage,
    task_spec::{CheckIsolation, TaskSpec, Work},
};
use futures::future::join_all;
use std::{io::ErrorKind, path::Path, time::Duration};
use storage::{Patience, Storage};
use tokio::net::{TcpStream, lookup_host};

/// Does what a spec says; every try side by side. `work`: where the log goes; `None` = beside the spec. Returns the exit code.
/// Blocks; must not be called in an async context.
pub fn check_isolation(spec_path: &Path, work: Option<&Path>) -> i32 {
    let folder = work.or_else(|| spec_path.parent()).unwrap_or_else(|| Path::new(".")).to_owned();
    let spec = std::fs::read(spec_path).map_err(|e| e.to_string());
    let spec = spec.and_then(|text| serde_json::from_slice::<TaskSpec>(&text).map_err(|e| e.to_string()));
    let (store, work) = match spec {
        Ok(TaskSpec { store, work: Work::CheckIsolation(work) }) => (store, work),
        Ok(_) => return bad_spec("This spec is not for “task check-isolation”."),
        Err(e) => return bad_spec(&format!("{} is not a task spec: {e}", spec_path.display())),
    };
    let reporter = match Reporter::new(&folder.join("log.jsonl"), std::io::stdout()) {
        Ok(reporter) => reporter,
        Err(e) => return bad_spec(&format!("The log cannot be written: {e}")),
    };
    on_a_thread_of_its_own(move || async move {
        let CheckIsolation { tries, patience, .. } = work;
        let patience = Duration::from_secs(patience.into());
        let (store, reporter) = (&store, &reporter);
        join_all(tries.into_iter().map(|(probe, way)| async move {
            let outcome = tokio::time::timeout(patience, go(&way, store, patience)).await.unwrap_or(Outcome::TimedOut);
            reporter.say(TaskMessage::Tried { probe, outcome });
        }))
        .await;
        SUCCEEDED
    })
}

async fn go(way: &Way, store: &ArtefactStore, patience: Duration) -> Outcome {
    match way {
        Way::Connect { address } => match TcpStream::connect(address).await {
            Ok(_) => Outcome::Reached,
            Err(e) => of_network(&e),
        },
        Way::Resolve { host } => match lookup_host((host.as_str(), 0)).await.map(|mut found| found.next().is_some()) {
            Ok(true) => Outcome::Reached,
            // The resolver's errors have no kind of their own: not known, and nobody who could say.
            Ok(false) | Err(_) => Outcome::NotThere,
        },
        Way::List { tenant } => ask(store, tenant, patience, false).await,
        Way::Write { tenant } => ask(store, tenant, patience, true).await,
    }
}

async fn ask(location: &ArtefactStore, tenant: &Name, patience: Duration, write: bool) -> Outcome {
    let opened = transfer::key().map_err(|e| e.to_string()).and_then(|key| {
        let patience = Patience { connect: patience, silence: patience, repeats: 1, within: patience };
        Storage::open(location, key.as_ref(), patience).map_err(|e| e.to_string())
    });
    let storage = match opened {
        Ok(storage) => storage,
        Err(why) => return Outcome::Failed { why },
    };
    let folder = format!("t/{tenant}");
    match if write { storage.probe(&folder).await } else { storage.can_list(&folder).await } {
        Ok(()) => Outcome::Reached,
        Err(e) => of_store(&e),
    }
}

fn of_network(e: &std::io::Error) -> Outcome {
    match e.kind() {
        // EPERM: a filter on this very machine.
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::PermissionDenied => Outcome::Refused,
        ErrorKind::TimedOut => Outcome::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Outcome::NoRoute,
        kind => Outcome::Failed { why: kind.to_string() },
    }
}

/// Never in the store's own words: they name buckets.
fn of_store(e: &storage::Error) -> Outcome {
    let failed = |why: &str| Outcome::Failed { why: why.into() };
    match storage::outage(e) {
        Outage::StoreKeyRefused => Outcome::Refused,
        Outage::StoreBucketMissing => Outcome::NotThere,
        Outage::StoreFull => failed("the store is full"),
        _ if causes(e).any(|c| c.to_string().contains("timed out")) => Outcome::TimedOut,
        _ => failed("the store does not answer, or not as a store does"),
    }
}
