//! No list grows with what there is: each statement that reads rows has a `LIMIT`, or says beside it why it needs none.

/// What limits a statement: its own text, the rows of a page, or the ids that it is asked for.
const LIMITED: [&str; 6] = ["LIMIT", "page::READ", "page::belonging", "limit: ", "most: u32", "size: usize"];

/// Sources of this room, without tests.
fn sources() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let rust = names.filter(|name| name.ends_with(".rs") && !name.ends_with("tests.rs"));
    rust.map(|name| (name.clone(), std::fs::read_to_string(format!("{folder}/{name}")).unwrap())).collect()
}

/// The function around a byte of a source: from its documentation to the beginning of the next one.
fn function(source: &str, at: usize) -> &str {
    let begin = source[..at].rfind("\n    }\n").map_or(0, |end| end + 7);
    let end = source[at..].find("\n    }\n").map_or(source.len(), |end| at + end);
    &source[begin..end]
}

#[test]
fn every_statement_that_reads_rows_is_limited_or_says_why_not() {
    let mut unsaid = Vec::new();
    let mut limited = 0;
    for (name, source) in sources() {
        for (at, _) in source.match_indices(".fetch_all(db)") {
            if source[..at].lines().last().is_some_and(|line| line.starts_with("///")) {
                continue;
            }
            let around = function(&source, at);
            if LIMITED.iter().any(|word| around.contains(word)) {
                limited += 1;
            } else if !around.contains("// Unlimited: ") {
                let line = source[..at].lines().count();
                unsaid.push(format!("{name}:{line}"));
            }
        }
    }
    assert!(limited > 20, "the lists were not found: {limited}");
    assert!(unsaid.is_empty(), "without a LIMIT, and without “// Unlimited: ” and a reason: {unsaid:#?}");
}
