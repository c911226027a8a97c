//! The style sheet: Tailwind's own compiler over `style/` and the classes in `app/src`, written to `style/out.css`, which is committed.

use crate::{
    folders::{root, target},
    interrupt,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    process::{Command, Stdio},
};

/// Writes `style/out.css`, or with `check` compares it with what would be written.
/// Without the compiler (`npm ci` in `style/`) the committed file is kept, and `check` fails.
pub fn css(check: bool) -> Result<()> {
    let style = root().join("style");
    let compiler = style.join("node_modules/.bin/tailwindcss");
    if !compiler.exists() {
        if check {
            bail!("Tailwind's compiler is not there; run `npm ci` in style/ first");
        }
        println!(
            "  style sheet: the committed style/out.css is used (it is made anew only where Tailwind's compiler is installed in style/)"
        );
        return Ok(());
    }
    // Not beside the sources: a file that comes and goes there is a change to whoever watches them.
    fs::create_dir_all(target())?;
    let fresh = target().join("out.fresh.css");
    let status = (Command::new(compiler).current_dir(&style).args(["-i", "main.css", "--minify", "-o"]).arg(&fresh))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start Tailwind's compiler")?;
    if !status.success() {
        interrupt::explains_a_failure()?;
        bail!("Tailwind's compiler failed ({status}); run it by hand in style/ to see why");
    }
    let (new, committed) = (fs::read(&fresh)?, style.join("out.css"));
    let same = fs::read(&committed).is_ok_and(|old| old == new);
    fs::remove_file(&fresh)?;
    if check && !same {
        bail!("style/out.css is stale: run `cargo xtask css` and commit it");
    }
    // Only a real change touches the file: its time is what builds look at.
    if !same {
        fs::write(&committed, new)?;
    }
    Ok(())
}
