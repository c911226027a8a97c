//! `atelier audit verify`, `checkpoint` and `key`.

use super::said;
use anyhow::Context;
use clap::Subcommand;
use domain::audit::Verification;
use platform::Platform;
use std::{path::PathBuf, process::ExitCode};

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Computes every chain again, from its first record to the last, and compares it with a signed checkpoint. Ends with 1 when a record
    /// was changed, added or removed.
    Verify {
        /// A checkpoint that was taken away; without it, the newest one of the artefact store.
        #[arg(long)]
        checkpoint: Option<PathBuf>,
        /// The key that signed it (`atelier audit key` prints the portal's); needed when the portal's key is another one by now.
        #[arg(long, requires = "checkpoint")]
        key: Option<String>,
    },
    /// Signs what every chain is now: one note a chain, written into the artefact store and printed.
    Checkpoint {
        /// Writes it to this file too.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Makes a new key first, for instance when the token key that sealed the one before is lost.
        #[arg(long)]
        new_key: bool,
    },
    /// Prints the public key that checkpoints are verified with.
    Key,
}

pub async fn run(command: AuditCommand, platform: &Platform) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify { checkpoint: None, key: _ } => Ok(tell(&platform.verify_audit().await.map_err(said)?)),
        AuditCommand::Verify { checkpoint: Some(file), key } => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            Ok(tell(&platform.verify_against(&text, key.as_deref()).await.map_err(said)?))
        }
        AuditCommand::Checkpoint { out, new_key } => {
            if new_key {
                eprintln!("The new key: {}", platform.renew_checkpoint_key().await.map_err(said)?);
            }
            let written = platform.write_checkpoint().await.map_err(said)?;
            if let Some(file) = out {
                std::fs::write(&file, &written.text).with_context(|| format!("{} cannot be written", file.display()))?;
            }
            print!("{}", written.text);
            eprintln!("{}: {}", if written.fresh { "Written" } else { "Nothing happened since the one before" }, written.path);
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Key => {
            println!("{}", platform.checkpoint_key().await.map_err(said)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn tell(v: &Verification) -> ExitCode {
    for chain in &v.chains {
        match &chain.broken {
            None => {
                let last = chain.last_at.map(|at| format!(", the last of {}", at.rfc3339())).unwrap_or_default();
                println!("{}: whole, {} records{last}\n  {}", chain.chain, chain.records, chain.last_hash);
            }
            Some(broken) => println!("{}: broken: {broken}. {} records before it are whole.", chain.chain, chain.records),
        }
    }
    match (v.signed, v.signed_at) {
        (0, _) => println!("Compared with no signed checkpoint: an end that was cut off with its counter is not seen without one."),
        (chains, Some(at)) => println!("Compared with the checkpoint of {}: {chains} chains.", at.rfc3339()),
        (chains, None) => println!("Compared with the checkpoint: {chains} chains."),
    }
    match v.broken() {
        None => {
            println!("The audit log is whole: {} records.", v.records());
            ExitCode::SUCCESS
        }
        Some((chain, broken)) => {
            println!("The audit log is broken in {chain}: {broken}.");
            ExitCode::FAILURE
        }
    }
}
