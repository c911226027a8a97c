//! `make demo`: builds, starts the portal with its embedded defaults, does the main job through the public surfaces only,
//! shows what came of it, and keeps serving. A second start goes on from what is there.

use crate::{
    envs, job,
    job::{Done, People},
    web,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

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
}

/// The portal as the demo runs it: a child of ours with its log in the data folder.
pub struct Served {
    portal: Child,
    pub address: String,
    options: Options,
    python: PathBuf,
    steps: Vec<(String, f32)>,
}

/// The whole command. With `exit` it ends after the job, with an error unless the tuned model beat the base.
pub fn demo(options: &Options, exit: bool) -> Result<()> {
    let mut served = Served::start(options)?;
    let done = served.main_job();
    if exit || done.is_err() {
        served.stop();
        return done;
    }
    println!("\nServing on {} until Ctrl-C.", served.address);
    // The portal and its model server are in groups of their own: Ctrl-C comes here, and here decides the order.
    let (told, asked) = std::sync::mpsc::channel();
    ctrlc::set_handler(move || _ = told.send(()))?;
    loop {
        if asked.recv_timeout(Duration::from_millis(500)).is_ok() {
            println!("Stopping the model server and the portal.");
            served.stop();
            return Ok(());
        }
        if let Some(status) = served.portal.try_wait()? {
            bail!("the portal has ended by itself: {status}; see {}", options.data.join("portal.log").display());
        }
    }
}

impl Served {
    /// Installs and builds what is missing, then starts the portal and waits until it is ready.
    pub fn start(options: &Options) -> Result<Self> {
        let mut steps = Vec::new();
        let mut timed = |name: &str, began: Instant| steps.push((name.to_owned(), began.elapsed().as_secs_f32()));

        let began = Instant::now();
        println!("1. Environments");
        for e in [&envs::TRAINER, &envs::MODEL_SERVER, &envs::CLIENTS] {
            if e.installed()?.is_none() {
                println!("  {}: {}, about {:.1} GB on disk, will be installed", e.name, e.what, e.gigabytes);
            }
        }
        // Downloads wait for the network, the compiler for the processor: side by side.
        let installing = std::thread::spawn(|| -> Result<[PathBuf; 3]> {
            Ok([envs::TRAINER.ensure()?, envs::MODEL_SERVER.ensure()?, envs::CLIENTS.ensure()?])
        });
        println!("2. Build");
        let built = Instant::now();
        let site = web::web(false)?;
        envs::run(Command::new("cargo").args(["build", "--quiet", "-p", "server"]))?;
        timed("build", built);
        let [trainer, vllm, python] = installing.join().map_err(|_| anyhow::anyhow!("installing the environments broke off"))??;
        timed("environments and build", began);

        let began = Instant::now();
        println!("3. Start");
        fs::create_dir_all(&options.data)?;
        let port = match options.port {
            0 => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
            port => port,
        };
        let address = format!("http://127.0.0.1:{port}");
        let log = fs::File::options().create(true).append(true).open(options.data.join("portal.log"))?;
        let mut command = Command::new(envs::target().join("debug/atelier"));
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
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command.process_group(0);
        let mut portal = command.spawn().context("the portal could not be started")?;
        wait_until_ready(&address, &mut portal, &options.data)?;
        timed("start", began);
        println!("  ready on {address} after {:.1} s", began.elapsed().as_secs_f32());
        Ok(Self { portal, address, options: options.clone(), python, steps })
    }

    /// The main job; an error unless the tuned model beat the base.
    pub fn main_job(&mut self) -> Result<()> {
        let people = People::of_the_development_provider();
        let done = job::main_job(&self.address, &people, &self.python, &mut self.steps)?;
        print_table(&done, &people, &self.address);
        if let Some(file) = &self.options.summary {
            fs::write(file, serde_json::to_vec_pretty(&summary(&done, &people, &self.address, &self.steps))?)?;
        }
        if done.tuned <= done.base {
            bail!("the tuned model is not better than the base: {} against {} of {}", done.tuned, done.base, done.rows);
        }
        Ok(())
    }

    /// Stops the model servers by their page, then the portal.
    pub fn stop(&mut self) {
        if let Err(e) = job::stop_endpoints(&self.address, &People::of_the_development_provider()) {
            println!("the endpoint could not be stopped: {e:#}");
        }
        let _ = Command::new("kill").args(["-TERM", &self.portal.id().to_string()]).status();
        let _ = self.portal.wait();
    }
}

fn wait_until_ready(address: &str, portal: &mut Child, data: &Path) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if let Some(status) = portal.try_wait()? {
            let log = fs::read_to_string(data.join("portal.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            bail!("the portal ended with {status}. Its last words:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        if reqwest::blocking::get(format!("{address}/readyz")).is_ok_and(|r| r.status().is_success()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the portal was not ready within 60 s; see {}", data.join("portal.log").display())
}

fn print_table(done: &Done, people: &People, address: &str) {
    let [facts, base_facts, tuned_facts] = done.facts;
    println!("\n  held-out questions         base         tuned");
    println!("  about the new facts    {base_facts:>4} of {facts:<4} {tuned_facts:>4} of {facts:<4}");
    println!("  all                    {:>4} of {:<4} {:>4} of {:<4}", done.base, done.rows, done.tuned, done.rows);
    println!("  newly right {}, newly wrong {}", done.gained, done.lost);
    for row in &done.examples {
        println!("\n  {}\n    base   {}\n    tuned  {}", row.prompt, row.base, row.tuned);
    }
    println!("\n  the run took {}, {} optimiser steps, {} tokens", done.run_took, done.steps, done.tokens);
    println!("  open   {address}");
    for p in &people.all {
        println!("         {:<8} {:<28} password {}", p.sign_in, p.role, p.password);
    }
}

fn summary(done: &Done, people: &People, address: &str, steps: &[(String, f32)]) -> serde_json::Value {
    serde_json::json!({
        "address": address,
        "tenant": job::TENANT,
        "people": people.all.iter().map(|p| serde_json::json!({"name": p.name, "role": p.role, "sign_in": p.sign_in, "password": p.password})).collect::<Vec<_>>(),
        "api_key": done.api_key,
        "base_model": job::BASE_MODEL,
        "tuned_model": job::MODEL,
        "dataset": job::DATASET,
        "run": done.run,
        "version": done.version,
        "endpoint": job::ENDPOINT,
        "seconds": steps.iter().map(|(name, s)| (name.clone(), serde_json::json!((s * 10.0).round() / 10.0))).collect::<serde_json::Map<_, _>>(),
        "scores": {"base": done.base, "tuned": done.tuned, "rows": done.rows, "facts": done.facts[0], "facts_base": done.facts[1], "facts_tuned": done.facts[2]},
    })
}
