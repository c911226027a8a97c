//! The browser's files: the app as WebAssembly with its glue, the style sheet, fonts and icon, in one folder that the server serves.

use crate::{
    css::{css, root},
    run::{cargo, run},
};
use anyhow::{Context, Result};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Name of the files: `pkg/atelier.js`, `pkg/atelier_bg.wasm`, `pkg/atelier.css`.
pub const NAME: &str = "atelier";

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the site is: `ATELIER_SITE`, else `site` in the target folder.
pub fn site() -> PathBuf {
    env::var_os("ATELIER_SITE").map_or_else(|| target().join("site"), PathBuf::from)
}

/// Builds the site and says where it is. `release` is small (minutes) and has brotli siblings; without it, quick and big.
pub fn web(release: bool) -> Result<PathBuf> {
    web_with(release, |_| Ok(()))
}

/// [`web`], with a last hand on the files (in the folder that is given) before anybody is served one of them.
pub fn web_with(release: bool, finish: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    // Beside the compiler: both take their seconds.
    let styled = std::thread::spawn(|| css(false));
    let profile = if release { "wasm-release" } else { "dev" };
    let started = Instant::now();
    run(cargo().current_dir(root()).args(["build", "-p", "frontend", "--lib", "--target", "wasm32-unknown-unknown", "--profile", profile]))
        .context("the frontend does not build")?;
    println!("  frontend: {:.1?}", started.elapsed());

    let built = target().join("wasm32-unknown-unknown").join(if release { "wasm-release" } else { "debug" }).join("frontend.wasm");
    let site = site();
    let pkg = site.join("pkg.next");
    if pkg.exists() {
        fs::remove_dir_all(&pkg)?;
    }
    fs::create_dir_all(pkg.join("fonts"))?;
    let started = Instant::now();
    wasm_bindgen_cli_support::Bindgen::new()
        .web(true)?
        .input_path(&built)
        .out_name(NAME)
        .typescript(false)
        .omit_default_module_path(false)
        .remove_producers_section(release)
        .generate(&pkg)
        .context("wasm-bindgen")?;
    println!("  wasm-bindgen: {:.1?}", started.elapsed());
    if release {
        let module = pkg.join(format!("{NAME}_bg.wasm"));
        let bytes = fs::read(&module)?;
        fs::write(&module, stripped(&bytes).context("the wasm module is cut short")?)?;
    }

    styled.join().map_err(|_| anyhow::anyhow!("the style sheet's thread panicked"))??;
    let style = root().join("style");
    fs::copy(style.join("out.css"), pkg.join(format!("{NAME}.css")))?;
    fs::copy(style.join("icon.svg"), pkg.join("icon.svg"))?;
    for font in fs::read_dir(style.join("fonts"))?.flatten() {
        fs::copy(font.path(), pkg.join("fonts").join(font.file_name()))?;
    }
    if release {
        compress(&pkg)?;
    }
    finish(&pkg)?;
    // Exchanged whole: a portal that serves from here never has a module without its glue for longer than this.
    let served = site.join("pkg");
    if served.exists() {
        fs::remove_dir_all(&served)?;
    }
    fs::rename(&pkg, &served)?;
    Ok(site)
}

/// The module without its custom sections (names, producers): they only help debuggers. None when it is cut short.
fn stripped(module: &[u8]) -> Option<Vec<u8>> {
    let mut out = module.get(..8)?.to_vec();
    let mut at = 8;
    while at < module.len() {
        let start = at;
        let id = module[at];
        at += 1;
        let (mut size, mut shift) = (0usize, 0);
        loop {
            let b = *module.get(at)?;
            at += 1;
            size |= usize::from(b & 0x7f) << shift;
            shift += 7;
            if b & 0x80 == 0 {
                break;
            }
        }
        at += size;
        let section = module.get(start..at)?;
        if id != 0 {
            out.extend_from_slice(section);
        }
    }
    Some(out)
}

/// A `.br` beside every text and module; the server sends it to those who take it.
fn compress(folder: &Path) -> Result<()> {
    for path in fs::read_dir(folder)?.flatten().map(|e| e.path()) {
        let Some(extension) = path.extension().and_then(|e| e.to_str()).filter(|e| ["js", "css", "wasm", "svg"].contains(e)) else {
            continue;
        };
        let data = fs::read(&path)?;
        let mut out = Vec::new();
        let how = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
        brotli::BrotliCompress(&mut &data[..], &mut out, &how)?;
        println!("  {:>9} -> {:>8} br  {}", data.len(), out.len(), path.display());
        fs::write(path.with_extension(format!("{extension}.br")), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_sections_go_and_the_others_stay() {
        let module = [b"\0asm\x01\0\0\0".as_slice(), &[0, 3, 1, b'x', 9], &[1, 2, 7, 7]].concat();
        assert_eq!(stripped(&module).as_deref(), Some([b"\0asm\x01\0\0\0".as_slice(), &[1, 2, 7, 7]].concat().as_slice()));
        assert_eq!(stripped(&module[..11]), None);
    }
}
