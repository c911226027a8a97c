//! Files with documents: YAML with any number of them, or JSON with one.

use super::named;
use crate::documents::{self, Format};
use domain::resource::{Document, EndpointSpec, Kind, Metadata, RunSpec, Spec, TenantSpec};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// A document of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyDocument {
    Tenant(Document<TenantSpec>),
    Run(Document<RunSpec>),
    Endpoint(Document<EndpointSpec>),
}

impl AnyDocument {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Tenant(_) => Kind::Tenant,
            Self::Run(_) => Kind::Run,
            Self::Endpoint(_) => Kind::Endpoint,
        }
    }

    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Tenant(document) => &document.metadata,
            Self::Run(document) => &document.metadata,
            Self::Endpoint(document) => &document.metadata,
        }
    }
}

/// Where a document begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub at: At,
    pub document: AnyDocument,
}

/// All documents of these files and folders, tenants first, then runs, then endpoints; or everything that is wrong, a line each.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Found>, Vec<String>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for path in paths {
        match files(path) {
            Ok(files) => files.iter().for_each(|file| read_file(file, &mut found, &mut wrong)),
            Err(why) => wrong.push(why),
        }
    }
    let mut seen = BTreeMap::new();
    for one in &found {
        let name = named(one.document.kind(), one.document.metadata());
        if let Some(first) = seen.insert(name.clone(), &one.at) {
            wrong.push(format!("{}: {name} is at {first} too. Keep one of them.", one.at));
        }
    }
    if found.is_empty() && wrong.is_empty() {
        wrong.push("There is no document in what -f names.".into());
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    found.sort_by_key(|one| one.document.kind());
    Ok(found)
}

/// The file itself, or those of a folder that hold documents, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let unread = |e: std::io::Error| format!("{}: it cannot be read: {e}.", path.display());
    if !std::fs::metadata(path).map_err(unread)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>());
    let is_one = |file: &PathBuf| file.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") && file.is_file();
    let mut files: Vec<_> = entries.map_err(unread)?.into_iter().filter(is_one).collect();
    files.sort();
    Ok(files)
}

fn read_file(file: &Path, found: &mut Vec<Found>, wrong: &mut Vec<String>) {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) => return wrong.push(format!("{}: it cannot be read: {e}.", file.display())),
    };
    let is_json = file.extension().is_some_and(|end| end == "json");
    let pieces = if is_json { vec![(1, text)] } else { parts(&text) };
    for (line, part) in pieces {
        let at = At { file: file.to_owned(), line };
        match document(if is_json { Format::Json } else { Format::Yaml }, &part) {
            Ok(document) => found.push(Found { at, document }),
            Err(why) => {
                let line = line_of(&why).unwrap_or(line);
                wrong.push(format!("{}: {why}", At { line, ..at }));
            }
        }
    }
}

/// The documents of a file with the line on which each begins, after as many empty lines as stand before it: so a reader's line is the
/// file's. What holds nothing but comments is none.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = Vec::new();
    let mut part = String::new();
    let mut end = |part: &mut String, lines: usize| {
        let said = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let begins = part.lines().position(said);
        let before = "\n".repeat(lines);
        let whole = std::mem::replace(part, before);
        parts.extend(begins.map(|line| (line + 1, whole)));
    };
    let mut count = 0;
    for line in text.trim_start_matches('\u{feff}').split_inclusive('\n') {
        count += 1;
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- #") || bare == "..." {
            end(&mut part, count);
        } else {
            part.push_str(line);
        }
    }
    end(&mut part, count);
    parts
}

fn document(format: Format, text: &str) -> Result<AnyDocument, String> {
    match documents::kind(format, text)? {
        Kind::Tenant => {
            let document: Document<TenantSpec> = documents::read(format, text)?;
            if document.metadata.tenant.is_some() {
                return Err("A tenant belongs to no tenant: remove metadata.tenant.".into());
            }
            Ok(AnyDocument::Tenant(document))
        }
        Kind::Run => of_a_tenant(format, text).map(AnyDocument::Run),
        Kind::Endpoint => of_a_tenant(format, text).map(AnyDocument::Endpoint),
    }
}

