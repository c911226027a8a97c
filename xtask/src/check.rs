//! `make check`: what a person would say about a change before reading it.

use crate::{
    css::css,
    run::{cargo, run},
};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Who may use whom among our own crates (ARCHITECTURE.md). An arrow that is not here is a mistake, or a change of the architecture.
const ARROWS: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("engine", &["domain"]),
    ("outside", &["domain"]),
    ("gateway", &["domain", "outside"]),
    ("task", &["domain"]),
    // For tests only; tests may use whom they like.
    ("testing", &[]),
    ("platform", &["domain", "engine", "outside"]),
    ("app", &["domain", "platform"]),
    ("frontend", &["app"]),
    ("server", &["app", "domain", "engine", "gateway", "outside", "platform", "task"]),
    ("xtask", &["domain"]),
];

/// Licences that a program under Apache-2.0 may be shipped with. MPL-2.0 and CDLA: of files and data that we do not change.
const LICENCES: [&str; 17] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

pub fn check() -> Result<()> {
    arrows()?;
    licences()?;
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
    let host = ["domain", "engine", "outside", "gateway", "task", "testing", "platform", "app", "server"].map(|p| ["-p", p]).concat();
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
    version: String,
    license: Option<String>,
    /// None = a crate of ours.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` for tests, `build`, or none.
    kind: Option<String>,
}

fn metadata(more: &[&str]) -> Result<Metadata> {
    let out = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(more)
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
    let ours: Vec<Package> = metadata(&["--no-deps"])?.packages;
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

fn licences() -> Result<()> {
    let mut refused = Vec::new();
    for package in metadata(&[])?.packages.iter().filter(|p| p.source.is_some()) {
        let said = package.license.as_deref().unwrap_or("");
        if !may_be_shipped(said) {
            refused.push(format!("  {} {}: {}", package.name, package.version, if said.is_empty() { "no licence named" } else { said }));
        }
    }
    if !refused.is_empty() {
        bail!("licences that are not in the list of xtask/src/check.rs:\n{}", refused.join("\n"));
    }
    Ok(())
}

/// An SPDX expression, as crates write them: `A OR B`, `A/B`, `(A OR B) AND C`. Every AND part needs one OR part that is allowed.
fn may_be_shipped(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], " ");
    !expression.trim().is_empty()
        && plain
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|id| LICENCES.contains(&id.split_whitespace().collect::<Vec<_>>().join(" ").as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_needs_one_good_side_and_a_sum_needs_both() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-3.0 OR MIT",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(may_be_shipped(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "AGPL-3.0-only", "Apache-2.0 AND (LGPL-3.0 OR GPL-2.0)"] {
            assert!(!may_be_shipped(bad), "{bad}");
        }
    }

    #[test]
    fn the_arrows_hold() {
        arrows().unwrap();
    }
}
