//! Reads the sources of this crate: what no type can forbid, a new line of code still cannot bring in unseen.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Path below `src` and text of every file that is no test.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() { walk(&entry, out) } else { out.push(entry) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
        (path.strip_prefix(&root).unwrap().display().to_string(), text)
    };
    let tests = |path: &PathBuf| path.to_string_lossy().ends_with("tests.rs");
    files.into_iter().filter(|path| !tests(path)).map(read).collect()
}

/// How a piece of code gets the line.
const BEGINS: [&str; 7] = [
    "Change::begin(",
    "Change::by_system(",
    "leader.begin()",
    "leader.beside()",
    "change::as_leader(",
    "change::beside",
    "self.for_change(",
];
/// How it gives the line back.
const ENDS: [&str; 4] = ["commit", "drop(tx)", "finish_failed", "save(tx"];
/// What waits for something else than the database.
const WAITS: [&str; 10] = [
    "blobs()",
    "engine()",
    "effects()",
    "leader.stop(",
    "spawn_blocking",
    "tokio::fs",
    "time::sleep",
    "remove_files(",
    ".begin().await",
    "store().",
];

/// Lines that wait for something else while a change is open: from where it begins to where it ends or the function does; in a function
/// that is given one, everywhere. A second transaction, and a read past the open one, count too: both wait behind it.
fn waits_in_a_change(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut open, mut signature) = (false, String::new());
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("fn ") {
            (open, signature) = (false, String::new());
            signature.push(' ');
        }
        if !signature.is_empty() {
            signature.push_str(code);
            if code.trim_end().ends_with('{') {
                open = ["&mut Tx", "tx: Tx", "mut tx: Tx", "Change<'_>,", "&mut Change"].iter().any(|given| signature.contains(given));
                signature.clear();
            }
            continue;
        }
        let begins = BEGINS.iter().any(|begin| code.contains(begin));
        if open && !begins && WAITS.iter().any(|wait| code.contains(wait)) && !ENDS.iter().any(|end| code.contains(end)) {
            found.push(line.trim().to_owned());
        }
        // One that is handed on at once is its receiver's.
        open |= begins && code.trim_start().starts_with("let ");
        if ENDS.iter().any(|end| code.contains(end)) {
            open = false;
        }
    }
    found
}

#[test]
fn nothing_waits_for_a_file_a_process_or_another_transaction_inside_a_change() {
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| !path.starts_with("store"))
        .flat_map(|(path, text)| waits_in_a_change(&text).into_iter().map(move |line| format!("{path}: {line}")))
        .collect();
    assert_eq!(found, Vec::<String>::new(), "these lines hold the writers' line while they wait for something outside the database");
}

#[test]
fn the_search_for_waiting_lines_finds_them() {
    let in_it = "async fn a() {\n    let mut tx = Change::begin(p, &permit).await?;\n    p.blobs().erase(x).await?;\n    tx.commit(entry).await\n}\n";
    assert_eq!(waits_in_a_change(in_it), ["p.blobs().erase(x).await?;"]);
    let after =
        "async fn a() {\n    let tx = Change::begin(p, &permit).await?;\n    tx.commit(entry).await?;\n    p.blobs().erase(x).await\n}\n";
    assert_eq!(waits_in_a_change(after), Vec::<String>::new());
    let given = "async fn b(\n    tx: &mut Tx,\n) {\n    p.engine().stop(x).await\n}\nfn c() {\n    p.engine();\n}\n";
    assert_eq!(waits_in_a_change(given), ["p.engine().stop(x).await"]);
}

/// What may be written outside of a [`Tx`](crate::store::Tx): bookkeeping of the program itself, no tenant's things.
const OWN_TABLES: [&str; 6] = ["counters", "job_turns", "jobs", "leases", "secrets", "sessions"];
/// And with a reason of its own: what a sign-in leaves on its way, when somebody was last seen, and bytes that were measured on the disk.
const SINGLE: [&str; 3] = ["sign_ins", "people", "tenants SET other_bytes"];

/// Tables that functions of `Store` write, which take no transaction.
fn written_outside(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_store = false;
    for line in text.lines() {
        if line.starts_with("impl ") {
            in_store = line.starts_with("impl Store");
        }
        // Functions after it belong to whoever calls them.
        in_store &= line != "}";
        for verb in ["INSERT INTO ", "UPDATE ", "DELETE FROM "] {
            for (at, _) in line.match_indices(verb) {
                let what = &line[at + verb.len()..];
                let table: String = what.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let known = OWN_TABLES.contains(&table.as_str()) || SINGLE.iter().any(|single| what.starts_with(single));
                if in_store && !table.is_empty() && !known {
                    found.push(table);
                }
            }
        }
    }
    found
}

