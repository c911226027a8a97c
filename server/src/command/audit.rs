//! `atelier audit verify`.

use super::said;
use clap::Subcommand;
use platform::Platform;
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Computes the hash chain again, from the first record to the last. Ends with 1 when a record was changed or removed.
    Verify,
}

pub async fn run(command: AuditCommand, platform: &Platform) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify => {
            let verification = platform.verify_audit().await.map_err(said)?;
            match &verification.broken {
                None => {
                    let last = verification.last_at.map(|at| format!(", the last of {}", at.rfc3339())).unwrap_or_default();
                    println!("The chain is whole: {} records{last}.\n{}", verification.records, verification.last_hash);
                    Ok(ExitCode::SUCCESS)
                }
                Some(broken) => {
                    println!("The chain is broken: {broken}. The {} records before it are whole.", verification.records);
                    Ok(ExitCode::FAILURE)
                }
            }
        }
    }
}
