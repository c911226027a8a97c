//! `make test`: installs what the tests need, runs every suite against the real parts, and counts.
//! `make test-quick`: the part without trainer, model server and browser; under three minutes once built.
//! `make test-cluster`: the part that needs a Kubernetes cluster.

mod on_cluster;

use crate::{
    cluster, debian, demo,
    envs::{self, which},
    folders::target,
    interrupt,
    run::{cargo, run},
    served::{self, Served},
};
use anyhow::{Context, Result, bail};
pub use on_cluster::on_a_cluster;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Crates whose tests run in one build; `app` gets its server features through `server`.
const CRATES: [&str; 10] = ["testing", "domain", "engine", "outside", "gateway", "storage", "task", "platform", "app", "server"];

/// Most lines that the closing words repeat about failures.
const REPEATED: usize = 80;

#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    passed: u32,
    failed: u32,
    skipped: u32,
    /// Wants a cluster, and none was asked for.
    left_out: u32,
}

/// Where tests write that they did not run (`testing::skip`), one a line. The harness has counted them as passed.
pub const SKIPPED: &str = "ATELIER_SKIPPED";
/// Where tests write that they want a cluster (`testing::leave_out`), when none was asked for; counted as passed by the harness as well.
const LEFT_OUT: &str = "ATELIER_LEFT_OUT";

impl Count {
    fn without_skipped(self, said: &str) -> Self {
        let skipped = tests_in(said).min(self.passed);
        Self { passed: self.passed - skipped, skipped: self.skipped + skipped, ..self }
    }

    fn without_left_out(self, said: &str) -> Self {
        let left_out = tests_in(said).min(self.passed);
        Self { passed: self.passed - left_out, left_out: self.left_out + left_out, ..self }
    }
}

/// How many tests these lines are of: one may lack two things.
fn tests_in(said: &str) -> u32 {
    let names: BTreeSet<&str> = said.lines().map(|line| line.split(": ").next().unwrap_or(line)).collect();
    u32::try_from(names.len()).unwrap_or(u32::MAX)
}

/// What the suites said in sum.
#[derive(Default)]
struct Tally {
    count: Count,
    /// What failed and how, to be said again at the very end, where nobody has to search for it.
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, c: Count) {
        self.count.passed += c.passed;
        self.count.failed += c.failed;
        self.count.skipped += c.skipped;
        self.count.left_out += c.left_out;
    }
}

/// How many lines, from this one on, tell what failed; 0 when it is about something else.
fn tells_of_a_failure(line: &str) -> usize {
    let line = line.trim_start();
    if line.starts_with("✘") || (line.starts_with("test ") && line.ends_with("FAILED")) || line.starts_with("FAIL ") {
        1
    } else if line.starts_with("thread '") && line.contains("panicked at") {
        4
    } else if line.starts_with("Error:") || line.starts_with("Test timeout") {
        9
    } else {
        0
    }
}

