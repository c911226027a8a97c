//! `atelier apply`: makes a portal hold what documents say.

use crate::client::{
    Client, NoAnswer, ServerArgs,
    files::{self, AnyDocument, Found},
    named,
};
use clap::Args;
use domain::resource::{Difference, Document, Spec};
use serde_json::Value;
use std::{path::PathBuf, process::ExitCode};

/// Something was refused, or the portal did not answer.
const FAILED: u8 = 1;
/// The files cannot be read; nothing was sent.
const BROKEN: u8 = 2;
/// With `--diff`: there is something to change.
const DIFFERS: u8 = 3;

/// For the help: scripts look at it.
pub const ENDS_WITH: &str = "Ends with 0 when everything holds (applied, or unchanged), 1 when something was refused or the portal does not \
    answer, 2 when a file cannot be read (then nothing was sent), and with --diff 3 when there is something to change.";

#[derive(Args)]
pub struct ApplyArgs {
    /// File or folder with documents (.yaml, .yml, .json); may be given several times. Of a folder, what lies directly in it.
    #[arg(short, long = "file", required = true)]
    file: Vec<PathBuf>,
    /// Only says what would change.
    #[arg(long)]
    diff: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What became of one document.
enum Became {
    Held,
    /// Only with `--diff`.
    Differs,
}

pub async fn run(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let found = match files::read(&args.file) {
        Ok(found) => found,
        Err(wrong) => {
            wrong.iter().for_each(|line| eprintln!("{line}"));
            eprintln!("Nothing was sent.");
            return Ok(BROKEN.into());
        }
    };
    let client = Client::open(&args.server).await?;
    let (mut differ, mut failed) = (0, 0);
    for Found { at, document } in &found {
        let became = match document {
            AnyDocument::Tenant(document) => one(&client, document, args.diff).await,
            AnyDocument::Run(document) => one(&client, document, args.diff).await,
            AnyDocument::Endpoint(document) => one(&client, document, args.diff).await,
        };
        match became {
            Ok(Became::Held) => {}
            Ok(Became::Differs) => differ += 1,
            Err(why) => {
                failed += 1;
                eprintln!("{at}: {}: {why}", named(document.kind(), document.metadata()));
                if matches!(why, NoAnswer::Other(_)) {
                    break;
                }
            }
        }
    }
    Ok(match (failed, differ) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => DIFFERS.into(),
        _ => FAILED.into(),
    })
}

async fn one<S: Spec + Clone>(client: &Client, document: &Document<S>, only_diff: bool) -> Result<Became, NoAnswer> {
    let name = named(S::KIND, &document.metadata);
    let now = client.get::<S>(&document.metadata).await?;
    let differences = now.as_ref().map(|now| document.spec.differences(&now.spec));
    if only_diff {
        match &differences {
            None => println!("{name}: new"),
            Some(differences) if differences.is_empty() => {
                println!("{name}: unchanged");
                return Ok(Became::Held);
            }
            Some(differences) => {
                println!("{name}: differs");
                tell(differences);
            }
        }
        return Ok(Became::Differs);
    }
    let done = client.put(&document.clone().without_status()).await?;
    println!("{name}: {}", done.outcome);
    if done.outcome == "changed" {
        tell(&differences.unwrap_or_default());
    }
    Ok(Became::Held)
}

/// As `diff` marks what was and what comes.
fn tell(differences: &[Difference]) {
    let said = |value: &Value| if value.is_null() { "not set".to_owned() } else { value.to_string() };
    for Difference { path, now, wanted } in differences {
        println!("  - {path}: {}\n  + {path}: {}", said(now), said(wanted));
    }
}
