//! From the gateway's spool to the database: metered calls in batches, which stay in the spool until they are written.

use crate::metrics::UsageWritten;
use gateway::UsageReceiver;
use platform::Platform;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const BATCH: usize = 500;
/// How long a batch may wait for more calls: the table of usage is that late.
const COLLECT: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs until `stop`; then it writes what is left for at most `grace`. What is not written by then, and what calls that are cut off
/// record after that, stays in the spool for the next start.
pub async fn relay(platform: Platform, mut calls: UsageReceiver, counted: UsageWritten, stop: CancellationToken, grace: Duration) {
    let to_the_disk = calls.sync();
    let to_the_database = async {
        tokio::select! {
            () = forever(&platform, &mut calls, &counted) => {}
            () = stop.cancelled() => {}
        }
        if tokio::time::timeout(grace, rest(&platform, &mut calls, &counted)).await != Ok(true) {
            tracing::warn!("the database did not take the last calls before the end; they are recorded at the next start");
        }
    };
    tokio::select! {
        () = to_the_disk => {}
        () = to_the_database => {}
    }
}

async fn forever(platform: &Platform, calls: &mut UsageReceiver, counted: &UsageWritten) {
    let mut pause = FIRST_PAUSE;
    loop {
        let batch = calls.next_batch(BATCH, COLLECT).await;
        let count = batch.len();
        match platform.record_calls(batch).await {
            Ok(set_aside) => {
                calls.confirm();
                counted.taken(count, set_aside);
                pause = FIRST_PAUSE;
            }
            // A call that was written before is not written twice: its id is its key.
            Err(problem) => {
                counted.failures.inc();
                tracing::warn!(calls = count, %problem, "usage cannot be written now; it is kept on the disk and tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Whether all of it is written.
async fn rest(platform: &Platform, calls: &mut UsageReceiver, counted: &UsageWritten) -> bool {
    while calls.has_more() {
        let batch = calls.next_batch(BATCH, Duration::ZERO).await;
        let count = batch.len();
        let Ok(set_aside) = platform.record_calls(batch).await else { return false };
        calls.confirm();
        counted.taken(count, set_aside);
    }
    true
}
