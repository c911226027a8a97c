//! Between the gateway and the database: which part of each limit this gateway may use, so that several keep a limit together.

use gateway::LimitShares;
use platform::Platform;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// For one round: a database that is slower is one that does not answer.
const ROUND: Duration = Duration::from_secs(5);
/// After one that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until `stop`. `gateway`: this process, by a name that no other and no later one has.
pub async fn keep(platform: Platform, shares: LimitShares, gateway: String, stop: CancellationToken) {
    let forever = async {
        let mut away = false;
        loop {
            let asks = shares.next().await;
            match tokio::time::timeout(ROUND, platform.share_limits(&gateway, &asks)).await {
                Ok(Ok(answer)) => {
                    shares.given(answer);
                    away = false;
                }
                failed => {
                    if !std::mem::replace(&mut away, true) {
                        let why = failed.map_or_else(
                            |_| "it does not answer in time".to_owned(),
                            |f| f.err().map(|p| p.to_string()).unwrap_or_default(),
                        );
                        tracing::warn!(why, "the database cannot be asked for shares of limits; what was given last holds");
                    }
                    shares.unanswered();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! { () = forever => {}, () = stop.cancelled() => {} }
    // Best effort: a gateway that says nothing at its end loses its shares a little later.
    let _ = tokio::time::timeout(ROUND, platform.share_limits(&gateway, &shares.last())).await;
}
