//! From the gateway to the database: metered calls in batches, kept until they are written.

use domain::usage::Call;
use gateway::UsageReceiver;
use platform::Platform;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const BATCH: usize = 500;
/// How long a batch may wait for more calls: the table of usage is that late.
const COLLECT: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs until the gateway is gone and everything is written, or until `stop`; then it writes what is left for at most `grace`.
pub async fn relay(platform: Platform, mut calls: UsageReceiver, stop: CancellationToken, grace: Duration) {
    loop {
        let batch = tokio::select! {
            batch = calls.next_batch(BATCH, COLLECT) => batch,
            () = stop.cancelled() => break,
        };
        if batch.is_empty() {
            return;
        }
        tokio::select! {
            () = write(&platform, batch.clone()) => {}
            () = stop.cancelled() => {
                calls.give_back(batch);
                break;
            }
        }
    }
    let rest = calls.drain();
    let count = rest.len();
    if tokio::time::timeout(grace, write(&platform, rest)).await.is_err() {
        tracing::error!(calls = count, "the database did not answer before the end: these calls are not in the usage table");
    }
}

/// Until it is written. A call that was written before is not written twice: its id is its key.
async fn write(platform: &Platform, batch: Vec<Call>) {
    let mut pause = FIRST_PAUSE;
    for chunk in batch.chunks(BATCH) {
        while let Err(problem) = platform.record_calls(chunk.to_vec()).await {
            tracing::warn!(calls = chunk.len(), %problem, "usage cannot be written now; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