/// The environment in which the Rust tests look for real parts, beside those that Debian installs.
type InEnvironment = Vec<(&'static str, PathBuf)>;

pub fn quick() -> Result<()> {
    let mut all = Tally::default();
    cargo_tests(&mut all, None)?;
    close(all)
}

/// `with_cluster`: also what needs one, on one that is started for it at the end.
pub fn whole(with_cluster: bool) -> Result<()> {
    interrupt::listen()?;
    if with_cluster {
        // Refused before half an hour of work: what would go wrong at its end.
        cluster::possible()?;
    }
    system_packages()?;
    let parts = vec![
        (domain::environment::TRAINER.variable, envs::TRAINER.ensure()?),
        (domain::environment::MODEL_SERVER.variable, envs::MODEL_SERVER.ensure()?),
        cluster::keycloak()?,
    ];
    if !with_cluster {
        println!("Tests that need a Kubernetes cluster are left out; they run with `make test-cluster`, or here with --cluster.");
    }
    let mut all = Tally::default();
    // A real S3 store; the tests find it where it is built.
    cluster::ensure_garage()?;
    // And Helm, with which the chart is read: wanted by nothing else, so without it the rest is tested all the same.
    if let Err(e) = cluster::ensure_helm() {
        println!("Helm could not be built, so the tests of the chart are left out: {e:#}");
    }
    let left_out = cargo_tests(&mut all, Some(&parts))?;
    end_to_end(&mut all)?;
    if with_cluster {
        // By itself, when nothing else wants memory.
        on_cluster::tests_left_out(&mut all, &left_out)?;
    }
    close(all)
}

fn close(tally: Tally) -> Result<()> {
    let all = tally.count;
    if !tally.failures.is_empty() {
        println!("what failed, once more:");
        tally.failures.iter().for_each(|line| println!("  {line}"));
    }
    if all.left_out > 0 {
        println!("{} tests need a Kubernetes cluster and were left out: `make test-cluster`, or --cluster", all.left_out);
    }
    println!("{} passed, {} failed, {} skipped", all.passed, all.failed, all.skipped);
    if all.failed > 0 || all.passed == 0 {
        bail!("{} tests failed", all.failed);
    }
    if all.skipped > 0 && std::env::var("CI").is_ok_and(|v| v == "true" || v == "1") {
        bail!("{} tests were skipped, and in CI everything must run", all.skipped);
    }
    Ok(())
}

/// Chromium and PostgreSQL come from Debian; whoever is not root is told what to install.
pub fn system_packages() -> Result<()> {
    let missing: Vec<&str> =
        [("chromium", which("chromium").is_some()), ("postgresql-15", Path::new("/usr/lib/postgresql/15/bin/initdb").exists())]
            .into_iter()
            .filter_map(|(package, there)| (!there).then_some(package))
            .collect();
    debian::install(&missing)
}

/// The tests of all crates in one build, those that are named behind it or all.
fn cargo_test() -> Command {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(CRATES.iter().flat_map(|name| ["-p", name]));
    command
}

/// Also returns what the tests wrote that want a cluster.
fn cargo_tests(all: &mut Tally, parts: Option<&InEnvironment>) -> Result<String> {
    let mut command = cargo_test();
    command.envs(parts.into_iter().flatten().map(|(name, path)| (name, path)));
    // The quick ones take it where it is, and build nothing.
    if let Some(garage) = cluster::built_garage() {
        command.env("ATELIER_GARAGE", garage);
    }
    if let Some(helm) = cluster::built_helm() {
        command.env("ATELIER_HELM", helm);
    }
    let skipped = tempdir()?.join("skipped");
    drop(std::fs::remove_file(&skipped));
    command.env(SKIPPED, &skipped);
    let left_out = skipped.with_file_name("left-out");
    drop(std::fs::remove_file(&left_out));
    command.env(LEFT_OUT, &left_out);
    counted("Rust", &mut command, all, harness)?;
    // By itself: its features must not flow into the program that the others test.
    counted("xtask", cargo().args(["test", "-p", "xtask"]), all, harness)?;
    Ok(std::fs::read_to_string(&left_out).unwrap_or_default())
}

/// The closing line of one program of Rust tests.
fn harness(line: &str) -> Option<Count> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok());
    Some(Count { passed: number(" passed")?, failed: number(" failed")?, skipped: number(" ignored").unwrap_or(0), ..Count::default() })
}

/// The demo is the main job through the public surfaces; what it leaves running is what the browser and the clients test.
fn end_to_end(all: &mut Tally) -> Result<()> {
    browser_packages()?;
    let clients = envs::CLIENTS.ensure()?;
    let data = tempdir()?;
    let summary = data.join("summary.json");
    let began = Instant::now();
    let failed_before = all.count.failed;
    // The browser tests play a model server that somebody else runs.
    let outside_allowed = Some("127.0.0.1".to_owned());
    let mut served = Served::start(&served::Options { data: data.join("data"), port: 0, summary: Some(summary.clone()), outside_allowed })?;
    match demo::main_job(&mut served) {
        Ok(()) => all.add(Count { passed: 1, ..Count::default() }),
        Err(e) if e.is::<interrupt::Interrupted>() => return Err(e),
        Err(e) => {
            let said = format!("demo: the main job failed: {e:#}");
            println!("{said}");
            all.failures.push(said);
            all.add(Count { failed: 1, ..Count::default() });
            served.stop();
            keep_log(&data, &target(), all);
            return Ok(());
        }
    }
    println!("demo: the main job took {:.0} s", began.elapsed().as_secs_f32());
    let plain = |line: &str| {
        // `12 passed, 0 failed` alone on a line, as our own client tests print it
        let (passed, rest) = line.trim().split_once(" passed, ")?;
        Some(Count { passed: passed.parse().ok()?, failed: rest.split_once(" failed")?.0.parse().ok()?, ..Count::default() })
    };
    counted("openai for Python", Command::new(clients).arg("end2end/clients/client_test.py").arg(&summary), all, plain)?;
    counted("openai for JavaScript", Command::new("node").arg("end2end/clients/client_test.mjs").arg(&summary), all, plain)?;
    let mut browser = Command::new("npx");
    browser.current_dir("end2end").args(["playwright", "test"]).env("ATELIER_SUMMARY", &summary);
    counted("browser", &mut browser, all, playwright)?;
    served.stop();
    if all.count.failed > failed_before {
        keep_log(&data, &target(), all);
    }
    let _ = std::fs::remove_dir_all(&data);
    Ok(())
}

