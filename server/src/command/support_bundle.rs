//! `atelier support-bundle`: one file for whoever helps, about a run, an endpoint or the platform, without any secret.

mod archive;
mod configuration;
mod program;

use super::{doctor, said};
use crate::{
    clock,
    config::{Locations, ServeArgs, engine},
};
use anyhow::{Context, bail};
use archive::Archive;
use clap::{ArgMatches, Args, Command};
use domain::{ids::RunId, name::Name, one_line::one_line};
use platform::{
    access::PlatformScope,
    redaction::{Redaction, TakenOut},
    support::{Asked, Body, Piece, Subject, Support},
};
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// What it ends with.
pub const ENDS_WITH: &str = "Ends with 0 when everything was looked at, with 3 when the bundle is written and something is missing in it \
    (the database or the cluster is away: the manifest says what), and with 1 when no bundle was written.";
/// Written, with something missing.
const INCOMPLETE: u8 = 3;
/// Bytes of one file of the bundle; of a longer one the newest are kept.
const LARGEST: usize = 8 << 20;
/// The doctor asks others, each of whom may say nothing.
const DOCTOR_WITHIN: Duration = Duration::from_secs(120);

/// Writes a .tar.gz file with what is known of a run, of an endpoint, or (without either) of the platform: version, settings, migrations,
/// health, who leads, audit records, states, log, and what the engine sees. Secrets are taken out; manifest.json lists each file, and how
/// often something was taken out of it. Only looks, changes nothing, and needs neither a portal nor a leader that works.
#[derive(Args)]
pub struct BundleArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Id of a run: `run_...`.
    #[arg(long, conflicts_with = "endpoint")]
    run: Option<RunId>,
    /// An endpoint: `TENANT/NAME`.
    #[arg(long, value_parser = endpoint)]
    endpoint: Option<(Name, Name)>,
    /// The file; `-` = the standard output; default: atelier-support-TIME.tar.gz in the present folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Newest audit records and events that are taken along.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=500))]
    records: u32,
    /// Newest lines of the log that are taken along.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    log_lines: u32,
}

fn endpoint(text: &str) -> Result<(Name, Name), String> {
    let (tenant, name) = text.split_once('/').ok_or("TENANT/NAME is wanted")?;
    let read = |text: &str| text.parse::<Name>().map_err(|e| e.to_string());
    Ok((read(tenant)?, read(name)?))
}

/// `line`: this program's command line, and what was given of it.
pub async fn run(args: BundleArgs, locations: &Locations, line: (&Command, &ArgMatches)) -> anyhow::Result<ExitCode> {
    let now = clock::now();
    let at = now.rfc3339();
    // `2026-11-22T07-30-01`: no colon, which some systems do not allow in a name.
    let folder = format!("atelier-support-{}", at.split('.').next().unwrap_or(&at).trim_end_matches('Z').replace(':', "-"));
    let out = args.out.clone().unwrap_or_else(|| format!("{folder}.tar.gz").into());
    if out.exists() {
        bail!("{} is there already: remove it, or name another file with --out.", out.display());
    }
    let subject = match (args.run, &args.endpoint) {
        (Some(run), _) => Subject::Run(run),
        (None, Some((tenant, name))) => Subject::Endpoint(tenant.clone(), name.clone()),
        (None, None) => Subject::Platform,
    };
    let about = match &subject {
        Subject::Platform => "the platform".to_owned(),
        Subject::Run(id) => format!("run {id}"),
        Subject::Endpoint(tenant, name) => format!("endpoint {tenant}/{name}"),
    };
    let support = support(&args, locations).await;
    let redaction = Redaction::new(
        program::secrets(&args.serve, locations).into_iter().chain(support.secrets(program::token_key(locations).as_ref()).await),
    );
    let asked = Asked { subject, audit: args.records, log_lines: args.log_lines };
    let mut pieces = support.collect(&PlatformScope::command_line(), &asked).await.map_err(said)?;
    pieces.push(Piece::json("version.json", program::version(&at)));
    pieces.push(Piece::json("configuration.json", configuration::of(line.0, line.1, std::env::vars_os())));
    pieces.push(Piece::json("readyz.json", program::ready(&args.serve).await));
    pieces.push(doctors_word(args.serve, locations).await);
    let bundle = Bundle::of(pieces, &redaction);
    let missing: Vec<String> = bundle.missing.iter().map(|(file, why)| format!("{file}: {why}")).collect();
    let files = bundle.files(&about, &at)?;
    let count = files.len();
    Archive { folder: &folder, at: now, files }.write(&out).with_context(|| format!("No bundle was written to {}", out.display()))?;
    eprintln!(
        "{} about {about}: {count} files, without secrets. Look through it before you hand it on: a log can quote rows of datasets.",
        out.display()
    );
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("Not everything could be looked at:");
    for line in missing {
        eprintln!("  {}", one_line(&line, 400));
    }
    Ok(ExitCode::from(INCOMPLETE))
}

