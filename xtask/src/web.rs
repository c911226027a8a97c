//! The browser's files: the app as WebAssembly with its glue, the style sheet, fonts and icon, in one folder that the server serves.

use crate::{
    css::css,
    folders::{root, site, target},
    run::{cargo, run},
};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Name of the files: `pkg/atelier.js`, `pkg/atelier_bg.wasm`, `pkg/atelier.css`, each with its digest before the last dot.
pub const NAME: &str = "atelier";
/// Tells the server, by the plain name of each file, the name that it has: `{"atelier.css": "atelier.0a1b2c3d4e5f6071.css"}`.
const NAMES: &str = "files.json";
/// Brotli's quality for what is shipped, and for what is made anew at each change: a quarter second for a fifth of the size.
const SHIPPED: i32 = 11;
const QUICK: i32 = 4;

type Names = BTreeMap<String, String>;

/// Builds the site and says where it is. `release` is small and takes minutes; without it, quick and big.
pub fn web(release: bool) -> Result<PathBuf> {
    web_with(release, |_| Ok(()))
}

/// [`web`], with a last hand on the files (in the folder that is given) before anybody is served one of them.
pub fn web_with(release: bool, finish: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    // Beside the compiler: both take their seconds.
    let styled = std::thread::spawn(|| css(false));
    let built = module(release)?;
    let site = site();
    let pkg = site.join("pkg.next");
    if pkg.exists() {
        fs::remove_dir_all(&pkg)?;
    }
    fs::create_dir_all(pkg.join("fonts"))?;
    bind(&built, &pkg, release)?;
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
    finish(&pkg)?;
    let names = name_by_content(&pkg)?;
    for name in names.values() {
        compress(&pkg.join(name), if release { SHIPPED } else { QUICK })?;
    }
    write_names(&pkg, &names)?;
    // Exchanged whole: a portal that serves from here never has a module without its glue for longer than this.
    let served = site.join("pkg");
    if served.exists() {
        fs::remove_dir_all(&served)?;
    }
    fs::rename(&pkg, &served)?;
    Ok(site)
}

/// Compiles the frontend and says where the module is.
fn module(release: bool) -> Result<PathBuf> {
    let profile = if release { "wasm-release" } else { "dev" };
    let started = Instant::now();
    run(cargo().current_dir(root()).args(["build", "-p", "frontend", "--lib", "--target", "wasm32-unknown-unknown", "--profile", profile]))
        .context("the frontend does not build")?;
    println!("  frontend: {:.1?}", started.elapsed());
    Ok(target().join("wasm32-unknown-unknown").join(if release { "wasm-release" } else { "debug" }).join("frontend.wasm"))
}

/// Writes the module and its glue as browsers load them.
fn bind(module: &Path, pkg: &Path, release: bool) -> Result<()> {
    let started = Instant::now();
    wasm_bindgen_cli_support::Bindgen::new()
        .web(true)?
        .input_path(module)
        .out_name(NAME)
        .typescript(false)
        .omit_default_module_path(false)
        .remove_producers_section(release)
        .generate(pkg)
        .context("wasm-bindgen")?;
    println!("  wasm-bindgen: {:.1?}", started.elapsed());
    Ok(())
}

/// The program as it is shipped, with the names that [`web`] drops.
pub fn named_module() -> Result<Vec<u8>> {
    let named = target().join("named");
    fs::create_dir_all(&named)?;
    bind(&module(true)?, &named, true)?;
    Ok(fs::read(named.join(format!("{NAME}_bg.wasm")))?)
}

