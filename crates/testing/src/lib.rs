//! What the tests of several crates share: what a program asks the kernel to make lasting ([`syncs`]), a real S3 store ([`garage`]), a real
//! Keycloak ([`keycloak`]), and how a test says that it cannot run here. The harness knows no such thing and would count it as passed;
//! `xtask` reads the file that is written here and counts it as skipped.

pub mod garage;
pub mod keycloak;
pub mod syncs;

use std::{ffi::OsString, fs::OpenOptions, io::Write};

/// Names the file to which skipped tests are written, one a line; set by whoever counts them.
pub const FILE: &str = "ATELIER_SKIPPED";
/// The file for [`leave_out`].
const LEFT_OUT: &str = "ATELIER_LEFT_OUT";

/// To be called by a test that lacks a part of the machine, and returns then. `missing`: what, and how to get it.
///
/// # Panics
/// Under `CI=true`, where everything must be there, and where nobody counts: a test that did not run has not passed.
pub fn skip(missing: &str) {
    match file(std::env::var_os(FILE), std::env::var_os("CI")) {
        Some(file) => note(&file, missing),
        None => panic!("not run: {missing}. (`make test-quick` counts such a test as skipped, where CI is not set.)"),
    }
}

/// For a test that wants a cluster, where there is none: left out where whoever runs the tests asked for no cluster and counts what
/// is left out, also in CI; else as [`skip`].
pub fn leave_out(missing: &str) {
    match std::env::var_os(LEFT_OUT) {
        Some(file) => note(file.as_ref(), missing),
        None => skip(missing),
    }
}

/// One write, so that tests side by side do not mix their lines.
fn note(file: &std::path::Path, missing: &str) {
    let thread = std::thread::current();
    let program = std::env::current_exe().ok().and_then(|exe| exe.file_stem().map(|stem| stem.display().to_string()));
    let line = format!("{} {}: {missing}\n", program.unwrap_or_default(), thread.name().unwrap_or("a test"));
    let written = OpenOptions::new().create(true).append(true).open(file).and_then(|mut f| f.write_all(line.as_bytes()));
    if let Err(e) = written {
        panic!("{} cannot be written: {e}", file.display());
    }
}

fn file(named: Option<OsString>, ci: Option<OsString>) -> Option<std::path::PathBuf> {
    let everything_must_be_there = ci.is_some_and(|v| v == "true" || v == "1");
    named.filter(|_| !everything_must_be_there).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_skipped_only_where_somebody_counts_and_never_in_ci() {
        let (set, of) = (Some(OsString::from("/tmp/skipped")), |v: &str| Some(OsString::from(v)));
        assert!(file(set.clone(), None).is_some() && file(set.clone(), of("")).is_some() && file(set.clone(), of("false")).is_some());
        assert!(file(set.clone(), of("true")).is_none() && file(set, of("1")).is_none());
        assert!(file(None, None).is_none());
    }
}