/// The closing lines of Playwright, one a kind of outcome.
fn playwright(line: &str) -> Option<Count> {
    let (number, what) = line.trim().split_once(' ')?;
    let number = number.parse().ok()?;
    match what.split(' ').next()? {
        "passed" => Some(Count { passed: number, ..Count::default() }),
        "failed" | "flaky" | "interrupted" => Some(Count { failed: number, ..Count::default() }),
        "skipped" => Some(Count { skipped: number, ..Count::default() }),
        _ => None,
    }
}

/// What the portal said while a test failed is kept outside of the folder that goes, and told: where it lies, and what panicked.
fn keep_log(data: &Path, target: &Path, all: &mut Tally) {
    let kept = target.join("portal-of-the-failed-tests.log");
    match std::fs::copy(data.join("data/portal.log"), &kept) {
        Ok(_) => all.failures.push(format!("what the portal said meanwhile: {}", kept.display())),
        Err(e) => all.failures.push(format!("the portal's log could not be kept: {e}")),
    }
    let log = std::fs::read_to_string(&kept).unwrap_or_default();
    all.failures.extend(log.lines().filter(|line| line.contains("panicked")).take(REPEATED).map(|line| format!("  {line}")));
}

/// Playwright and the official client for JavaScript; the browser itself is Debian's.
pub fn browser_packages() -> Result<()> {
    run(Command::new("npm").current_dir("end2end").env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1").args(["ci", "--no-audit", "--no-fund"]))
}

fn tempdir() -> Result<std::path::PathBuf> {
    let dir = std::env::temp_dir().join(format!("atelier-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Runs a suite, shows what it prints, and adds up the lines in which it counts. A suite that ends badly without
/// having counted a failure counts as one.
fn counted(name: &str, command: &mut Command, all: &mut Tally, count: impl Fn(&str) -> Option<Count>) -> Result<()> {
    println!("--- {name}");
    let began = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("{name}: cannot start {command:?}"))?;
    let mut here = Count::default();
    let mut telling = 0;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = String::from_utf8_lossy(line?.as_bytes()).into_owned();
            println!("{line}");
            telling = tells_of_a_failure(&line).max(telling);
            if telling > 0 && all.failures.len() < REPEATED {
                all.failures.push(line.clone());
            }
            telling = telling.saturating_sub(1);
            if let Some(c) = count(&line) {
                here.passed += c.passed;
                here.failed += c.failed;
                here.skipped += c.skipped;
            }
        }
    }
    let status = interrupt::end_of(&mut child)?;
    if !status.success() && here.failed == 0 {
        here.failed = 1;
    }
    let noted = |what: &str| command.get_envs().find(|(name, _)| *name == what).and_then(|(_, file)| std::fs::read_to_string(file?).ok());
    let skipped = noted(SKIPPED);
    if let Some(said) = noted(LEFT_OUT) {
        here = here.without_left_out(&said);
    }
    if let Some(said) = skipped {
        said.lines().for_each(|line| println!("skipped: {line}"));
        here = here.without_skipped(&said);
    }
    println!(
        "--- {name}: {} passed, {} failed, {} skipped after {:.0} s",
        here.passed,
        here.failed,
        here.skipped,
        began.elapsed().as_secs_f32()
    );
    all.add(here);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_did_not_run_is_counted_as_skipped_and_not_as_passed() {
        let harness = Count { passed: 10, failed: 1, skipped: 2, left_out: 0 };
        let said = "postgres::one: PostgreSQL is not installed\npostgres::two: no: mount\npostgres::two: PostgreSQL is not installed\n";
        assert_eq!(harness.without_skipped(said), Count { passed: 8, failed: 1, skipped: 4, left_out: 0 });
        assert_eq!(harness.without_left_out(said), Count { passed: 8, failed: 1, skipped: 2, left_out: 2 });
        assert_eq!(harness.without_skipped(""), harness);
    }

    #[test]
    fn the_log_of_the_portal_is_kept_and_its_panics_are_told() {
        let folder = std::env::temp_dir().join(format!("atelier-keep-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(folder.join("data/portal.log"), "answered\na handler panicked panic=\"gone\"\nanswered\n").unwrap();
        let mut all = Tally::default();
        keep_log(&folder, &folder, &mut all);
        std::fs::remove_dir_all(folder.join("data")).unwrap();
        assert!(std::fs::read_to_string(folder.join("portal-of-the-failed-tests.log")).unwrap().contains("gone"));
        assert!(all.failures.len() == 2 && all.failures[1].contains("panicked"), "{:?}", all.failures);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
