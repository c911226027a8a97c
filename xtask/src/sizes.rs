//! `cargo run -p xtask -- sizes`: what the browser's program consists of, by the page or crate that each function comes from.

use crate::web;
use anyhow::Result;
use std::collections::BTreeMap;
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// Origins below this many bytes are summed up.
const SMALL: usize = 8 * 1024;

/// Builds the program as it is shipped, but with the names of its functions. First the main file by origin, then what each chunk adds.
pub fn sizes() -> Result<()> {
    let web::Program { main, others, chunks } = web::named_program()?;
    let (by_origin, data) = measured(&main)?;
    let code: usize = by_origin.values().sum();
    let mut rows: Vec<_> = by_origin.into_iter().collect();
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let small: usize = rows.iter().filter(|(_, bytes)| *bytes < SMALL).map(|(_, bytes)| bytes).sum();
    for (origin, bytes) in rows.iter().filter(|(_, bytes)| *bytes >= SMALL) {
        line(origin, *bytes, code + data);
    }
    line("(smaller ones)", small, code + data);
    line("(data: texts, tables)", data, code + data);
    let main = web::compressed_size(&main)?;
    println!("{:>9.1} kB in all, {:.1} kB compressed: loaded with every page", kb(code + data), kb(main));
    let mut compressed = BTreeMap::new();
    for (name, module) in &others {
        compressed.insert(name.as_str(), web::compressed_size(module)?);
    }
    for (chunk, parts) in &chunks {
        let bytes: usize = parts.iter().filter_map(|part| compressed.get(part.as_str())).sum();
        println!("{:>9.1} kB compressed in {:>2} files: {chunk}; {:.1} kB on a first visit", kb(bytes), parts.len(), kb(main + bytes));
    }
    println!("{:>9.1} kB compressed: everything", kb(main + compressed.values().sum::<usize>()));
    Ok(())
}

fn kb(bytes: usize) -> f64 {
    bytes as f64 / 1e3
}

fn line(origin: &str, bytes: usize, all: usize) {
    println!("{:>9.1} kB {:>5.1} %  {origin}", kb(bytes), 100.0 * bytes as f64 / all as f64);
}

/// Bytes of code by origin, and bytes of data.
fn measured(module: &[u8]) -> Result<(BTreeMap<String, usize>, usize)> {
    let (mut imported, mut bodies, mut names, mut data) = (0, Vec::new(), BTreeMap::new(), 0);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.range().len()),
            Payload::DataSection(section) => data = section.range().len(),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(sections) = section.as_known() else { continue };
                for part in sections {
                    let Name::Function(functions) = part? else { continue };
                    for function in functions {
                        let function = function?;
                        names.insert(function.index, function.name);
                    }
                }
            }
            _ => {}
        }
    }
    anyhow::ensure!(!names.is_empty(), "the module has no names of functions");
    let mut by_origin = BTreeMap::new();
    for (index, bytes) in (imported..).zip(bodies) {
        // What the split put between the files has none.
        let name = names.get(&index).copied().unwrap_or_default();
        *by_origin.entry(origin(&format!("{:#}", rustc_demangle::demangle(name)))).or_default() += bytes;
    }
    Ok((by_origin, data))
}

/// Page or crate of a function: `app::pages::run` of `<app::pages::run::Head as …>::build::{{closure}}`, `tachys` of `tachys::html::…`.
fn origin(name: &str) -> String {
    let path = name.trim_start_matches(['<', '&', '(', '*']).trim_start_matches("mut ").trim_start_matches("dyn ");
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let parts: Vec<&str> = path.split("::").map(|part| &part[..part.find(|c| !word(c)).unwrap_or(part.len())]).collect();
    match parts.as_slice() {
        ["app", room @ ("pages" | "ui" | "api"), file, ..] if !file.is_empty() => format!("app::{room}::{file}"),
        ["app", ..] => "app".to_owned(),
        [] | ["", ..] => "(other)".to_owned(),
        [krate, ..] => (*krate).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn a_function_belongs_to_the_page_or_crate_that_its_name_begins_with() {
        for (name, of) in [
            ("app::pages::run::plan::Plan::{{closure}}", "app::pages::run"),
            ("<app::ui::chart::Line as core::fmt::Debug>::fmt", "app::ui::chart"),
            ("<&mut tachys::html::Element<T> as Render>::build", "tachys"),
            ("serde_json::read::parse_str", "serde_json"),
            ("memcpy", "memcpy"),
        ] {
            assert_eq!(origin(name), of, "{name}");
        }
    }
}
