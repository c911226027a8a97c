//! `xtask cluster up` and `down`: everything of a production installation that is not Atelier, real, on this machine: a Kubernetes
//! node that runs containers, PostgreSQL, an S3 store, Keycloak. Built once per machine from what `cluster/` pins (decision 0035).
//!
//! Each part is a process of its own that outlives this program. `up` starts what does not run yet; `down` ends all that is there,
//! also what an `up` left that was broken off.

mod binaries;
mod control_plane;
mod ctr;
mod folder;
mod garage;
mod images;
mod keycloak;
mod layers;
mod leftovers;
mod machine;
mod names;
mod network;
mod node;
mod place;
mod postgres;
mod processes;
mod proof;
mod secret;

use crate::{envs, interrupt};
use anyhow::{Context, Result, bail};
use binaries::Binaries;
pub use binaries::{built_garage, built_helm, garage as ensure_garage, helm as ensure_helm, kueue as ensure_kueue};
use place::Place;
use processes::Processes;
use std::{fs, path::PathBuf, time::Instant};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Builds and installs what is missing, and starts what does not run.
    Up(Options),
    /// Ends all of it, and leaves no process, mount, network device or control group behind.
    Down {
        #[command(flatten)]
        options: Options,
        /// Also forget what it kept: objects, databases, buckets, people.
        #[arg(long)]
        remove: bool,
    },
    /// Runs a pod under Pod Security "restricted", and the trainer and the model server in theirs.
    Prove(Options),
}

#[derive(clap::Args, Clone, Default)]
#[group(id = "cluster")]
pub struct Options {
    /// Where the cluster keeps everything; default: `cluster` in the cache folder.
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Options {
    fn folder(&self) -> Result<PathBuf> {
        let dir = self.dir.clone().map_or_else(|| Ok(envs::cache()?.join("cluster")), anyhow::Ok)?;
        std::path::absolute(&dir).with_context(|| format!("{} is no path", dir.display()))
    }
}

pub fn cluster(command: &Command) -> Result<()> {
    interrupt::listen()?;
    match command {
        Command::Up(options) => up(options).map(|description| println!("  {}", description.display())),
        Command::Down { options, remove } => down(options, *remove),
        Command::Prove(options) => {
            up(options)?;
            let place = Place::find(&options.folder()?)?.context("the cluster is up")?;
            proof::prove(&Binaries::ensure()?, &place)
        }
    }
}

/// An error that says why, where this machine cannot run one.
pub fn possible() -> Result<()> {
    machine::obstacle().map_or(Ok(()), |why| bail!("no cluster can run on this machine: {why}"))
}

/// Where Keycloak lies, for tests that start one of their own.
pub fn keycloak() -> Result<(&'static str, PathBuf)> {
    machine::prepare_for_keycloak()?;
    Ok(("ATELIER_KEYCLOAK", binaries::keycloak()?))
}

/// A cluster that ends with whoever started it, with everything that it kept.
pub struct Running {
    options: Options,
    /// The file that tests find it by.
    pub description: PathBuf,
    ended: bool,
}

impl Running {
    /// A new one under this name in the cache folder: what links to the environments has to lie on their disk.
    pub fn start(name: &str) -> Result<Self> {
        let options = Options { dir: Some(envs::cache()?.join(name)) };
        // Of a time that was broken off.
        if options.folder()?.exists() {
            down(&options, true)?;
        }
        let mut running = Self { options, description: PathBuf::new(), ended: false };
        running.description = up(&running.options)?;
        Ok(running)
    }

    /// As `cluster prove`.
    pub fn prove(&self) -> Result<()> {
        let place = Place::find(&self.options.folder()?)?.context("the cluster is up")?;
        proof::prove(&Binaries::ensure()?, &place)
    }

    /// What tests look for in their environment.
    pub fn environment(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        let helm = ensure_helm()?.map(|helm| ("ATELIER_HELM", helm));
        Ok([Some(("ATELIER_CLUSTER", self.description.clone())), Some(keycloak()?), helm].into_iter().flatten().collect())
    }

    pub fn end(mut self) -> Result<()> {
        self.ended = true;
        down(&self.options, true)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended
            && let Err(e) = down(&self.options, true)
        {
            interrupt::say(&format!("the cluster could not be ended: {e:#}"));
        }
    }
}

/// Starts what does not run, and returns the file that describes the cluster.
pub fn up(options: &Options) -> Result<PathBuf> {
    let dir = options.folder()?;
    machine::prepare()?;
    let binaries = Binaries::ensure()?;
    let pieces = images::pieces(&binaries)?;
    let _one_at_a_time = folder::lock(&dir)?;
    let place = Place::claim(&dir)?;
    let mut processes = Processes::of(&dir)?;
    // What takes longest to be ready begins first.
    let keycloak = timed("Keycloak begins", || keycloak::start(&binaries, &place, &mut processes))?;
    timed("network", || network::lay(&place))?;
    timed("API server, controller manager, scheduler", || control_plane::start(&binaries, &place, &mut processes))?;
    timed("a host outside", || network::outside(&binaries, &place, &mut processes))?;
    timed("containerd", || node::containerd(&place, &mut processes))?;
    timed("images", || images::import(&place, &pieces))?;
    names::describe(&place)?;
    timed("enforcer of network policies", || network::enforce(&binaries, &place, &mut processes))?;
    timed("kubelet", || node::kubelet(&binaries, &place, &mut processes))?;
    let database = timed("PostgreSQL", || postgres::start(&place, &mut processes))?;
    let store = timed("Garage", || garage::start(&binaries, &place, &mut processes))?;
    timed("node ready", || node::wait_until_ready(&binaries, &place, &processes))?;
    timed("CoreDNS", || names::wait_until_ready(&place, &processes))?;
    timed("network policies", || network::wait_until_enforced(&place, &processes))?;
    timed("Keycloak ready", || keycloak::wait_until_ready(&keycloak, &place, &processes))?;
    folder::describe(&place, &binaries, &processes, &serde_json::json!({"keycloak": keycloak, "postgres": database, "s3": store}))
}

/// Ends everything, whatever state it is in.
pub fn down(options: &Options, remove: bool) -> Result<()> {
    let dir = options.folder()?;
    if !dir.exists() {
        println!("  nothing is there: {}", dir.display());
        return Ok(());
    }
    let _one_at_a_time = folder::lock(&dir)?;
    let began = Instant::now();
    let mut processes = Processes::of(&dir)?;
    leftovers::end(&dir, &mut processes)?;
    folder::forget_description(&dir)?;
    if remove {
        postgres::remove(&dir)?;
        fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
    }
    println!("  ended after {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    interrupt::check()?;
    let began = Instant::now();
    let done = work().with_context(|| format!("{what} failed"))?;
    println!("  {what}: {:.1} s", began.elapsed().as_secs_f32());
    Ok(done)
}
