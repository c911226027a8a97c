//! What needs a Kubernetes cluster: the tests that say so, and the main job in a browser there.

use super::{
    CRATES, Count, SKIPPED, Tally, browser_packages, cargo_test, close, counted, harness, keep_log, playwright, system_packages, tempdir,
};
use crate::{
    cluster, folders, interrupt, journey,
    run::{cargo, run},
    served::{self, Served},
    sources,
};
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

/// Starts a cluster, shows that it works, runs all that wants one, ends it.
pub fn on_a_cluster() -> Result<()> {
    interrupt::listen()?;
    cluster::possible()?;
    system_packages()?;
    let mut all = Tally::default();
    let running = proven(&mut all)?;
    let programs = programs_that_name(&running.environment()?.iter().map(|(name, _)| *name).collect::<Vec<_>>())?;
    let mut command = cargo_test();
    command.args(programs.iter().flat_map(|name| ["--test", name]));
    tests(&mut all, &running, &mut command)?;
    main_job_in_a_browser(&mut all, &running)?;
    running.end()?;
    close(all)
}

/// The same with the tests that were left out before, which `said` names as `testing::leave_out` writes them.
pub fn tests_left_out(all: &mut Tally, said: &str) -> Result<()> {
    let running = proven(all)?;
    let left_out = by_program(said);
    let mut command = cargo_test();
    command.args(left_out.keys().flat_map(|program| ["--test", program])).args(["--", "--exact"]);
    command.args(left_out.values().flatten());
    let before = all.count;
    if !left_out.is_empty() {
        tests(all, &running, &mut command)?;
    }
    let ran = all.count.passed + all.count.failed + all.count.skipped - before.passed - before.failed - before.skipped;
    let wanted = all.count.left_out;
    all.count.left_out = 0;
    if ran < wanted {
        let missed =
            format!("{wanted} tests wanted a cluster, and {ran} ran on it: such a test belongs into the folder `tests` of its crate");
        println!("{missed}");
        all.failures.push(missed);
        all.add(Count { failed: wanted - ran, ..Count::default() });
    }
    main_job_in_a_browser(all, &running)?;
    running.end()
}

/// A cluster on which each image has run once.
fn proven(all: &mut Tally) -> Result<cluster::Running> {
    println!("--- cluster");
    // What runs in the pods is the program of this checkout.
    run(cargo().args(["build", "-p", "server"]))?;
    let running = cluster::Running::start("test-cluster")?;
    running.prove()?;
    all.add(Count { passed: 1, ..Count::default() });
    Ok(running)
}

fn tests(all: &mut Tally, running: &cluster::Running, command: &mut Command) -> Result<()> {
    let skipped = tempdir()?.join("skipped-on-a-cluster");
    drop(fs::remove_file(&skipped));
    command.envs(running.environment()?).env("ATELIER_KUEUE", cluster::ensure_kueue()?).env(SKIPPED, &skipped);
    // Some of these programs have tests beside that want a store of their own.
    if let Some(garage) = cluster::built_garage() {
        command.env("ATELIER_GARAGE", garage);
    }
    counted("Rust, on the cluster", command, all, harness)
}

/// As people do it: signed in at Keycloak, on an installation that nobody has used yet.
fn main_job_in_a_browser(all: &mut Tally, running: &cluster::Running) -> Result<()> {
    browser_packages()?;
    let data = tempdir()?.join("on-a-cluster");
    let options = served::Options { data: data.join("data"), port: 0, summary: None, outside_allowed: None };
    let failed_before = all.count.failed;
    let mut served = Served::start_with(&options, || served::Parts::of_cluster(&running.description))?;
    let summary = data.join("summary.json");
    fs::write(&summary, serde_json::to_vec_pretty(&journey::who_and_where(&served.address, &served.parts.people()))?)
        .with_context(|| format!("{} cannot be written", summary.display()))?;
    let mut browser = Command::new("npx");
    browser.current_dir("end2end").args(["playwright", "test", "--config", "cluster.config.js"]);
    browser.env("ATELIER_SUMMARY", &summary).envs(running.environment()?);
    counted("browser, on the cluster", &mut browser, all, playwright)?;
    served.stop();
    if all.count.failed > failed_before {
        keep_log(&data, &folders::target(), all);
    }
    let _ = fs::remove_dir_all(&data);
    Ok(())
}

/// Program -> its tests, of lines like `contract-0f3a cluster::a_test: why`.
fn by_program(said: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for line in said.lines() {
        let Some((program, test)) = line.split(": ").next().and_then(|name| name.split_once(' ')) else { continue };
        // Without the hash that cargo puts behind it.
        let program = program.rsplit_once('-').map_or(program, |(name, _)| name);
        found.entry(program).or_default().insert(test);
    }
    found
}

/// The programs of tests in whose sources one of these variables is named: the ones that look for a cluster.
fn programs_that_name(variables: &[&str]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (name, src) in sources::crates()? {
        let tests = src.with_file_name("tests");
        if !CRATES.contains(&name.as_str()) || !tests.is_dir() {
            continue;
        }
        for source in sources::below(&tests)? {
            let inside = source.path.split_once("/tests/").map_or("", |(_, inside)| inside);
            let name = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
            let folder = tests.join(name);
            // A folder without this belongs to several programs.
            let is_program = folder.join("main.rs").exists() || folder.with_extension("rs").exists();
            if is_program && variables.iter().any(|variable| source.text.contains(variable)) {
                found.insert(name.to_owned());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn tests_that_were_left_out_are_found_by_program_and_name() {
        let said = "contract-0f3a cluster::one: no cluster\ncontract-0f3a cluster::two: no cluster\nfaults-11 a_pod_is_gone: no: cluster\n";
        let found = by_program(said);
        assert_eq!(found["contract"], BTreeSet::from(["cluster::one", "cluster::two"]));
        assert_eq!(found["faults"], BTreeSet::from(["a_pod_is_gone"]));
    }
}
