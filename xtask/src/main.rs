//! Everything that is done with this repository, with cargo alone: `cargo run -p xtask -- COMMAND`. The Makefile names the usual ones.

mod check;
mod circles;
mod cluster;
mod css;
mod debian;
mod demo;
mod dev;
mod envs;
mod folders;
mod interrupt;
mod journey;
mod mutants;
mod port;
mod run;
mod screens;
mod served;
mod sizes;
mod sources;
mod suite;
mod tools;
mod trainer_keys;
mod visitor;
mod web;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::{path::Path, process::ExitCode};

#[derive(Parser)]
#[command(name = "xtask")]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the style sheet from style/ and the classes in app/.
    Css {
        /// Changes nothing; fails when the committed sheet is stale.
        #[arg(long)]
        check: bool,
    },
    /// Builds the browser files into target/site.
    Web {
        /// Small and compressed.
        #[arg(long)]
        release: bool,
    },
    /// Builds the program and the browser files, as they are shipped.
    Build,
    /// Builds, runs, and does both again on every change.
    Dev {
        /// For `atelier serve`.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Format, clippy, generated files, dependency arrows, licences, unused dependencies.
    Check,
    /// Known holes in dependencies; asks rustsec.org.
    Advisories,
    /// Installs, builds, and does the main job through the public surfaces; keeps serving until Ctrl-C.
    Demo {
        #[command(flatten)]
        options: served::Options,
        /// End after the job, with success only if the tuned model beat the base and its answer to a question of the data is right.
        #[arg(long)]
        exit: bool,
    },
    /// A Kubernetes cluster with PostgreSQL, an S3 store and Keycloak on this machine.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// The same job with Kubernetes, PostgreSQL, S3 and Keycloak, all started on this machine.
    #[command(mut_arg("data", |data| data.default_value("data/demo-cluster")))]
    DemoCluster {
        #[command(flatten)]
        options: served::Options,
        #[command(flatten)]
        cluster: cluster::Options,
        /// End after the job, with success only if the tuned model beat the base and its answer to a question of the data is right.
        #[arg(long)]
        exit: bool,
    },
    /// Every test, against real parts.
    Test {
        /// Also those that need a Kubernetes cluster, on one that is started for them.
        #[arg(long)]
        cluster: bool,
    },
    /// The tests without trainer, model server and browser.
    TestQuick,
    /// The tests that need a Kubernetes cluster, on one that is started for them.
    TestCluster,
    /// Changes the code in one place after the other and names the changes that no test notices; many hours for all.
    Mutants {
        /// Files or patterns; default: domain, gateway, and of platform access, store and control.
        files: Vec<String>,
    },
    /// What the browser's program consists of, by page and crate.
    Sizes,
    /// A picture of every page on the demo's data.
    Screens {
        /// Where the pictures go.
        dir: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    match run_task() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.is::<interrupt::Interrupted>() => ExitCode::from(interrupt::STATUS),
        Err(e) => {
            eprintln!("Error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_task() -> Result<()> {
    // Every path below is relative to the repository.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the repository")?;
    std::env::set_current_dir(root).with_context(|| format!("{} cannot be entered", root.display()))?;
    match Line::parse().command {
        Command::Css { check } => css::css(check),
        Command::Web { release } => web::web(release).map(|site| println!("  {}", site.display())),
        Command::Build => {
            web::web(true)?;
            run::run(run::cargo().args(["build", "--release", "-p", "server"]))
        }
        Command::Dev { args } => dev::dev(&args),
        Command::Check => check::check(),
        Command::Advisories => check::advisories(),
        Command::Demo { options, exit } => demo::demo(&options, exit),
        Command::Cluster(command) => cluster::cluster(&command),
        Command::DemoCluster { options, cluster, exit } => demo::demo_cluster(&options, &cluster, exit),
        Command::Test { cluster } => suite::whole(cluster),
        Command::TestQuick => suite::quick(),
        Command::TestCluster => suite::on_a_cluster(),
        Command::Mutants { files } => mutants::mutants(&files),
        Command::Sizes => sizes::sizes(),
        Command::Screens { dir } => screens::screens(&dir),
    }
}
