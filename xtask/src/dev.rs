//! `make dev`: builds, starts the portal, and does both again when a source file changes. Looking at times some times a second is
//! enough and needs nothing from the system.
//!
//! A changed page is shown as soon as the browser's part is built: until the server's part is there too, the page is drawn by the
//! browser alone (`redraw` in `frontend`). Open pages reload by themselves.

use crate::{
    folders::{site, target},
    run::{cargo, run},
    web::{NAME, change_glue, web_with},
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

const LOOK: Duration = Duration::from_millis(250);
/// At the end of the glue that open pages have loaded: reloads them when there is another one, and somebody to serve it.
const RELOAD: &str = "
const names = () => fetch('/pkg/files.json', { cache: 'no-store' }).then(r => r.ok ? r.json() : null, () => null);
const mine = import.meta.url.split('/').pop();
setInterval(async () => { const now = await names(); if (now && now['atelier.js'] !== mine) location.reload(); }, 300);
";
/// What the browser's file is made of.
const BROWSER: [&str; 4] = ["app/src", "frontend/src", "crates/domain/src", "style"];
/// What the program is made of, beside that.
const PROGRAM: [&str; 7] =
    ["server/src", "crates/outside/src", "crates/platform/src", "crates/engine/src", "crates/gateway/src", "crates/task", "migrations"];

/// `args` go to `atelier serve`. Never returns but with an error.
pub fn dev(args: &[String]) -> Result<()> {
    let mut running: Option<Child> = None;
    let (mut browser, mut program) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
    loop {
        let now = (newest(&BROWSER), newest(&PROGRAM));
        if now == (browser, program) {
            if let Some(child) = &mut running
                && let Some(status) = child.try_wait()?
            {
                println!("  the portal ended with {status}; waiting for a change");
                running = None;
            }
            sleep(LOOK);
            continue;
        }
        let began = Instant::now();
        let browser_changed = now.0 != browser;
        (browser, program) = now;
        // A mistake in a file is shown by the compiler; the portal of before goes on.
        if let Err(e) = rebuild(browser_changed, &mut running, args, began) {
            println!("  not built: {e:#}");
        }
    }
}

/// The newest change below these folders. A removed file counts too: its folder changes.
fn newest(roots: &[&str]) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut left: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    while let Some(path) = left.pop() {
        let Ok(meta) = fs::metadata(&path) else { continue };
        newest = newest.max(meta.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        // What the build itself writes must not start the next one.
        let made = path.file_name().is_some_and(|n| n == "out.css" || n == "node_modules" || n == "__pycache__");
        if meta.is_dir() && !made {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
    }
    newest
}

fn rebuild(browser: bool, running: &mut Option<Child>, args: &[String], began: Instant) -> Result<()> {
    if browser || !site().join("pkg/files.json").exists() {
        let ahead = running.is_some();
        web_with(false, |pkg| finish_glue(&pkg.join(format!("{NAME}.js")), ahead))?;
        if ahead {
            println!("  shown after {:.1} s, drawn by the browser alone; the server follows", began.elapsed().as_secs_f32());
        }
    }
    run(cargo().args(["build", "--quiet", "-p", "server"]))?;
    *running = Some(restart(running.take(), &site(), args)?);
    // Only now, when the old portal is gone: a page that reloads must not meet its end.
    change_glue(&site(), |text| text.replace("wasm.redraw(); // ahead", "wasm.hydrate();"))?;
    println!("  built in {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

/// `ahead`: the server that answers draws an older page than this one, which therefore begins anew.
fn finish_glue(glue: &Path, ahead: bool) -> Result<()> {
    let mut text = fs::read_to_string(glue)?;
    if ahead {
        anyhow::ensure!(text.contains("wasm.hydrate();"), "wasm-bindgen's glue does not look as expected");
        text = text.replace("wasm.hydrate();", "wasm.redraw(); // ahead");
    }
    Ok(fs::write(glue, text + RELOAD)?)
}

fn restart(running: Option<Child>, site: &Path, args: &[String]) -> Result<Child> {
    if let Some(mut child) = running {
        // SIGTERM: what is under way ends well. Runs and endpoints are processes of their own and stay.
        let told = Command::new("kill").arg(child.id().to_string()).status();
        if told.is_err() {
            child.kill()?;
        }
        child.wait()?;
    }
    let mut portal = Command::new(target().join("debug/atelier"));
    portal.arg("serve").arg("--site").arg(site).args(args);
    portal.spawn().context("the portal could not be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glue_draws_by_itself_only_while_the_server_is_older() {
        let file = std::env::temp_dir().join(format!("atelier-glue-{}.js", std::process::id()));
        let glue = "export function hydrate() {\n    wasm.hydrate();\n}\n";
        for (ahead, drawn) in [(true, "wasm.redraw(); // ahead"), (false, "wasm.hydrate();")] {
            fs::write(&file, glue).unwrap();
            finish_glue(&file, ahead).unwrap();
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(drawn) && text.ends_with(RELOAD), "{text}");
        }
        fs::write(&file, "something else").unwrap();
        assert!(finish_glue(&file, true).is_err(), "a page that is shown with the wrong entry is worse than none");
        fs::remove_file(&file).unwrap();
    }
}
