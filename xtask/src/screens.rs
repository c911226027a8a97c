//! `make screens DIR=...`: starts the demo on its data, takes a picture of every page (light, dark, 360 px, 1440 px), and ends.

use crate::{
    demo,
    run::run,
    served::{self, Served},
    suite,
};
use anyhow::Result;
use std::{path::Path, process::Command};

pub fn screens(dir: &Path) -> Result<()> {
    suite::system_packages()?;
    suite::browser_packages()?;
    std::fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let data = Path::new("data/demo");
    std::fs::create_dir_all(data)?;
    let summary = data.canonicalize()?.join("summary.json");
    let mut served =
        Served::start(&served::Options { data: data.to_owned(), port: 0, summary: Some(summary.clone()), outside_allowed: None })?;
    let taken = demo::main_job(&mut served)
        .and_then(|()| run(Command::new("node").current_dir("end2end").arg("screens.mjs").arg(&summary).arg(&dir)));
    served.stop();
    taken.map(|()| println!("  {}", dir.display()))
}
