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
/// The glue that loads the chunks of the program, and the list of chunks: by the chunk's name in `app/src/chunks.rs`, its files.
const LINK: &str = "atelier_chunks.js";
const CHUNKS: &str = "chunks.json";
/// Tells the server, by the plain name of each file, the name that it has: `{"atelier.css": "atelier.0a1b2c3d4e5f6071.css"}`.
const NAMES: &str = "files.json";
/// Brotli's quality for what is shipped, and for what is made anew at each change: a quarter second for a fifth of the size.
const SHIPPED: i32 = 11;
const QUICK: i32 = 4;

type Names = BTreeMap<String, String>;
pub type Chunks = BTreeMap<String, Vec<String>>;

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
    let chunks = bind(&built, &pkg, release)?;
    if release {
        for module in modules(&pkg)? {
            let bytes = fs::read(&module)?;
            fs::write(&module, shipped(&bytes)?)?;
        }
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
    fs::write(pkg.join(CHUNKS), serde_json::to_vec(&chunks)?)?;
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
    // Where each function and text is used is what the program is split by; only the linker's last step is told, or every crate would be
    // built again.
    let args = ["rustc", "-p", "frontend", "--lib", "--crate-type", "cdylib", "--target", "wasm32-unknown-unknown", "--profile", profile];
    run(cargo().current_dir(root()).args(args).args(["--", "-Clink-args=--emit-relocs"])).context("the frontend does not build")?;
    println!("  frontend: {:.1?}", started.elapsed());
    Ok(target().join("wasm32-unknown-unknown").join(if release { "wasm-release" } else { "debug" }).join("frontend.wasm"))
}

/// Writes the program and its glue as browsers load them, split at the places of `app/src/chunks.rs`. Gives the files of each chunk.
fn bind(module: &Path, pkg: &Path, release: bool) -> Result<Chunks> {
    let started = Instant::now();
    let bytes = fs::read(module)?;
    let main = module.with_file_name("frontend_main.wasm");
    let (glue, link) = (format!("./{NAME}.js"), format!("./{LINK}"));
    let mut options = wasm_split_cli_support::Options::new(&bytes);
    options.output_dir = pkg;
    options.main_out_path = &main;
    options.main_module = &glue;
    options.link_name = &link;
    let split = wasm_split_cli_support::transform(options).map_err(|e| anyhow::anyhow!("the program could not be split: {e:#}"))?;
    // Whoever waits for a chunk is told that it did not come, and what is fetched ahead may be broken off by a click at any time: no
    // error for the console.
    let link = pkg.join(LINK);
    let text = fs::read_to_string(&link)?;
    anyhow::ensure!(text.contains("console.error(e)"), "the glue of the chunks tells its failures in another way now");
    fs::write(link, text.replace("console.error(e)", "console.debug(e)"))?;
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.web(true)?.input_path(&main).out_name(NAME).typescript(false).omit_default_module_path(false).remove_producers_section(release);
    // The chunks import from the main module by the linker's names.
    bindgen.keep_lld_exports(true).demangle(false).generate(pkg).context("wasm-bindgen")?;
    println!("  split and bound: {:.1?}", started.elapsed());
    let files = |files: Vec<String>| files.into_iter().map(|stem| format!("{stem}.wasm")).collect();
    Ok(split.prefetch_map.into_iter().map(|(chunk, stems)| (chunk, files(stems))).collect())
}

/// Every part of the program in this folder.
fn modules(pkg: &Path) -> Result<Vec<PathBuf>> {
    let all = fs::read_dir(pkg)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().filter(|path| path.extension().is_some_and(|e| e == "wasm")).collect())
}

/// The browser's program in its files.
pub struct Program {
    pub main: Vec<u8>,
    /// By name.
    pub others: BTreeMap<String, Vec<u8>>,
    pub chunks: Chunks,
}

/// The program as it is shipped, with the names that [`web`] drops.
pub fn named_program() -> Result<Program> {
    let named = target().join("named");
    if named.exists() {
        fs::remove_dir_all(&named)?;
    }
    fs::create_dir_all(&named)?;
    let chunks = bind(&module(true)?, &named, true)?;
    let mut others = BTreeMap::new();
    for path in modules(&named)? {
        others.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), fs::read(path)?);
    }
    let main = others.remove(&format!("{NAME}_bg.wasm")).context("wasm-bindgen wrote no module")?;
    Ok(Program { main, others, chunks })
}

/// Bytes that a browser loads of this module.
pub fn compressed_size(module: &[u8]) -> Result<usize> {
    Ok(compressed(&shipped(module)?, SHIPPED)?.len())
}

