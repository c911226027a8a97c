//! The portal as the demo runs it: a child of ours with its log in the data folder. Whatever ends the demo, the portal and what
//! it started end with it.

mod cluster;

use cluster::Description;

use crate::{
    envs, folders, interrupt,
    interrupt::say,
    journey::{People, stop},
    port,
    run::{cargo, run},
    web,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How the demo is served.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the portal keeps everything.
    #[arg(long, default_value = "data/demo")]
    pub data: PathBuf,
    /// Port on 127.0.0.1; 0 = any free one.
    #[arg(long, default_value_t = 3000)]
    pub port: u16,
    /// Also write the result as JSON into this file.
    #[arg(long)]
    pub summary: Option<PathBuf>,
    /// An address of this machine at which the portal may call a model server that somebody else runs.
    #[arg(long)]
    pub outside_allowed: Option<String>,
}

/// What the portal of a demo works with.
pub enum Parts {
    /// Processes of this machine, SQLite, a folder, the development provider.
    Embedded,
    /// Kubernetes, PostgreSQL, S3 and Keycloak, all of them real.
    Cluster(Box<Description>),
}

impl Parts {
    /// Of the cluster that this file describes.
    pub fn of_cluster(description: &Path) -> Result<Self> {
        Ok(Self::Cluster(Box::new(Description::read(description)?)))
    }

    pub fn people(&self) -> People {
        match self {
            Self::Embedded => People::of_the_development_provider(),
            Self::Cluster(_) => People::of_the_realm(),
        }
    }
}

/// How long a portal may take to be ready.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to end: it lets answers under way come to theirs.
const ENDS: Duration = Duration::from_secs(40);

pub struct Served {
    portal: Child,
    port: u16,
    stopped: bool,
    pub address: String,
    pub options: Options,
    pub parts: Parts,
    /// With the official client.
    pub python: PathBuf,
    /// What took how long, in seconds; one after the other, so that they add up.
    pub steps: Vec<(String, f64)>,
}

impl Served {
    /// Installs and builds what is missing, then starts the portal and waits until it is ready.
    pub fn start(options: &Options) -> Result<Self> {
        Self::start_with(options, || Ok(Parts::Embedded))
    }

    /// The same with other parts, which are made ready when the program is built.
    pub fn start_with(options: &Options, parts: impl FnOnce() -> Result<Parts>) -> Result<Self> {
        interrupt::listen()?;
        // Refused before minutes of work: what would go wrong at their end.
        port::free(options.port)?;
        let log = own(&options.data)?;

        let mut steps = Vec::new();
        let mut timed = |name: &str, began: Instant| steps.push((name.to_owned(), began.elapsed().as_secs_f64()));
        println!("1. Environments");
        // Downloads wait for the network, the compiler for the processor: side by side.
        let installing = install()?;
        println!("2. Build");
        let began = Instant::now();
        let built = build();
        if built.is_err() {
            interrupt::ask();
        }
        timed("build", began);
        let began = Instant::now();
        let installed = installing.join().map_err(|_| anyhow::anyhow!("installing the environments broke off"))?;
        let site = built?;
        let [trainer, vllm, python] = installed?;
        timed("environments", began);

        let began = Instant::now();
        println!("3. Start");
        let parts = parts()?;
        if matches!(parts, Parts::Cluster(_)) {
            timed("cluster", began);
        }
        let began = Instant::now();
        let port = port::free(options.port)?;
        let address = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(folders::target().join("debug/atelier"));
        command
            .arg("serve")
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"))
            .arg("--data")
            .arg(&options.data)
            .arg("--site")
            .arg(&site)
            .arg("--trainer-python")
            .arg(&trainer)
            .arg("--vllm-python")
            .arg(&vllm)
            .args(options.outside_allowed.iter().flat_map(|address| ["--outside-allowed", address]))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in the terminal comes to us alone, and here decides the order of stopping.
            .process_group(0);
        if let Parts::Cluster(cluster) = &parts {
            cluster.tell(&mut command)?;
        }
        interrupt::check()?;
        let portal = command.spawn().context("the portal could not be started")?;
        let mut me = Self { portal, port, stopped: false, address, options: options.clone(), parts, python, steps: Vec::new() };
        me.wait_until_ready(READY, true)?;
        timed("start", began);
        me.steps = steps;
        println!("  ready on {} after {:.1} s", me.address, began.elapsed().as_secs_f32());
        Ok(me)
    }

