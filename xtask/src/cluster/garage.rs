//! Garage, an S3 store, on an address of its own. The portal gets a key that may make buckets; a tenant's own are its business.

use super::{binaries::Binaries, place, place::Place, processes::Processes, secret};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

const REGION: &str = "garage";
const READY: Duration = Duration::from_secs(60);
const KEY: &str = "portal";

pub fn start(binaries: &Binaries, place: &Place, processes: &mut Processes) -> Result<Value> {
    let folder = place.folder("garage")?;
    let token = folder.join("admin.token");
    let rpc = secret::drawn(&folder.join("rpc.secret"), 32)?;
    let admin = secret::drawn(&token, 24)?;
    let at = |port: u16| format!("{}:{port}", place.address());
    let s3_at = format!("{}:{}", place.store(), place::S3);
    let file = folder.join("garage.toml");
    secret::write(
        &file,
        &format!(
            r#"metadata_dir = {meta:?}
data_dir = {data:?}
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "{rpc_at}"
rpc_public_addr = "{rpc_at}"
rpc_secret = "{rpc}"
[s3_api]
s3_region = "{REGION}"
api_bind_addr = "{s3_at}"
root_domain = ".s3.atelier.local"
[admin]
api_bind_addr = "{admin_at}"
admin_token = "{admin}"
"#,
            meta = folder.join("meta").display().to_string(),
            data = folder.join("data").display().to_string(),
            rpc_at = at(place::S3_RPC),
            admin_at = at(place::S3_ADMIN),
        ),
    )?;
    let store = Store { program: binaries.garage.clone(), file };
    let log = place.log("garage");
    processes.start("garage", &log, store.command().arg("server"))?;
    processes.wait("garage", &log, READY, || store.asked(&["status"]).is_ok())?;
    store.lay_out()?;
    let keys = folder.join("portal.json");
    if !keys.exists() {
        secret::write(&keys, &store.portal_key()?.to_string())?;
    }
    Ok(json!({
        "endpoint": format!("http://{s3_at}"),
        "network": format!("{}/32", place.store()),
        "region": REGION,
        "path_style": true,
        "bucket_prefix": "atelier-",
        "admin_endpoint": place.url("http", place::S3_ADMIN),
        "admin_token_file": token,
        "portal_key_file": keys,
    }))
}

/// The store's own command line.
struct Store {
    program: PathBuf,
    file: PathBuf,
}

impl Store {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.file).stdin(Stdio::null()).env("RUST_LOG", "garage=info");
        command
    }

    fn asked(&self, words: &[&str]) -> Result<String> {
        let out = self.command().args(words).output().context("garage could not be started")?;
        ensure!(out.status.success(), "garage {}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        Ok(String::from_utf8(out.stdout)?)
    }

    /// Tells the one node that it keeps everything; nothing when it was told before.
    fn lay_out(&self) -> Result<()> {
        let node = self.asked(&["node", "id", "--quiet"])?;
        let id = node.trim().split('@').next().unwrap_or_default().to_owned();
        let short = id.get(..16).context("garage did not say the id of its node")?;
        if self.asked(&["layout", "show"])?.contains(short) {
            return Ok(());
        }
        self.asked(&["layout", "assign", "-z", "dc1", "-c", "10G", &id])?;
        self.asked(&["layout", "apply", "--version", "1"]).map(drop)
    }

    /// A key that may make buckets and keys of its own choice.
    fn portal_key(&self) -> Result<Value> {
        // One that was made before the file could be written.
        let _ = self.asked(&["key", "delete", "--yes", KEY]);
        let said = self.asked(&["key", "create", KEY])?;
        self.asked(&["key", "allow", "--create-bucket", KEY])?;
        let value = |name: &str| said.lines().find_map(|line| Some(line.trim().strip_prefix(name)?.trim().to_owned()));
        let (id, secret) = (value("Key ID:"), value("Secret key:"));
        Ok(json!({
            "access_key_id": id.context("garage did not say the key's id")?,
            "secret_access_key": secret.context("garage did not say the key's secret")?,
        }))
    }
}
