//! The command line: `atelier serve`, what runs beside trainer and model server, and what is done on the server itself.

mod apply;
mod audit;
mod base_model;
mod doctor;
mod export;
mod serve;
mod store;
mod support_bundle;
mod tenant;
mod usage;

use crate::{
    clock,
    config::{Locations, ServeArgs, StoreSettings, engine},
    traces::Traces,
};
use anyhow::Context;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use platform::Platform;
use std::{
    io::IsTerminal,
    net::IpAddr,
    path::PathBuf,
    process::{ExitCode, Termination},
    time::Duration,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Fine-tune, serve and account for language models, in your own house.
#[derive(Parser)]
#[command(name = "atelier", version)]
struct Line {
    #[command(flatten)]
    locations: Locations,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the portal until SIGTERM.
    Serve(Box<ServeArgs>),
    /// Runs beside trainer and model server; started by the portal, not by people.
    #[command(subcommand)]
    Task(TaskCommand),
    /// Brings the database's schema up to date.
    Migrate,
    /// Says what is missing on this machine, and how to get it.
    Doctor(Box<doctor::DoctorArgs>),
    /// Writes one file for whoever helps: what is known of a run, an endpoint or the platform, without secrets.
    #[command(after_help = support_bundle::ENDS_WITH)]
    SupportBundle(Box<support_bundle::BundleArgs>),
    /// Tenants: the teams that share the portal.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Where datasets, weights and logs lie.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Base models: what runs start from.
    #[command(subcommand)]
    BaseModel(base_model::BaseModelCommand),
    /// Makes a portal hold what documents say: tenants, runs and endpoints as YAML or JSON.
    #[command(after_help = apply::ENDS_WITH)]
    Apply(apply::ApplyArgs),
    /// Writes what a portal holds of a tenant, as documents that `apply` takes.
    Export(export::ExportArgs),
    /// The audit record.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Metered calls.
    #[command(subcommand)]
    Usage(usage::UsageCommand),
    /// Ends every session. Needed when the key of the issuer's tokens is lost or may be known to others; API keys go on working.
    SignEverybodyOut,
    /// Prints who may do what.
    Rights,
    /// Prints the JSON Schema of the documents that `apply` takes, for editors.
    Schema { kind: export::KindName },
}

#[derive(Subcommand)]
enum TaskCommand {
    /// Does one job: training or evaluation.
    Run {
        #[arg(long)]
        spec: PathBuf,
        /// Where it writes; default: the spec's folder.
        #[arg(long)]
        work: Option<PathBuf>,
    },
    /// Serves one model.
    Serve {
        #[arg(long)]
        spec: PathBuf,
        /// Where it writes; default: the spec's folder.
        #[arg(long)]
        work: Option<PathBuf>,
        #[arg(long, default_value = "127.0.0.1")]
        host: IpAddr,
        #[arg(long)]
        port: u16,
        /// Where it says whether it takes calls (`/ready`); default: nowhere.
        #[arg(long)]
        ready_port: Option<u16>,
        /// Seconds that calls under way may go on after SIGTERM.
        #[arg(long, default_value_t = 0)]
        drain: u64,
    },
    /// Tries from inside a tenant's pod what must be out of reach.
    CheckIsolation {
        #[arg(long)]
        spec: PathBuf,
        /// Where it writes; default: the spec's folder.
        #[arg(long)]
        work: Option<PathBuf>,
    },
    /// Copies this program to where the containers of a pod share it.
    Install {
        #[arg(long)]
        to: PathBuf,
    },
    /// Watches over one task of the local engine.
    Supervise {
        #[arg(long)]
        folder: PathBuf,
    },
}

pub fn main() -> ExitCode {
    // First of all: two crates bring TLS, and neither may guess which cryptography it uses. It fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let given = Line::command().get_matches();
    let line = match Line::from_arg_matches(&given) {
        Ok(line) => line,
        Err(e) => e.exit(),
    };
    match line.command {
        // These never see the portal's runtime or its log: their output is read by the portal.
        Command::Task(TaskCommand::Run { spec, work }) => exit(task::run(&spec, work.as_deref())),
        Command::Task(TaskCommand::Serve { spec, work, host, port, ready_port, drain }) => {
            let manner = task::Manner { ready_at: ready_port.map(|port| (host, port).into()), drain: Duration::from_secs(drain) };
            exit(task::serve(&spec, work.as_deref(), (host, port).into(), manner))
        }
        Command::Task(TaskCommand::CheckIsolation { spec, work }) => exit(task::check_isolation(&spec, work.as_deref())),
        Command::Task(TaskCommand::Install { to }) => exit(task::install(&to)),
        Command::Task(TaskCommand::Supervise { folder }) => exit(::engine::local::supervise(&folder)),
        Command::Rights => {
            print!("{}", domain::policy::matrix());
            ExitCode::SUCCESS
        }
        Command::Schema { kind } => {
            println!("{:#}", domain::resource::schema(kind.kind()));
            ExitCode::SUCCESS
        }
        command => {
            // What runs for a moment only is no part of a trace.
            let traces = match &command {
                Command::Serve(_) => Traces::from_environment(),
                _ => Ok(None),
            };
            let traces = match traces {
                Ok(traces) => traces,
                Err(refused) => return in_words(Err(refused.into())),
            };
            log(traces.as_ref());
            in_words(run(command, line.locations, &given))
        }
    }
}

fn run(command: Command, locations: Locations, given: &ArgMatches) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::serve(*args, locations).await,
            Command::Migrate => {
                open(&locations).await?;
                println!("The database's schema is up to date.");
                Ok(ExitCode::SUCCESS)
            }
            Command::Doctor(args) => Ok(doctor::doctor(&args, &locations).await),
            Command::SupportBundle(args) => support_bundle::run(*args, &locations, (&Line::command(), given)).await,
            Command::Tenant(command) => tenant::run(command, &open(&locations).await?).await,
            Command::Store(command) => store::run(command, &locations).await,
            Command::BaseModel(command) => base_model::run(command, &open(&locations).await?).await,
            Command::Apply(args) => apply::run(args).await,
            Command::Export(args) => export::run(args).await,
            Command::Audit(command) => audit::run(command, &open(&locations).await?).await,
            Command::Usage(command) => usage::run(command, &open(&locations).await?).await,
            Command::SignEverybodyOut => {
                let ended = open(&locations).await?.sign_everybody_out().await.map_err(said)?;
                println!("Sessions that ended: {ended}. Restart the portal if the key has changed.");
                Ok(ExitCode::SUCCESS)
            }
            Command::Task(_) | Command::Rights | Command::Schema { .. } => Ok(ExitCode::SUCCESS),
        }
    })
}