    /// Until a person asks to stop; an error when the portal ends by itself.
    pub fn serve(&mut self) -> Result<()> {
        while !interrupt::asked() {
            self.alive()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stops runs and model servers as a person would, then the portal.
    pub fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) || self.portal.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        say("Stopping runs, model servers and the portal.");
        // Only then can it be asked to stop what it found from an earlier time.
        let ready = self.wait_until_ready(READY / 3, false);
        if let Err(e) = ready.and_then(|()| stop::everything(&self.address, &self.parts.people())) {
            say(&format!("not everything could be stopped: {e:#}"));
        }
        if let Err(e) = interrupt::end(&mut self.portal, ENDS) {
            say(&format!("the portal could not be stopped: {e:#}"));
        }
    }

    /// `stoppable`: not when it is waited for in order to stop it.
    fn wait_until_ready(&mut self, most: Duration, stoppable: bool) -> Result<()> {
        let until = Instant::now() + most;
        while Instant::now() < until {
            self.alive()?;
            if stoppable {
                interrupt::check()?;
            }
            // Somebody else's answer on this port is none.
            if port::listens(self.portal.id(), self.port)
                && reqwest::blocking::get(format!("{}/readyz", self.address)).is_ok_and(|r| r.status().is_success())
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the portal was not ready within {} s; see {}", most.as_secs(), self.log().display())
    }

    /// An error with its last words when the portal has ended.
    fn alive(&mut self) -> Result<()> {
        let Some(status) = self.portal.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default();
        bail!(
            "the portal has ended by itself: {status}. What it started goes on, and the next demo on this data finds it. The end of {}:\n{}",
            self.log().display(),
            last.join("\n")
        )
    }

    fn log(&self) -> PathBuf {
        self.options.data.join("portal.log")
    }
}

/// On every way out, also when a step failed.
impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The portal's log, locked: as long as a demo or its portal has it open, the data folder is theirs alone.
fn own(data: &Path) -> Result<fs::File> {
    fs::create_dir_all(data).with_context(|| format!("the data folder {} cannot be made", data.display()))?;
    let file = data.join("portal.log");
    let log = fs::File::options().create(true).append(true).open(&file).with_context(|| format!("{} cannot be written", file.display()))?;
    match log.try_lock() {
        Ok(()) => Ok(log),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("another demo works in {}: stop it (Ctrl-C in its terminal), or choose another folder with --data", data.display())
        }
        Err(fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("{} cannot be locked", file.display())),
    }
}

/// Begins to install what is missing, and says so.
fn install() -> Result<JoinHandle<Result<[PathBuf; 3]>>> {
    let all = [&envs::TRAINER, &envs::MODEL_SERVER, &envs::CLIENTS];
    for e in all {
        match e.installed()? {
            Some(python) => println!("  {}: there, {}", e.name, python.display()),
            None => println!("  {}: {}, about {:.1} GB on disk, will be installed while the build runs", e.name, e.what, e.gigabytes),
        }
    }
    Ok(std::thread::spawn(|| Ok([envs::TRAINER.ensure()?, envs::MODEL_SERVER.ensure()?, envs::CLIENTS.ensure()?])))
}

/// Builds the browser's files and the program; where the former lie.
fn build() -> Result<PathBuf> {
    let first = |built: &str, long: &'static str| if folders::target().join(built).exists() { "" } else { long };
    println!("  the pages for the browser{}", first("wasm32-unknown-unknown/debug/frontend.wasm", ", some minutes the first time"));
    let site = web::web(false)?;
    println!("  the program{}", first("debug/atelier", ", about 4 minutes the first time"));
    run(cargo().args(["build", "-p", "server"]))?;
    Ok(site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_has_one_demo_at_a_time() {
        let data = std::env::temp_dir().join(format!("atelier-own-{}", std::process::id()));
        let first = own(&data).unwrap();
        let refused = own(&data).unwrap_err().to_string();
        assert!(refused.contains("another demo") && refused.contains("--data"), "{refused}");
        // As the portal has it: the lock lives as long as any of the two.
        let inherited = first.try_clone().unwrap();
        drop(first);
        assert!(own(&data).is_err());
        drop(inherited);
        own(&data).unwrap();
        fs::remove_dir_all(&data).unwrap();
    }
}
