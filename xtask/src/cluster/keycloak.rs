//! Keycloak with the realm of `end2end/keycloak/realm.json`.

use super::{binaries::Binaries, place::Place, processes::Processes, secret};
use crate::{folders::root, run::run};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const REALM_FILE: &str = "end2end/keycloak/realm.json";
const REALM: &str = "atelier";
const CLIENT: &str = "atelier";
const ADMIN: &str = "admin";
/// Its first start builds itself.
const READY: Duration = Duration::from_secs(300);

/// How others reach it.
#[derive(Serialize, Deserialize)]
pub struct Keycloak {
    address: String,
    issuer: String,
    realm: String,
    client_id: String,
    client_secret_file: PathBuf,
    admin_user: String,
    admin_password_file: PathBuf,
}

/// Begins to start it, which takes longest of all.
pub fn start(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<Keycloak> {
    let home = place.dir.join("keycloak");
    let realm = realm(&root().join(REALM_FILE))?;
    if !processes.runs("keycloak") {
        installed(&binaries.keycloak, &home)?;
        imported(&home, realm.as_ref())?;
    }
    let (password_file, secret_file) = (place.dir.join("keycloak-admin.password"), place.dir.join("keycloak-client.secret"));
    let password = secret::drawn(&password_file, 12)?;
    secret::write(&secret_file, realm.as_ref().map_or("", |(_, secret)| secret))?;
    let port = port(place, processes)?;
    let mut command = Command::new("sh");
    command.arg(home.join("bin/kc.sh")).args(["start-dev", "--import-realm", "--http-host=127.0.0.1"]);
    command.args([format!("--http-port={port}"), format!("--http-management-port={}", free_port()?)]);
    command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN).env("KC_BOOTSTRAP_ADMIN_PASSWORD", password);
    // Quick to start before quick to run, and no more memory than it needs.
    command.env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1").env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx640m");
    processes.start("keycloak", &place.log("keycloak"), &mut command)?;
    let address = format!("http://127.0.0.1:{port}");
    Ok(Keycloak {
        issuer: format!("{address}/realms/{REALM}"),
        address,
        realm: REALM.into(),
        client_id: CLIENT.into(),
        client_secret_file: secret_file,
        admin_user: ADMIN.into(),
        admin_password_file: password_file,
    })
}

pub fn wait_until_ready(keycloak: &Keycloak, place: &Place, processes: &Processes) -> Result<()> {
    let address = format!("{}/realms/master/.well-known/openid-configuration", keycloak.address);
    processes.wait("keycloak", &place.log("keycloak"), READY, || {
        reqwest::blocking::get(&address).is_ok_and(|answer| answer.status().is_success())
    })
}

/// The realm's text and the secret of our client in it; none where there is no such file.
fn realm(file: &Path) -> Result<Option<(String, String)>> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(None) };
    let parsed: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let mut clients = parsed["clients"].as_array().into_iter().flatten();
    let ours = clients.find(|client| client["clientId"] == CLIENT);
    let secret = ours.and_then(|client| client["secret"].as_str()).unwrap_or_default().to_owned();
    Ok(Some((text, secret)))
}

/// A copy of its own: it writes into its folder.
fn installed(from: &Path, home: &Path) -> Result<()> {
    if home.join("bin/kc.sh").exists() {
        return Ok(());
    }
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    let partial = home.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    run(Command::new("cp").arg("--archive").arg(from).arg(&partial))?;
    fs::rename(&partial, home)?;
    Ok(())
}

/// A realm is imported where there is none; for a changed file everything begins anew.
fn imported(home: &Path, realm: Option<&(String, String)>) -> Result<()> {
    let text = realm.map_or("", |(text, _)| text);
    let (mark, key) = (home.join("data/realm.sha256"), hex::encode(Sha256::digest(text)));
    if fs::read_to_string(&mark).is_ok_and(|before| before == key) {
        return Ok(());
    }
    let data = home.join("data");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    fs::create_dir_all(data.join("import"))?;
    if !text.is_empty() {
        fs::write(data.join("import/atelier-realm.json"), text)?;
    }
    fs::write(mark, key)?;
    Ok(())
}

/// The port that it had, because the issuer's name holds it; another one where somebody else has taken it meanwhile.
fn port(place: &Place, processes: &Processes) -> Result<u16> {
    let file = place.dir.join("keycloak.port");
    let before = fs::read_to_string(&file).ok().and_then(|text| text.parse::<u16>().ok());
    if let Some(port) = before
        && (processes.runs("keycloak") || TcpListener::bind(("127.0.0.1", port)).is_ok())
    {
        return Ok(port);
    }
    let port = free_port()?;
    fs::write(&file, port.to_string())?;
    Ok(port)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
