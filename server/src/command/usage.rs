//! `atelier usage rebuild`.

use super::said;
use clap::Subcommand;
use platform::{Platform, access::PlatformScope};
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum UsageCommand {
    /// Adds up all metered calls anew, by hour. Needed only when calls were removed from the database by hand, or were
    /// stored by a process of a version that kept no such sums (docs/decisions/0031); the portal may run meanwhile.
    Rebuild,
}

pub async fn run(command: UsageCommand, platform: &Platform) -> anyhow::Result<ExitCode> {
    match command {
        UsageCommand::Rebuild => {
            let sums = platform.rebuild_usage(&PlatformScope::command_line()).await.map_err(said)?;
            println!("Sums by hour: {sums}.");
        }
    }
    Ok(ExitCode::SUCCESS)
}