#[test]
fn a_tenants_rows_are_written_in_a_transaction_of_a_change_only() {
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("store"))
        .flat_map(|(path, text)| written_outside(&text).into_iter().map(move |table| format!("{path}: {table}")))
        .collect();
    assert_eq!(found, Vec::<String>::new(), "functions of Store write these tables without a change; write them on Tx");
    let new = "impl Store {\n    async fn f(&self) {\n        let sql = \"UPDATE runs SET state = $1\";\n";
    assert_eq!(written_outside(new), ["runs"]);
}

#[test]
fn all_sql_that_writes_is_in_the_store() {
    let writes = |text: &str| ["INSERT INTO ", "DELETE FROM ", "UPDATE "].iter().any(|verb| text.contains(&format!("\"{verb}")));
    let found: Vec<_> =
        sources().into_iter().filter(|(path, text)| !path.starts_with("store") && writes(text)).map(|(path, _)| path).collect();
    assert_eq!(found, Vec::<String>::new());
}

/// The texts of a source, without their quotes. Comments, lifetimes and single characters are none.
fn texts(source: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let from = &rest[at..];
        let mut ahead = from.chars().skip(1);
        rest = match (&from[..1], ahead.next(), ahead.next()) {
            ("/", Some('/'), _) => from.split_once('\n').map_or("", |(_, rest)| rest),
            ("'", Some('\\'), Some(_)) => from.get(3..).and_then(|f| f.split_once('\'')).map_or("", |(_, rest)| rest),
            ("'", Some(c), Some('\'')) => &from[2 + c.len_utf8()..],
            ("\"", ..) => {
                let mut escaped = false;
                let end = from[1..].find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let end = end.expect("a text that ends");
                found.push(from[1..=end].to_owned());
                &from[end + 2..]
            }
            _ => &from[1..],
        };
    }
    found
}

/// What a statement holds as a text of its own, and that reads like words for people.
fn prose_in(statement: &str) -> Vec<&str> {
    if !["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CASE ", "WHERE "].iter().any(|word| statement.contains(word)) {
        return Vec::new();
    }
    let words = |text: &&str| {
        let mut letters = text.chars();
        let sentence = letters.next().is_some_and(char::is_uppercase) && letters.next().is_some_and(char::is_lowercase);
        let several = text.split(' ').filter(|word| !word.is_empty()).count() > 1;
        // A statement that makes statements holds words in capitals.
        let shouted = !text.contains(char::is_lowercase);
        (sentence || several) && !shouted && text.chars().all(|c| c.is_alphabetic() || " ,.!?…".contains(c))
    };
    (0..).zip(statement.split('\'')).filter(|(i, _)| i % 2 == 1).map(|(_, text)| text).filter(words).collect()
}

#[test]
fn no_sql_holds_words_for_people() {
    let in_store = sources().into_iter().filter(|(path, _)| path.starts_with("store"));
    let found: Vec<_> = in_store
        .flat_map(|(path, source)| {
            let texts = texts(&source);
            texts.iter().flat_map(|text| prose_in(text)).map(|words| format!("{path}: {words}")).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, Vec::<String>::new(), "say it where it is shown: these are stored or made by the database");
    let source = "fn f<'a>(x: &'a str) { let q = '\"'; sql(\"CASE WHEN p.name = '' THEN 'Service keys' ELSE 'Playground' END\") } // \"SELECT 'No more'\"";
    assert_eq!(texts(source).iter().flat_map(|text| prose_in(text)).collect::<Vec<_>>(), ["Service keys", "Playground"]);
    assert_eq!(prose_in("WHERE v.state = 'ready' AND LOWER(a || ' ' || b) LIKE $1 ESCAPE '!'"), Vec::<&str>::new());
}

/// A plan with another step needs nothing of it.
#[test]
fn the_loop_over_the_steps_of_a_plan_names_no_kind_of_step() {
    let all = sources();
    let (_, text) = all.iter().find(|(path, _)| path == "control/steps.rs").expect("the loop");
    assert!(!text.contains("StepKind"), "what differs by kind belongs into control/work.rs");
}

/// A transaction is begun with `WriteAccess`, which the compiler demands, and only `change.rs` makes one.
#[test]
fn only_changes_make_write_access() {
    let found: Vec<_> = sources().into_iter().filter(|(_, text)| text.contains("WriteAccess::of_change()")).map(|(path, _)| path).collect();
    assert_eq!(found, ["change.rs"]);
}
