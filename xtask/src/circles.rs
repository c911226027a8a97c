//! No files of a crate import each other in a ring: what is below must be readable without what is above. A file and the files in the
//! folder of its name are one thing for this.

use crate::sources;
use anyhow::{Context, Result, bail};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use syn::{
    Attribute, ItemMod, ItemUse, Macro, UseTree,
    visit::{self, Visit},
};

/// A file's place in its crate: `run::plan` of `src/run/plan.rs`; empty for `lib.rs`.
type Place = Vec<String>;

pub fn circles() -> Result<()> {
    for (name, src) in sources::crates()? {
        let files = sources::below(&src)?;
        let texts = files.iter().map(|file| (place(&file.path), file.text.as_str())).collect();
        if let Some(ring) = ring(&texts).with_context(|| format!("the sources of {name}"))? {
            let ring: Vec<String> = ring.iter().map(|place| place.join("::")).collect();
            bail!("files of {name} import each other: {}. Move what both need into a file of its own", ring.join(" -> "));
        }
    }
    Ok(())
}

/// Of `crates/domain/src/run/plan.rs`.
fn place(path: &str) -> Place {
    let inside = path.split_once("/src/").map_or(path, |(_, inside)| inside);
    let parts = Path::new(inside).with_extension("");
    let parts: Place = parts.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["lib" | "main"] => Vec::new(),
        [.., "mod"] => parts[..parts.len() - 1].to_vec(),
        _ => parts,
    }
}

/// The first ring, its first file once more at the end.
fn ring(texts: &BTreeMap<Place, &str>) -> Result<Option<Vec<Place>>> {
    let mut uses = BTreeMap::new();
    for (place, text) in texts {
        let file = syn::parse_file(text).with_context(|| place.join("::"))?;
        let mut imports = Imports { of: place, files: texts, depth: 0, found: BTreeSet::new() };
        imports.visit_file(&file);
        let found = imports.found;
        let related = |other: &Place| other.starts_with(place) || place.starts_with(other);
        uses.insert(place.clone(), found.into_iter().filter(|other| !related(other)).collect::<Vec<_>>());
    }
    Ok(uses.keys().find_map(|start| way_back(&uses, start)))
}

/// The shortest way from a file back to itself.
fn way_back(uses: &BTreeMap<Place, Vec<Place>>, start: &Place) -> Option<Vec<Place>> {
    let mut came_from: BTreeMap<&Place, &Place> = BTreeMap::new();
    let mut next = vec![start];
    while !next.is_empty() {
        let mut after = Vec::new();
        for place in next {
            for used in uses.get(place).into_iter().flatten() {
                if used == start {
                    let mut ring = vec![start.clone(), place.clone()];
                    let mut at = place;
                    while let Some(before) = came_from.get(at) {
                        ring.push((*before).clone());
                        at = before;
                    }
                    ring.reverse();
                    return Some(ring);
                }
                if !came_from.contains_key(used) {
                    came_from.insert(used, place);
                    after.push(used);
                }
            }
        }
        next = after;
    }
    None
}

struct Imports<'a> {
    of: &'a Place,
    files: &'a BTreeMap<Place, &'a str>,
    /// In how many `mod name { … }` of this file.
    depth: usize,
    found: BTreeSet<Place>,
}

impl Imports<'_> {
    /// What a path that begins with `crate`, `self` or `super` leads to, when it is a file.
    fn follow(&mut self, path: &[String]) {
        let mut place = self.of.clone();
        let mut rest = path;
        match rest.first().map(String::as_str) {
            Some("crate") => {
                place.clear();
                rest = &rest[1..];
            }
            Some("self") => rest = &rest[1..],
            Some("super") => {
                let mut ups = rest.iter().take_while(|part| *part == "super").count();
                rest = &rest[ups..];
                ups = ups.saturating_sub(self.depth);
                place.truncate(place.len().saturating_sub(ups));
            }
            _ => return,
        }
        for part in rest {
            place.push(part.clone());
            if !self.files.contains_key(&place) {
                place.pop();
                break;
            }
        }
        if !place.is_empty() {
            self.found.insert(place);
        }
    }

    fn follow_tree(&mut self, before: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.follow_tree(before, &path.tree);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.follow_tree(before, item)),
            UseTree::Name(name) => self.follow(&[before.as_slice(), &[name.ident.to_string()]].concat()),
            UseTree::Rename(name) => self.follow(&[before.as_slice(), &[name.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.follow(&before.clone()),
        }
    }
}

fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("cfg") && a.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test"))
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.follow_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.follow(&path.segments.iter().map(|s| s.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() && !only_for_tests(&item.attrs) {
            self.depth += 1;
            visit::visit_item_mod(self, item);
            self.depth -= 1;
        }
    }

    /// What stands in `view!` and its like is no syntax tree.
    fn visit_macro(&mut self, call: &'ast Macro) {
        let text = call.tokens.to_string();
        for (at, _) in text.match_indices("crate ::") {
            let path = text[at..].split(|c: char| !(c.is_alphanumeric() || "_: ".contains(c))).next().unwrap_or_default();
            self.follow(&path.split("::").map(|part| part.trim().to_owned()).collect::<Vec<_>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring_of(files: &[(&str, &str)]) -> Option<String> {
        let texts = files.iter().map(|(path, text)| (place(&format!("x/src/{path}")), *text)).collect();
        ring(&texts).unwrap().map(|ring| ring.iter().map(|p| p.join("::")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn no_files_of_ours_import_each_other() {
        circles().unwrap();
    }

    #[test]
    fn a_ring_is_found_however_it_is_written() {
        let b = ("b.rs", "pub struct B; fn f() { let _ = super::c::C; }");
        assert_eq!(ring_of(&[("lib.rs", "mod a; mod b; mod c;"), ("a.rs", "use crate::b::{B};"), b, ("c.rs", "")]), None);
        let by_use = ("c.rs", "use super::{a::A as Other, b};");
        assert_eq!(ring_of(&[("a.rs", "use crate::b::B;"), b, by_use]).as_deref(), Some("a b c a"));
        let in_a_macro = ("c.rs", "fn f() { view! { <p>{crate::a::g()}</p> } }");
        assert_eq!(ring_of(&[("a.rs", "use crate::c;"), in_a_macro]).as_deref(), Some("a c a"));
    }

    #[test]
    fn a_file_and_what_is_in_its_folder_are_one_and_tests_are_no_import() {
        assert_eq!(ring_of(&[("a.rs", "mod b; use b::B;"), ("a/b.rs", "use super::A;")]), None);
        assert_eq!(ring_of(&[("a.rs", "use crate::b::B;"), ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }")]), None);
        assert_eq!(ring_of(&[("a.rs", "use crate::b::B;"), ("b.rs", "mod inner { use super::super::a; }")]).as_deref(), Some("a b a"));
        assert_eq!(ring_of(&[("a.rs", "use crate::b::B;"), ("b.rs", "mod inner { use super::a; }")]), None, "`super` is the file itself");
    }
}
