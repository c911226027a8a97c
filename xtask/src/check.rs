//! `make check`: what a person would say about a change before reading it.

use crate::{
    circles::circles,
    css::css,
    run::{cargo, run},
    tools::{DENY, MACHETE},
    trainer_keys::trainer_keys,
};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Who may use whom among our own crates (ARCHITECTURE.md). An arrow that is not here is a mistake, or a change of the architecture.
const ARROWS: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("engine", &["domain"]),
    ("outside", &["domain"]),
    ("gateway", &["domain", "outside"]),
    ("storage", &["domain"]),
    ("task", &["domain", "storage"]),
    // For tests only; tests may use whom they like.
    ("testing", &[]),
    ("platform", &["domain", "engine", "outside", "storage"]),
    ("app", &["domain", "platform"]),
    ("frontend", &["app"]),
    ("server", &["app", "domain", "engine", "gateway", "outside", "platform", "storage", "task"]),
    ("xtask", &["domain"]),
];

pub fn check() -> Result<()> {
    arrows()?;
    circles()?;
    trainer_keys()?;
    foreign()?;
    css(true)?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    // Not `--workspace` in one go: features would unify, and nothing is ever built that way.
    run(cargo().args(["clippy", "--quiet", "--all-targets", "-p", "xtask", "--", "-D", "warnings"]))?;
    run(cargo().args([
        "clippy",
        "--quiet",
        "--all-targets",
        "-p",
        "frontend",
        "--target",
        "wasm32-unknown-unknown",
        "--",
        "-D",
        "warnings",
    ]))?;
    let host =
        ["domain", "engine", "outside", "gateway", "storage", "task", "testing", "platform", "app", "server"].map(|p| ["-p", p]).concat();
    run(cargo().args(["clippy", "--quiet", "--all-targets", "--features", "app/ssr"]).args(host).args(["--", "-D", "warnings"]))?;
    // The rights matrix on paper is the one in the code.
    run(cargo().args(["test", "--quiet", "-p", "domain", "--lib", "the_printed_matrix_is_fresh"]))?;
    println!("  all checks passed");
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` for tests, `build`, or none.
    kind: Option<String>,
}

fn metadata() -> Result<Metadata> {
    let out = cargo()
        .args(["metadata", "--format-version", "1", "--locked", "--no-deps"])
        .output()
        .context("cargo metadata could not be started")?;
    if !out.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// Reads the manifests and refuses an arrow that the table does not have.
pub fn arrows() -> Result<()> {
    let allowed = BTreeMap::from(ARROWS);
    let ours: Vec<Package> = metadata()?.packages;
    let names: BTreeSet<&str> = ours.iter().map(|p| p.name.as_str()).collect();
    for package in &ours {
        let Some(may) = allowed.get(package.name.as_str()) else {
            bail!("the crate {} is not in the table of arrows in xtask/src/check.rs", package.name)
        };
        for used in package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev") && names.contains(d.name.as_str())) {
            if !may.contains(&used.name.as_str()) {
                bail!("{} may not use {} (see ARCHITECTURE.md); the table is in xtask/src/check.rs", package.name, used.name);
            }
        }
    }
    Ok(())
}

/// Licences, sources and duplicates of what is not ours, and what of it nobody uses.
fn foreign() -> Result<()> {
    run(DENY.command()?.args(["--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    run(MACHETE.command()?.arg("."))
}

/// Known holes in what is not ours: the one check that asks others (the database of rustsec.org).
pub fn advisories() -> Result<()> {
    run(DENY.command()?.args(["--locked", "check", "advisories"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrows_hold() {
        arrows().unwrap();
    }
}
