//! `cargo run -p xtask -- mutants`: changes the code in one place after the other and looks whether a test turns red. What stays green is
//! a rule that no test holds. Not a part of `make test`: the whole of it takes many hours.

use crate::{interrupt, suite::SKIPPED, tools::MUTANTS};
use anyhow::{Context, Result, bail};
use std::{path::Path, process::Stdio};

const OUT: &str = "target/mutants";

/// Where a mistake costs most: the rules, the way of every call, who may see what, all SQL, and the controllers.
const FILES: [&str; 6] = [
    "crates/domain/src/**/*.rs",
    "crates/gateway/src/**/*.rs",
    "crates/platform/src/access.rs",
    "crates/platform/src/access/**/*.rs",
    "crates/platform/src/store/**/*.rs",
    "crates/platform/src/control/**/*.rs",
];
const CRATES: [&str; 3] = ["domain", "gateway", "platform"];

/// `files`: instead of all of the above, as paths or patterns.
pub fn mutants(files: &[String]) -> Result<()> {
    let all = FILES.map(str::to_owned);
    let mut command = MUTANTS.command()?;
    command.args(["mutants", "--output", OUT, "--no-shuffle", "--minimum-test-timeout", "120", "--colors", "never"]);
    for name in CRATES {
        command.args(["--package", name]);
    }
    let files = if files.is_empty() { &all[..] } else { files };
    for file in files {
        command.args(["--file", file]);
    }
    // A part that the machine lacks is no reason to call every mutant caught.
    std::fs::create_dir_all(OUT)?;
    let skipped = std::path::absolute(OUT)?.join("skipped");
    drop(std::fs::remove_file(&skipped));
    command.env(SKIPPED, &skipped).stdin(Stdio::null());
    let mut child = command.spawn().context("cargo-mutants could not be started")?;
    let status = interrupt::end_of(&mut child)?;
    // 2 and 3 tell of survivors and of tests that never ended; everything else, that nothing was tried.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("cargo-mutants ended with {status}; {OUT}/mutants.out holds its logs");
    }
    said(&Path::new(OUT).join("mutants.out"))
}

fn said(out: &Path) -> Result<()> {
    let lines = |name: &str| -> Result<Vec<String>> {
        let text = std::fs::read_to_string(out.join(name)).with_context(|| format!("{name} of cargo-mutants"))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let (missed, endless) = (lines("missed.txt")?, lines("timeout.txt")?);
    missed.iter().for_each(|m| println!("survived: {m}"));
    endless.iter().for_each(|m| println!("no end:   {m}"));
    println!(
        "{} mutants were noticed, {} survived, {} made the tests run without end, {} did not compile",
        lines("caught.txt")?.len(),
        missed.len(),
        endless.len(),
        lines("unviable.txt")?.len()
    );
    Ok(())
}
