//! PostgreSQL on the node's address, with a password.

use super::{place, place::Place, processes::Processes, secret};
use crate::run::run;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const READY: Duration = Duration::from_secs(60);

pub fn start(place: &Place, processes: &mut Processes) -> Result<Value> {
    let password = secret::drawn(&place.dir.join("postgres.password"), 16)?;
    let folder = folder(&place.dir);
    let data = folder.join("data");
    if !data.join("PG_VERSION").exists() {
        initialise(&folder, &data, &password)?;
    }
    let log = place.log("postgres");
    let mut server = unprivileged("postgres");
    server.arg("-D").arg(&data).arg("-k").arg(&folder).args([
        "-c",
        &format!("listen_addresses={}", place.address()),
        "-c",
        &format!("port={}", place::POSTGRES),
        // Nothing here has to survive a power cut.
        "-c",
        "fsync=off",
        "-c",
        "max_connections=400",
    ]);
    processes.start("postgres", &log, &mut server)?;
    let address = format!("{}:{}", place.address(), place::POSTGRES);
    processes.wait("postgres", &log, READY, || {
        TcpStream::connect(&address).is_ok()
            && unprivileged("pg_isready").args(["-q", "-h", &place.address()]).status().is_ok_and(|s| s.success())
    })?;
    Ok(json!({"url": format!("postgres://atelier:{password}@{address}/atelier")}))
}

/// What it kept, when the cluster's folder goes.
pub fn remove(dir: &Path) -> Result<()> {
    let folder = folder(dir);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}

/// Outside of the cluster's folder: the server refuses to run as root, and may not pass through folders that are only root's.
fn folder(dir: &Path) -> PathBuf {
    let key = hex::encode(&Sha256::digest(dir.as_os_str().as_encoded_bytes())[..6]);
    PathBuf::from(format!("/var/tmp/atelier-postgres-{key}"))
}

fn initialise(folder: &Path, data: &Path, password: &str) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let file = folder.join("password");
    fs::write(&file, password)?;
    let owner = fs::metadata("/var/lib/postgresql").context("Debian's postgresql makes its user's home /var/lib/postgresql")?;
    let (user, group) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    for path in [folder, &file] {
        chown(path, Some(user), Some(group))?;
    }
    let mut init = unprivileged("initdb");
    init.arg("-D").arg(data).arg("--pwfile").arg(&file);
    run(init
        .args(["-U", "atelier", "--auth-host=scram-sha-256", "--auth-local=trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        .stdout(std::process::Stdio::null()))?;
    fs::remove_file(&file)?;
    // Pods and this machine, by password.
    let mut rules = fs::read_to_string(data.join("pg_hba.conf"))?;
    rules.push_str("host all all 10.244.0.0/15 scram-sha-256\n");
    fs::write(data.join("pg_hba.conf"), rules)?;
    // The server that is made for a moment creates the database that everybody connects to.
    let mut single = unprivileged("sh");
    single
        .args([
            "-c",
            r#"echo 'CREATE DATABASE atelier' | "$1/postgres" --single -D "$2" postgres >/dev/null 2>"$2/single.log""#,
            "sh",
            PROGRAMS,
        ])
        .arg(data);
    run(&mut single)
}

/// One of the server's programs, or any other, as its user.
fn unprivileged(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    let path = Path::new(PROGRAMS).join(program);
    command.arg(if path.exists() { path } else { program.into() });
    command.current_dir("/tmp").env_remove("PGDATA").env_remove("PGHOST").env_remove("PGPORT");
    command
}