fn of_a_tenant<S: Spec>(format: Format, text: &str) -> Result<Document<S>, String> {
    let document: Document<S> = documents::read(format, text)?;
    match document.metadata.tenant {
        Some(_) => Ok(document),
        None => Err(format!("It does not say to which tenant the {} belongs: write metadata.tenant.", S::KIND.word().to_lowercase())),
    }
}

/// The line that a reader's sentence names.
fn line_of(why: &str) -> Option<usize> {
    let rest = why.split("line ").nth(1)?;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# what the team has\n---\napiVersion: atelier.dev/v1\nkind: Endpoint\nmetadata: {name: desk, tenant: acme}\n\
        spec: {baseModel: world}\n---\n# nothing but a word\n---\napiVersion: atelier.dev/v1\nkind: Tenant\nmetadata:\n  name: acme\nspec:\n  \
        quota: {endpoints: 3}\n";

    fn read_texts(files: &[(&str, &str)]) -> Result<Vec<String>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let root = format!("{}/", folder.path().display());
        let named = |found: Vec<Found>| {
            found.iter().map(|f| format!("{} {}", f.at, named(f.document.kind(), f.document.metadata())).replace(&root, "")).collect()
        };
        read(&[folder.path().to_owned()]).map(named).map_err(|wrong| wrong.iter().map(|line| line.replace(&root, "")).collect())
    }

    #[test]
    fn a_folder_is_read_in_the_order_in_which_one_thing_needs_the_other() {
        let run = r#"{"apiVersion":"atelier.dev/v1","kind":"Run","metadata":{"name":"r","tenant":"acme"},
            "spec":{"baseModel":"world","dataset":"facts","model":"facts"}}"#;
        let read = read_texts(&[("a.yaml", FILE), ("b.json", run), ("c.txt", "no document")]);
        assert_eq!(read.unwrap(), ["a.yaml:10 tenant/acme", "b.json:1 run/acme/r", "a.yaml:3 endpoint/acme/desk"]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_file_and_line() {
        let broken = FILE.replace("endpoints: 3", "endpoint: 3").replace(", tenant: acme", "");
        let wrong = read_texts(&[("a.yaml", &broken), ("b.yaml", "kind: [\n"), ("c.json", "{")]).unwrap_err();
        let said = |at: usize, begin: &str, words: &str| assert!(wrong[at].starts_with(begin) && wrong[at].contains(words), "{wrong:#?}");
        said(0, "a.yaml:3: ", "metadata.tenant");
        said(1, "a.yaml:15: ", "unknown field `endpoint`");
        said(2, "b.yaml:", "cannot be read");
        said(3, "c.json:1: ", "cannot be read");
        assert_eq!(wrong.len(), 4, "{wrong:#?}");
    }

    #[test]
    fn the_shipped_examples_are_documents_and_name_the_schema_of_their_kind() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/apply/documents");
        let found = read(&[folder]).unwrap();
        assert_eq!(found.iter().map(|f| f.document.kind()).collect::<Vec<_>>(), Kind::ALL);
        for Found { at, document } in &found {
            let text = std::fs::read_to_string(&at.file).unwrap();
            let schema = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema=")).unwrap();
            let named = std::fs::read_to_string(at.file.with_file_name(schema)).unwrap();
            let named: serde_json::Value = serde_json::from_str(&named).unwrap();
            assert_eq!(named["title"], document.kind().word(), "{at}");
            let checked = match document {
                AnyDocument::Tenant(document) => document.spec.check(),
                AnyDocument::Endpoint(document) => document.spec.check(),
                AnyDocument::Run(document) => domain::settings::catalogue().check(&document.spec.settings, 0),
            };
            assert_eq!(checked, [], "{at}");
        }
    }

    #[test]
    fn one_thing_in_two_places_and_nothing_at_all_are_refused() {
        let twice = read_texts(&[("a.yaml", FILE), ("b.yaml", FILE)]).unwrap_err();
        assert_eq!(twice[0], "b.yaml:3: endpoint/acme/desk is at a.yaml:3 too. Keep one of them.");
        assert_eq!(twice.len(), 2);
        assert_eq!(read_texts(&[("a.yaml", "# later\n")]).unwrap_err(), ["There is no document in what -f names."]);
        assert!(read(&["/nonexistent".into()]).unwrap_err()[0].contains("/nonexistent"));
    }
}
