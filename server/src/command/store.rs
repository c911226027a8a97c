//! `atelier store copy`.

use super::said;
use crate::config::{Locations, StoreSettings};
use anyhow::{Context, bail};
use clap::Subcommand;
use domain::{artefacts::ArtefactStore, counted::counted, size};
use platform::store_copy::{Target, copy};
use std::{path::PathBuf, process::ExitCode};

/// Objects between two lines.
const EVERY: u64 = 100;

#[derive(Subcommand)]
pub enum StoreCommand {
    /// Copies everything from a folder into the store of the settings (`--store s3`), and compares what arrived. What is there already is not
    /// copied again: run it while the portal still works on the folder, stop the portal, run it again for the rest, and start the portal
    /// with the new store. Buckets are made where Garage's admin API may be used; else they must be there.
    Copy {
        /// The folder that was the store; it is only read.
        #[arg(long)]
        from: PathBuf,
    },
}

pub async fn run(command: StoreCommand, locations: &Locations) -> anyhow::Result<ExitCode> {
    let StoreCommand::Copy { from } = command;
    let from = from.canonicalize().with_context(|| format!("The folder {} cannot be read", from.display()))?;
    let StoreSettings { location, key, garage } = locations.store()?;
    if location.platform_bucket().is_none() {
        bail!("The settings name a folder as the store: set ATELIER_STORE=s3 and what belongs to it, to say where to copy.");
    }
    let source = ArtefactStore::Local { root: from.display().to_string() };
    let target = Target { location: &location, key: key.as_ref(), garage: garage.as_ref() };
    let tell = |so_far: &platform::store_copy::Copied| {
        if so_far.objects.is_multiple_of(EVERY) {
            eprintln!("{} so far, {}", counted(so_far.objects, "object", "objects"), size::bytes(so_far.bytes));
        }
    };
    let copied = copy(&source, target, tell).await.map_err(said)?;
    println!(
        "{} are in the new store, {}; {} of them were there already. Each was compared with the folder.",
        counted(copied.objects, "object", "objects"),
        size::bytes(copied.bytes),
        copied.found
    );
    Ok(ExitCode::SUCCESS)
}