/// The platform for a command on the server itself: same data, no listener.
async fn open(locations: &Locations) -> anyhow::Result<Platform> {
    let StoreSettings { location, key, garage } = locations.store()?;
    let config = platform::Config {
        database_url: locations.database_url()?,
        store: location,
        store_key: key,
        garage,
        engine: engine(locations, std::env::current_exe()?, false).await?,
        task_limits: Default::default(),
        outside_allowed: Default::default(),
        session_hours: platform::SESSION_HOURS,
        session_idle_minutes: platform::SESSION_IDLE_MINUTES,
        confirm_seconds: platform::CONFIRM_SECONDS,
        token_key: locations.token_key()?,
        upload_bytes: platform::UPLOAD_BYTES,
        tenant_group: "atelier/{tenant}/{role}".into(),
        outside_host: None,
    };
    Platform::open(config, clock::now).await.context("The portal's data cannot be opened")
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn in_words(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE.report()
        }
    }
}

/// To stderr: lines for people, or JSON with `ATELIER_LOG_FORMAT=json`. `ATELIER_LOG` chooses what: `info`, `server=debug,info`.
fn log(traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_env("ATELIER_LOG").unwrap_or_else(|_| "info,sqlx=warn".into());
    let filter = filter.and(filter_fn(|metadata| metadata.target() != domain::traces::TARGET));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = if std::env::var("ATELIER_LOG_FORMAT").is_ok_and(|f| f == "json") {
        log.json().boxed()
    } else {
        log.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    tracing_subscriber::registry().with(log.with_filter(filter)).with(traces.map(Traces::layer)).init();
}

/// A problem, as a command says it.
fn said(problem: domain::problem::Problem) -> anyhow::Error {
    let mut text = problem.sentence;
    if !problem.next_step.is_empty() {
        text = format!("{text} {}", problem.next_step);
    }
    let first = text.clone();
    // A single field's sentence is the problem's own, and often names the example too.
    for field in
        problem.fields.iter().filter(|f| !first.contains(&f.sentence) || f.suggestion.as_ref().is_some_and(|s| !first.contains(s.as_str())))
    {
        let example = field.suggestion.as_ref().map(|s| format!(" For example “{s}”.")).unwrap_or_default();
        text = format!("{text}\n  {}: {}{example}", field.field, field.sentence);
    }
    anyhow::anyhow!(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn the_job_of_the_example_is_a_command_that_there_is() {
        #[derive(serde::Deserialize)]
        struct Container {
            command: Vec<String>,
            args: Vec<String>,
        }
        let job: serde_json::Value = serde_yaml_ng::from_str(include_str!("../../../examples/apply/job.yaml")).unwrap();
        let container: Container = serde_json::from_value(job["spec"]["template"]["spec"]["containers"][0].clone()).unwrap();
        let line = Line::try_parse_from(container.command.iter().chain(&container.args));
        assert!(matches!(line.map(|line| line.command), Ok(Command::Apply(_))));
    }

    #[test]
    fn a_task_is_started_as_the_engine_starts_it() {
        for line in [
            &["atelier", "task", "run", "--spec", "/x/spec.json"][..],
            &["atelier", "task", "serve", "--spec", "/x/spec.json", "--port", "4000"],
            &["atelier", "task", "supervise", "--folder", "/x"],
            &["atelier", "task", "run", "--spec", "/x/spec.json", "--work", "/w"],
            &[
                "atelier",
                "task",
                "serve",
                "--spec",
                "/x/spec.json",
                "--work",
                "/w",
                "--host",
                "0.0.0.0",
                "--port",
                "8000",
                "--ready-port",
                "8001",
            ],
            &["atelier", "task", "check-isolation", "--spec", "/x/spec.json", "--work", "/w"],
            &["atelier", "task", "install", "--to", "/atelier/bin/atelier"],
        ] {
            assert!(Line::try_parse_from(line).is_ok(), "{line:?}");
        }
    }
}
