//! Whether the artefact store takes, gives and deletes objects, tried for real.

use crate::{
    config::{Locations, StoreSettings},
    finding::Finding,
};
use domain::{
    artefacts::{self, ArtefactStore},
    causes,
    problem::Outage,
};
use storage::{AdminError, GarageAdmin, Patience, Storage};

/// A person waits.
const PATIENCE: Patience = Patience { repeats: 1, ..Patience::PORTAL };

pub(super) async fn store(locations: &Locations) -> Vec<Finding> {
    // A folder is made at the first start, and the doctor changes nothing.
    if locations.store.is_folder() {
        return vec![Finding::Good("a folder on this machine".into())];
    }
    let StoreSettings { location, key, garage } = match locations.store() {
        Ok(settings) => settings,
        Err(refused) => return vec![Finding::Missing(refused.to_string(), "`atelier serve` does not start with these settings.".into())],
    };
    let bucket = location.platform_bucket().unwrap_or_default();
    let mut found = Vec::new();
    if let Some(garage) = &garage {
        found.push(admin_api(garage).await);
    }
    let tried = match Storage::open(&location, key.as_ref(), PATIENCE) {
        Ok(storage) => storage.probe(artefacts::audit_checkpoints()).await,
        Err(e) => return vec![Finding::Missing(e.to_string(), "Look at the settings of the store.".into())],
    };
    let ArtefactStore::S3 { endpoint, .. } = &location else { return found };
    found.push(match tried {
        Ok(()) => Finding::Good(format!("{endpoint} took, gave and deleted an object in the bucket {bucket}")),
        Err(e) if storage::outage(&e) == Outage::StoreBucketMissing && garage.is_some() => {
            Finding::Note(format!("the bucket {bucket} is not there yet; the portal makes it when it runs"))
        }
        Err(e) => {
            let (what, how) = in_words(storage::outage(&e), endpoint, &bucket);
            Finding::Missing(format!("{what} ({})", last_cause(&e)), how)
        }
    });
    found
}

async fn admin_api(garage: &GarageAdmin) -> Finding {
    match garage.answers().await {
        Ok(()) => Finding::Good("Garage’s admin API answers: the portal makes buckets and keys of tenants".into()),
        Err(e @ AdminError::Away(_)) => {
            Finding::Missing(e.to_string(), "Look at ATELIER_GARAGE_ADMIN_URL, and whether Garage runs.".into())
        }
        Err(e) => Finding::Missing(e.to_string(), "Look at the file that ATELIER_GARAGE_ADMIN_TOKEN names.".into()),
    }
}

fn in_words(outage: Outage, endpoint: &str, bucket: &str) -> (String, String) {
    match outage {
        Outage::StoreKeyRefused => (
            format!("{endpoint} does not accept the portal’s key for the bucket {bucket}"),
            "Look at the key (ATELIER_S3_KEY): it must read and write all buckets of the portal. A wrong clock or region is refused so, too."
                .into(),
        ),
        Outage::StoreBucketMissing => {
            (format!("{endpoint} has no bucket {bucket}"), format!("Make the bucket {bucket}, and one for each tenant."))
        }
        Outage::StoreFull => (format!("{endpoint} is full, or the quota of the bucket {bucket} is used up"), "Free some space.".into()),
        _ => (
            format!("{endpoint} does not answer as S3 does"),
            "Look at ATELIER_S3_ENDPOINT, at the network between, and at ATELIER_S3_CA if its certificate is your house’s.".into(),
        ),
    }
}

/// The innermost, which says most.
fn last_cause(e: &storage::Error) -> String {
    let last = causes::causes(e).last().map(ToString::to_string).unwrap_or_default();
    domain::one_line::one_line(&last, 200)
}
