//! `atelier serve`: until SIGTERM or Ctrl-C; a second one ends it at once.

use crate::{
    config::{Locations, ServeArgs},
    portal,
};
use anyhow::Context;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub async fn serve(args: ServeArgs, locations: Locations) -> anyhow::Result<ExitCode> {
    // Before anything starts: a signal that comes early must not be lost.
    let mut term = signal(SignalKind::terminate()).context("signals cannot be heard")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be heard")?;
    let portal = portal::start(args, locations, std::env::current_exe().context("the program does not know where it lies")?).await?;
    let stop: CancellationToken = portal.stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: what is under way comes to its end; a second signal ends it now");
        stop.cancel();
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(130);
    });
    portal.stopped().await?;
    Ok(ExitCode::SUCCESS)
}