/// The ways to look. Nothing is made on the way: a data folder that is not there is told, not made.
async fn support(args: &BundleArgs, locations: &Locations) -> Support {
    let no_folder = || format!("There is no data folder {}: name the portal's with --data (ATELIER_DATA).", locations.data.display());
    let there = locations.data.is_dir();
    let database = match &locations.database_url {
        Some(url) => Ok(url.clone()),
        None if there => locations.database_url().map_err(|e| e.to_string()),
        None => Err(no_folder()),
    };
    let local = locations.engine.engine == crate::config::EngineName::Local;
    let engine = if local && !there {
        Err(no_folder())
    } else {
        // It starts nothing, so it need not know what tasks run.
        engine(locations, PathBuf::new(), true).await.map_err(|e| e.to_string())
    };
    Support::open(database, engine, args.serve.tenant_group.clone(), clock::now()).await
}

async fn doctors_word(args: ServeArgs, locations: &Locations) -> Piece {
    let args = doctor::DoctorArgs { serve: args, id_token: None, client_file: None };
    match tokio::time::timeout(DOCTOR_WITHIN, doctor::look(&args, locations)).await {
        Ok(parts) => Piece::new("doctor.txt", Body::Text(doctor::told(&parts))),
        Err(_) => Piece::missing("doctor.txt", format!("The doctor was not done after {} s.", DOCTOR_WITHIN.as_secs())),
    }
}

/// What goes into the archive, without secrets.
struct Bundle {
    files: Vec<(String, Vec<u8>)>,
    /// Of each file: bytes, what was taken out, whether older lines were left out.
    told: Vec<Value>,
    /// File, and a sentence.
    missing: Vec<(String, String)>,
}

impl Bundle {
    fn of(pieces: Vec<Piece>, redaction: &Redaction) -> Self {
        let mut bundle = Self { files: Vec::new(), told: Vec::new(), missing: Vec::new() };
        for Piece { name, body } in pieces {
            let mut taken_out = TakenOut::new();
            let text = match body {
                Body::Missing(why) => {
                    bundle.missing.push((name, redaction.text(&why, &mut taken_out)));
                    continue;
                }
                Body::Text(text) => redaction.text(&text, &mut taken_out),
                Body::Json(value) => format!("{:#}\n", redaction.json(value, &mut taken_out)),
                Body::Yaml(documents) => {
                    let document = |d| serde_yaml_ng::to_string(&redaction.json(d, &mut taken_out)).unwrap_or_default();
                    documents.into_iter().map(document).map(|d| format!("---\n{d}")).collect()
                }
            };
            // After taking out: a secret that is cut in two would not be known any more.
            let kept = newest(&text);
            bundle.told.push(
                json!({ "file": name, "bytes": kept.len(), "taken_out": taken_out, "older_lines_left_out": kept.len() < text.len() }),
            );
            bundle.files.push((name, kept.as_bytes().to_vec()));
        }
        bundle
    }

    /// With the manifest, which comes first.
    fn files(self, about: &str, at: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let missing: Vec<_> = self.missing.iter().map(|(file, why)| json!({ "file": file, "why": why })).collect();
        let manifest = json!({
            "about": about,
            "made_at": at,
            "files": self.told,
            "could_not_be_looked_at": missing,
            "never_looked_at": "Secrets and ConfigMaps of the cluster, values of environment variables of its pods, and the tables of sessions, keys and secrets, which are only counted.",
        });
        let manifest = serde_json::to_vec_pretty(&manifest)?;
        Ok(std::iter::once(("manifest.json".to_owned(), manifest)).chain(self.files).collect())
    }
}

/// The last whole lines that fit.
fn newest(text: &str) -> &str {
    let Some(mut from) = text.len().checked_sub(LARGEST).filter(|from| *from > 0) else { return text };
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let rest = &text[from..];
    rest.split_once('\n').map_or(rest, |(_, whole)| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_named_with_its_tenant() {
        assert_eq!(endpoint("acme/chat").unwrap(), ("acme".parse().unwrap(), "chat".parse().unwrap()));
        for wrong in ["acme", "/chat", "acme/", "Acme/chat"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn of_a_log_without_end_the_newest_whole_lines_are_kept_and_that_is_said() {
        let line = "ä long line of a log that goes on and on\n";
        let text = line.repeat(LARGEST / line.len() + 1000) + "the last one\n";
        let bundle = Bundle::of(vec![Piece::new("log.txt", Body::Text(text))], &Redaction::default());
        let kept = String::from_utf8(bundle.files[0].1.clone()).unwrap();
        assert!(kept.len() <= LARGEST && kept.starts_with("ä long") && kept.ends_with("the last one\n"));
        assert_eq!(bundle.told[0]["older_lines_left_out"], true);
        assert_eq!(newest("short\n"), "short\n");
    }
}
