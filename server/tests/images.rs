//! The Containerfiles, as far as they can be checked where nothing can be pulled.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Name, and instructions with lines that go on joined.
fn containerfiles() -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root().join("images")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".Containerfile") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let kept: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
            let joined = kept.join("\n").replace("\\\n", " ");
            all.push((name, joined.lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()));
        }
    }
    assert!(all.len() >= 3, "{all:?}");
    all
}

fn words<'a>(instructions: &'a [String], of: &str) -> Vec<Vec<&'a str>> {
    instructions.iter().filter_map(|line| line.strip_prefix(of)?.strip_prefix(' ')).map(|rest| rest.split_whitespace().collect()).collect()
}

#[test]
fn no_image_runs_as_root_and_every_base_has_a_version() {
    for (name, instructions) in containerfiles() {
        let users = words(&instructions, "USER");
        let last = users.last().unwrap_or_else(|| panic!("{name} runs as root"))[0];
        // By number: where names cannot be read, Pod Security's runAsNonRoot refuses a name.
        assert!(last.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{name}: {last}");
        for base in words(&instructions, "FROM") {
            let tag = base[0].rsplit_once(':').map(|(_, tag)| tag);
            assert!(base[0].starts_with("docker.io/") && tag.is_some_and(|t| t != "latest"), "{name}: {base:?}");
        }
    }
}

#[test]
fn what_is_copied_is_let_into_the_build_and_nothing_else_is() {
    let ignored = std::fs::read_to_string(root().join(".containerignore")).unwrap();
    let lines: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(lines[0], "*", "everything is left out first");
    let mut let_in: Vec<_> = lines[1..].iter().map(|line| line.strip_prefix('!').unwrap()).collect();
    let all = containerfiles();
    let mut copied: Vec<_> =
        all.iter().flat_map(|(_, i)| words(i, "COPY")).filter_map(|w| w.into_iter().find(|w| !w.starts_with("--"))).collect();
    copied.sort_unstable();
    copied.dedup();
    let_in.sort_unstable();
    assert_eq!(let_in, copied);
    // What the build makes is named by its own words (`make build`); the rest is in the repository.
    for path in copied {
        assert!(path.starts_with("target/") || root().join(path).exists(), "{path}");
    }
}

/// The engine calls the program at this place in the image (`kubernetes/pod.rs`).
#[test]
fn the_program_lies_where_pods_start_it() {
    for (name, instructions) in containerfiles().into_iter().filter(|(name, _)| !name.starts_with("trainer")) {
        let to: Vec<_> = words(&instructions, "COPY").into_iter().map(|w| *w.last().unwrap()).collect();
        assert!(to.contains(&"/usr/local/bin/atelier"), "{name}");
        assert_eq!(words(&instructions, "ENTRYPOINT"), [[r#"["/usr/local/bin/atelier"]"#]], "{name}");
    }
}