/// Bytes that a browser loads of this module.
pub fn compressed_size(module: &[u8]) -> Result<usize> {
    Ok(compressed(&stripped(module).context("the wasm module is cut short")?, SHIPPED)?.len())
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

/// Gives every file below `pkg` a name with its digest in it, so that browsers may keep it for ever, and sees to it that the files
/// name each other so. By plain name, relative to `pkg`.
fn name_by_content(pkg: &Path) -> Result<Names> {
    let mut names = Names::new();
    for font in fs::read_dir(pkg.join("fonts"))?.flatten() {
        let plain = format!("fonts/{}", font.file_name().to_string_lossy());
        let named = rename(pkg, &plain)?;
        names.insert(plain, named);
    }
    let (sheet, module, glue) = (format!("{NAME}.css"), format!("{NAME}_bg.wasm"), format!("{NAME}.js"));
    replace_names(&pkg.join(&sheet), &names)?;
    for plain in [sheet, module, "icon.svg".into()] {
        let named = rename(pkg, &plain)?;
        names.insert(plain, named);
    }
    replace_names(&pkg.join(&glue), &names)?;
    names.insert(glue.clone(), rename(pkg, &glue)?);
    Ok(names)
}

/// In a text, the new name of every file in place of the plain one.
fn replace_names(file: &Path, names: &Names) -> Result<()> {
    let mut text = fs::read_to_string(file)?;
    for (plain, named) in names {
        text = text.replace(plain.as_str(), named);
    }
    Ok(fs::write(file, text)?)
}

fn rename(pkg: &Path, plain: &str) -> Result<String> {
    let digest = hex::encode(Sha256::digest(fs::read(pkg.join(plain))?).get(..8).unwrap_or_default());
    let (stem, extension) = plain.rsplit_once('.').context("a file without an extension")?;
    let named = format!("{stem}.{digest}.{extension}");
    fs::rename(pkg.join(plain), pkg.join(&named))?;
    Ok(named)
}

fn write_names(pkg: &Path, names: &Names) -> Result<()> {
    // At once or not at all: the server reads it while pages are drawn.
    let next = pkg.join(format!("{NAMES}.next"));
    fs::write(&next, serde_json::to_vec(names)?)?;
    Ok(fs::rename(next, pkg.join(NAMES))?)
}

/// Changes the glue of a site that is being served: it gets another name, and pages are drawn with that from then on.
pub fn change_glue(site: &Path, change: impl FnOnce(String) -> String) -> Result<()> {
    let pkg = site.join("pkg");
    let plain = format!("{NAME}.js");
    let mut names: Names = serde_json::from_slice(&fs::read(pkg.join(NAMES))?)?;
    let old = names.get(&plain).context("the site has no glue")?.clone();
    let text = fs::read_to_string(pkg.join(&old))?;
    let changed = change(text.clone());
    if changed == text {
        return Ok(());
    }
    fs::write(pkg.join(&plain), changed)?;
    let new = rename(&pkg, &plain)?;
    compress(&pkg.join(&new), QUICK)?;
    names.insert(plain, new);
    write_names(&pkg, &names)
}

/// A `.br` beside a text or module; the server sends it to those who take it.
fn compress(path: &Path, quality: i32) -> Result<()> {
    let Some(extension) = path.extension().and_then(|e| e.to_str()).filter(|e| ["js", "css", "wasm", "svg"].contains(e)) else {
        return Ok(());
    };
    let data = fs::read(path)?;
    let out = compressed(&data, quality)?;
    println!("  {:>9} -> {:>8} br  {}", data.len(), out.len(), path.display());
    Ok(fs::write(path.with_extension(format!("{extension}.br")), out)?)
}

fn compressed(data: &[u8], quality: i32) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let how = brotli::enc::BrotliEncoderParams { quality, lgwin: 24, ..Default::default() };
    brotli::BrotliCompress(&mut &data[..], &mut out, &how)?;
    Ok(out)
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
    fn folder(name: &str) -> PathBuf {
        let pkg = std::env::temp_dir().join(format!("atelier-{name}-{}/pkg", std::process::id()));
        fs::create_dir_all(pkg.join("fonts")).unwrap();
        fs::write(pkg.join("fonts/plex.woff2"), "font").unwrap();
        fs::write(pkg.join("atelier.css"), "@font-face { src: url(/pkg/fonts/plex.woff2) }").unwrap();
        fs::write(pkg.join("atelier_bg.wasm"), "module").unwrap();
        fs::write(pkg.join("icon.svg"), "<svg/>").unwrap();
        fs::write(pkg.join("atelier.js"), "new URL('atelier_bg.wasm', import.meta.url); wasm.redraw(); // ahead").unwrap();
        pkg
    }

    #[test]
    fn every_file_is_named_by_its_content_and_the_files_know_each_other_by_these_names() {
        let pkg = folder("names");
        let names = name_by_content(&pkg).unwrap();
        assert_eq!(names.len(), 5);
        for (plain, named) in &names {
            assert!(!pkg.join(plain).exists() && pkg.join(named).exists(), "{plain} is {named}");
            let digest = hex::encode(Sha256::digest(fs::read(pkg.join(named)).unwrap()));
            assert!(named.contains(&digest[..16]), "{named} does not say what is in it: {digest}");
        }
        assert!(fs::read_to_string(pkg.join(&names["atelier.css"])).unwrap().contains(&names["fonts/plex.woff2"]));
        assert!(fs::read_to_string(pkg.join(&names["atelier.js"])).unwrap().contains(&names["atelier_bg.wasm"]));
        fs::remove_dir_all(pkg.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_changed_glue_has_another_name_and_its_compressed_copy() {
        let pkg = folder("glue");
        let names = name_by_content(&pkg).unwrap();
        write_names(&pkg, &names).unwrap();
        change_glue(pkg.parent().unwrap(), |text| text.replace("wasm.redraw(); // ahead", "wasm.hydrate();")).unwrap();
        let now: Names = serde_json::from_slice(&fs::read(pkg.join(NAMES)).unwrap()).unwrap();
        assert_ne!(now["atelier.js"], names["atelier.js"]);
        assert_eq!(now["atelier.css"], names["atelier.css"]);
        assert!(fs::read_to_string(pkg.join(&now["atelier.js"])).unwrap().ends_with("wasm.hydrate();"));
        assert!(pkg.join(format!("{}.br", now["atelier.js"])).exists());
        fs::remove_dir_all(pkg.parent().unwrap()).unwrap();
    }
}
