//! The program that was built last in an image of its own, and the database with this test's own eyes.

use crate::cluster::Cluster;
use serde_json::json;
use sqlx::Connection;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn images(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.args(["--address", cluster.text("/containerd"), "--namespace", "k8s.io", "images"]).args(words);
    command
}

/// Holds the program and the libraries that it needs, and nothing else. Returns its name.
pub fn image(cluster: &Cluster) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let program = root.join("usr/local/bin/atelier");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    printed(Command::new("strip").args(["--strip-debug", "-o"]).arg(&program).arg(env!("CARGO_BIN_EXE_atelier")));
    for library in libraries(&program) {
        let to = root.join(library.strip_prefix("/").unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&library, to).unwrap();
    }
    let layer = folder.path().join("layer.tar");
    printed(Command::new("tar").args(["--mtime=@0", "--owner=0", "--group=0", "-C"]).arg(&root).arg("-cf").arg(&layer).arg("."));
    let digest = printed(Command::new("sha256sum").arg(&layer))[..64].to_owned();
    let image = format!("atelier.local/isolation:{}-{}", &digest[..12], std::process::id());
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"] }]);
    std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    let archive = folder.path().join("image.tar");
    printed(Command::new("tar").arg("-C").arg(folder.path()).arg("-cf").arg(&archive).args(["manifest.json", "config.json", "layer.tar"]));
    printed(images(cluster, &["import"]).arg(&archive));
    image
}

pub fn remove_image(cluster: &Cluster, image: &str) {
    let _ = images(cluster, &["rm", image]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// As the loader of this machine finds them.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    printed(Command::new("ldd").arg(program)).split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

pub async fn sql(database: &str, statement: &str) {
    let mut connection = sqlx::PgConnection::connect(database).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
}

pub async fn has_row(database: &str, question: &str) -> bool {
    let mut connection = sqlx::PgConnection::connect(database).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(question.to_owned())).fetch_optional(&mut connection).await.unwrap().is_some()
}