/// The module as browsers get it. Written anew: the linker leaves five bytes for each number that a relocation may change, and only
/// wasm-bindgen, which knows nothing of the chunks, takes them away.
fn shipped(module: &[u8]) -> Result<Vec<u8>> {
    let small = walrus::ModuleConfig::new().generate_name_section(false).generate_producers_section(false).parse(module)?.emit_wasm();
    stripped(&small).context("the wasm module is cut short")
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
    let sheet = format!("{NAME}.css");
    replace_names(&pkg.join(&sheet), &names)?;
    let modules = modules(pkg)?.into_iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    for plain in modules.chain([sheet, "icon.svg".into()]) {
        let named = rename(pkg, &plain)?;
        names.insert(plain, named);
    }
    let glue = format!("{NAME}.js");
    let texts = [&glue, LINK].map(|plain| {
        replace_names(&pkg.join(plain), &names)?;
        taken(&pkg.join(plain))
    });
    let [glue_text, link_text] = texts;
    name_glue(pkg, &mut names, glue_text?, link_text?)?;
    Ok(names)
}

/// The text of a file, which is removed.
fn taken(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)?;
    fs::remove_file(file)?;
    Ok(text)
}

/// Writes the glue and what loads the chunks. Each names the other, so that both have the digest of both.
fn name_glue(pkg: &Path, names: &mut Names, glue: String, link: String) -> Result<()> {
    let digest = short_digest(&[glue.as_bytes(), link.as_bytes()]);
    let plain = [format!("{NAME}.js"), LINK.to_owned()];
    let before = plain.clone().map(|plain| names.get(&plain).cloned().unwrap_or(plain));
    let now = plain.clone().map(|plain| plain.replace(".js", &format!(".{digest}.js")));
    // Only where a file is fetched: the module knows what it imports by the plain name.
    let from = |name: &str| format!("from \"./{name}\"");
    for (text, name) in [glue, link].into_iter().zip(&now) {
        let text = text.replace(&from(&before[0]), &from(&now[0])).replace(&from(&before[1]), &from(&now[1]));
        fs::write(pkg.join(name), text)?;
    }
    names.extend(plain.into_iter().zip(now));
    Ok(())
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
    let digest = short_digest(&[&fs::read(pkg.join(plain))?]);
    let (stem, extension) = plain.rsplit_once('.').context("a file without an extension")?;
    let named = format!("{stem}.{digest}.{extension}");
    fs::rename(pkg.join(plain), pkg.join(&named))?;
    Ok(named)
}

/// Enough of the digest that no two files of a site share it.
fn short_digest(parts: &[&[u8]]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |all, part| all.chain_update(part)).finalize();
    hex::encode(digest.get(..8).unwrap_or_default())
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
    let glue = format!("{NAME}.js");
    let mut names: Names = serde_json::from_slice(&fs::read(pkg.join(NAMES))?)?;
    let named = |plain: &str| names.get(plain).map(|named| pkg.join(named)).context("the site has no glue");
    let (text, link) = (fs::read_to_string(named(&glue)?)?, fs::read_to_string(named(LINK)?)?);
    let changed = change(text.clone());
    if changed == text {
        return Ok(());
    }
    name_glue(&pkg, &mut names, changed, link)?;
    for plain in [glue.as_str(), LINK] {
        compress(&pkg.join(&names[plain]), QUICK)?;
    }
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
        fs::write(pkg.join("split_models.wasm"), "chunk").unwrap();
        let glue = "import * as i from \"./atelier_chunks.js\"; ({\"./atelier_chunks.js\": i}); new URL('atelier_bg.wasm', import.meta.url); wasm.redraw(); // ahead";
        fs::write(pkg.join("atelier.js"), glue).unwrap();
        fs::write(pkg.join("atelier_chunks.js"), "import { initSync } from \"./atelier.js\"; fetch('./split_models.wasm')").unwrap();
        pkg
    }

    #[test]
    fn every_file_is_named_by_its_content_and_the_files_know_each_other_by_these_names() {
        let pkg = folder("names");
        let names = name_by_content(&pkg).unwrap();
        assert_eq!(names.len(), 7);
        for (plain, named) in &names {
            assert!(!pkg.join(plain).exists() && pkg.join(named).exists(), "{plain} is {named}");
            let digest = hex::encode(Sha256::digest(fs::read(pkg.join(named)).unwrap()));
            assert!(named.ends_with(".js") || named.contains(&digest[..16]), "{named} does not say what is in it: {digest}");
        }
        for (file, knows) in [
            ("atelier.js", "atelier_bg.wasm"),
            ("atelier.js", "atelier_chunks.js"),
            ("atelier_chunks.js", "atelier.js"),
            ("atelier_chunks.js", "split_models.wasm"),
        ] {
            let text = fs::read_to_string(pkg.join(&names[file])).unwrap();
            assert!(text.contains(&names[knows]), "{file} does not name {knows}: {text}");
        }
        // By which the module asks for it.
        assert!(fs::read_to_string(pkg.join(&names["atelier.js"])).unwrap().contains("{\"./atelier_chunks.js\": i}"));
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
        let link = fs::read_to_string(pkg.join(&now["atelier_chunks.js"])).unwrap();
        assert!(link.contains(&now["atelier.js"]), "two programs would run in one page: {link}");
        assert!(pkg.join(format!("{}.br", now["atelier.js"])).exists());
        fs::remove_dir_all(pkg.parent().unwrap()).unwrap();
    }
}
