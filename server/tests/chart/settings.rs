//! The chart speaks the program's language: every variable that it sets is one that the program reads.

use crate::helm::{WAYS, pods, way};
use std::process::Command;

/// Read without a flag of the same meaning.
const WITHOUT_A_FLAG: [&str; 3] = ["ATELIER_S3_ACCESS_KEY_ID", "ATELIER_S3_SECRET_ACCESS_KEY", "ATELIER_LOG_FORMAT"];

fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_atelier")).args(words).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_program_knows_every_variable_that_the_chart_sets() {
    let (serve, migrate) = (help(&["serve"]), help(&["migrate"]));
    for way_name in WAYS {
        let Some(objects) = way(way_name) else { return };
        for (of, pod) in pods(&objects) {
            let container = &pod["containers"][0];
            let help = if container["args"][0] == "migrate" { &migrate } else { &serve };
            for env in container["env"].as_array().unwrap() {
                let variable = env["name"].as_str().unwrap();
                let known = help.contains(&format!("[env: {variable}=")) || help.contains(&format!("[env: {variable}]"));
                let of_others = !variable.starts_with("ATELIER_") || variable == "ATELIER_RUN_HOURS";
                assert!(known || of_others || WITHOUT_A_FLAG.contains(&variable), "{way_name} {of}: {variable}");
            }
        }
    }
}
