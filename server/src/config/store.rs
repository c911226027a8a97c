//! Where datasets, weights and logs lie: a folder, or S3.

use super::Refused;
use clap::Args;
use domain::artefacts::{ArtefactStore, StoreKey};
use std::path::{Path, PathBuf};
use storage::GarageAdmin;

/// What `--store` says of S3; everything else is a folder.
const S3: &str = "s3";
/// The key from the environment, as S3's own tools name it, with our prefix. Never an argument: everybody on a machine reads those.
const KEY_ID: &str = "ATELIER_S3_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ATELIER_S3_SECRET_ACCESS_KEY";

/// For every command.
#[derive(Args, Clone, Debug)]
pub struct StoreArgs {
    /// Where datasets, weights and logs lie: a folder, or `s3`; default: the folder `store` in the data folder.
    #[arg(long, env = "ATELIER_STORE", global = true)]
    pub store: Option<PathBuf>,
    /// Address of the S3 service, as the portal and its tasks reach it: `https://s3.example.org`.
    #[arg(long, env = "ATELIER_S3_ENDPOINT", global = true)]
    pub s3_endpoint: Option<String>,
    /// Region of the S3 service.
    #[arg(long, env = "ATELIER_S3_REGION", default_value = "us-east-1", global = true)]
    pub s3_region: String,
    /// How the names of the buckets begin: each tenant has one of its name, and one is called `platform`.
    #[arg(long, env = "ATELIER_S3_BUCKET_PREFIX", default_value = "atelier-", global = true)]
    pub s3_bucket_prefix: String,
    /// Whether buckets are paths (`https://host/bucket`), or hosts (`https://bucket.host`).
    #[arg(long, env = "ATELIER_S3_PATH_STYLE", default_value_t = true, action = clap::ArgAction::Set, global = true)]
    pub s3_path_style: bool,
    /// PEM file with the certificate authorities of your house that sign the certificate of the S3 service; the system's are believed anyway.
    #[arg(long, env = "ATELIER_S3_CA", global = true)]
    pub s3_ca: Option<PathBuf>,
    /// File with the portal's own key, which reads and writes all buckets: `{"access_key_id": "...", "secret_access_key": "..."}`;
    /// or ATELIER_S3_ACCESS_KEY_ID and ATELIER_S3_SECRET_ACCESS_KEY in the environment.
    #[arg(long, env = "ATELIER_S3_KEY", global = true)]
    pub s3_key: Option<PathBuf>,
    /// Where the S3 service is Garage: address of its admin API, with which the portal makes the buckets and keys of tenants:
    /// `http://garage:3903`. Without it, an admin gives each tenant a key with `atelier tenant store-key`.
    #[arg(long, env = "ATELIER_GARAGE_ADMIN_URL", global = true)]
    pub garage_admin_url: Option<String>,
    /// File with the token of Garage's admin API.
    #[arg(long, env = "ATELIER_GARAGE_ADMIN_TOKEN", global = true)]
    pub garage_admin_token: Option<PathBuf>,
}

/// Where artefacts lie, and what the portal needs for it.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub location: ArtefactStore,
    /// The portal's own, where there are keys.
    pub key: Option<StoreKey>,
    /// Makes buckets and keys of tenants.
    pub garage: Option<GarageAdmin>,
}

impl StoreArgs {
    /// Nothing on the network.
    pub fn is_folder(&self) -> bool {
        self.store.as_deref() != Some(Path::new(S3)) && self.s3_endpoint.is_none()
    }

    /// `folder`: the one that is used when none is named.
    pub fn settle(&self, folder: impl FnOnce() -> Result<PathBuf, Refused>) -> Result<StoreSettings, Refused> {
        self.settle_with(folder, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn settle_with(
        &self,
        folder: impl FnOnce() -> Result<PathBuf, Refused>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<StoreSettings, Refused> {
        if self.store.as_deref() != Some(Path::new(S3)) {
            let folder = self.store.clone().map_or_else(folder, Ok)?;
            return Ok(StoreSettings { location: self.folder(&folder)?, key: None, garage: None });
        }
        let endpoint =
            self.s3_endpoint.as_deref().ok_or_else(|| Refused("The store is s3, so ATELIER_S3_ENDPOINT must say where it is.".into()))?;
        let endpoint = super::origin(endpoint, "ATELIER_S3_ENDPOINT")?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let prefix = &self.s3_bucket_prefix;
        if !prefix.chars().all(plain) || prefix.starts_with(['-', '.']) || prefix.len() > 40 {
            return Err(Refused(format!(
                "ATELIER_S3_BUCKET_PREFIX “{prefix}” cannot begin the name of a bucket: at most 40 lower-case letters, digits, “-” and “.” are wanted."
            )));
        }
        let ca = self.s3_ca.as_deref().map(authorities).transpose()?;
        let garage = self.garage(ca.as_deref())?;
        let location = ArtefactStore::S3 {
            endpoint,
            region: self.s3_region.clone(),
            bucket_prefix: prefix.clone(),
            path_style: self.s3_path_style,
            ca,
        };
        Ok(StoreSettings { location, key: Some(self.key(env)?), garage })
    }

    fn folder(&self, folder: &Path) -> Result<ArtefactStore, Refused> {
        for (given, name) in [
            (self.s3_endpoint.is_some(), "ATELIER_S3_ENDPOINT"),
            (self.s3_ca.is_some(), "ATELIER_S3_CA"),
            (self.s3_key.is_some(), "ATELIER_S3_KEY"),
            (self.garage_admin_url.is_some(), "ATELIER_GARAGE_ADMIN_URL"),
        ] {
            if given {
                return Err(Refused(format!(
                    "{name} is set, but the store is the folder {}: set ATELIER_STORE=s3, or leave {name} out.",
                    folder.display()
                )));
            }
        }
        std::fs::create_dir_all(folder).map_err(|e| Refused(format!("The store {} cannot be made: {e}.", folder.display())))?;
        let root = folder.canonicalize().map_err(|e| Refused(format!("The store {} cannot be read: {e}.", folder.display())))?;
        Ok(ArtefactStore::Local { root: root.display().to_string() })
    }

    fn garage(&self, ca: Option<&str>) -> Result<Option<GarageAdmin>, Refused> {
        let (url, file) = match (&self.garage_admin_url, &self.garage_admin_token) {
            (None, None) => return Ok(None),
            (Some(url), Some(file)) => (url, file),
            _ => {
                return Err(Refused(
                    "ATELIER_GARAGE_ADMIN_URL and ATELIER_GARAGE_ADMIN_TOKEN (a file) belong together: one of them is missing.".into(),
                ));
            }
        };
        let url = super::origin(url, "ATELIER_GARAGE_ADMIN_URL")?;
        let token = std::fs::read_to_string(file)
            .map_err(|e| Refused(format!("The token of Garage's admin API cannot be read from {}: {e}.", file.display())))?;
        if token.trim().is_empty() {
            return Err(Refused(format!("{} holds no token of Garage's admin API.", file.display())));
        }
        GarageAdmin::new(&url, token.trim(), ca).map(Some).map_err(|e| Refused(format!("Garage's admin API: {e}.")))
    }

    /// The portal's own key as far as it can be read, to be looked for where no secret may be.
    pub fn own_key(&self) -> Option<StoreKey> {
        self.key(|name| std::env::var(name).ok().filter(|value| !value.is_empty())).ok()
    }

    fn key(&self, env: impl Fn(&str) -> Option<String>) -> Result<StoreKey, Refused> {
        match (&self.s3_key, env(KEY_ID), env(KEY_SECRET)) {
            (Some(file), None, None) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|e| Refused(format!("The key of the store cannot be read from {}: {e}.", file.display())))?;
                // Not the parser's words: they quote what they read.
                serde_json::from_str(&text).map_err(|_| {
                    Refused(format!(
                        "{} holds no key of the store: {{\"access_key_id\": \"...\", \"secret_access_key\": \"...\"}} is wanted.",
                        file.display()
                    ))
                })
            }
            (Some(_), _, _) => {
                Err(Refused(format!("The key of the store is given twice: leave out ATELIER_S3_KEY, or {KEY_ID} and {KEY_SECRET}.")))
            }
            (None, Some(access_key_id), Some(secret_access_key)) => Ok(StoreKey { access_key_id, secret_access_key }),
            (None, None, None) => Err(Refused(format!(
                "The store is s3, so the portal needs a key for it: ATELIER_S3_KEY names its file, or set {KEY_ID} and {KEY_SECRET}."
            ))),
            (None, ..) => Err(Refused(format!("Half a key of the store: {KEY_ID} and {KEY_SECRET} belong together."))),
        }
    }
}

/// The text of a PEM file with certificates.
fn authorities(file: &Path) -> Result<String, Refused> {
    let pem = std::fs::read_to_string(file).map_err(|e| Refused(format!("ATELIER_S3_CA: {} cannot be read: {e}.", file.display())))?;
    let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).is_ok_and(|found| !found.is_empty());
    if certificates {
        return Ok(pem);
    }
    Err(Refused(format!(
        "ATELIER_S3_CA: {} holds no certificate; it must be a PEM file with “-----BEGIN CERTIFICATE-----”.",
        file.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        store: StoreArgs,
    }

    fn settle(flags: &[&str], env: &[(&str, &str)]) -> Result<StoreSettings, Refused> {
        let line = Line::try_parse_from([&["atelier"], flags].concat()).unwrap();
        let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        line.store.settle_with(|| Ok(std::env::temp_dir()), env)
    }

    const KEY: [(&str, &str); 2] = [(KEY_ID, "GK1"), (KEY_SECRET, "much")];

    #[test]
    fn a_folder_needs_nothing_and_s3_an_endpoint_and_a_key() {
        assert!(matches!(settle(&[], &[]).unwrap(), StoreSettings { location: ArtefactStore::Local { .. }, key: None, garage: None }));
        let StoreSettings { location, key, garage } = settle(&["--store", "s3", "--s3-endpoint", "https://s3.example.org/"], &KEY).unwrap();
        let ArtefactStore::S3 { endpoint, region, bucket_prefix, path_style, ca } = location else { panic!() };
        assert!(garage.is_none());
        assert_eq!((endpoint.as_str(), region.as_str(), bucket_prefix.as_str()), ("https://s3.example.org", "us-east-1", "atelier-"));
        assert_eq!((path_style, ca, key.unwrap().secret_access_key.as_str()), (true, None, "much"));
    }

    #[test]
    fn the_key_is_read_from_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"access_key_id": "GK2", "secret_access_key": "x"}"#).unwrap();
        let flags = ["--store", "s3", "--s3-endpoint", "http://127.0.0.1:3900", "--s3-key", &file.path().display().to_string()];
        assert_eq!(settle(&flags, &[]).unwrap().key.unwrap().access_key_id, "GK2");
        assert!(settle(&flags, &KEY).unwrap_err().0.contains("given twice"));
        std::fs::write(file.path(), "much").unwrap();
        let refused = settle(&flags, &[]).unwrap_err();
        assert!(refused.0.contains("access_key_id") && !refused.0.contains("much"), "{refused}");
    }

    #[test]
    fn contradictions_are_refused_with_the_setting_that_repairs_them() {
        let at = ["--store", "s3", "--s3-endpoint", "https://s3.example.org"];
        let with = |more: &[&'static str]| [&at[..], more].concat();
        for (flags, env, names) in [
            (vec!["--store", "s3"], &KEY[..], "ATELIER_S3_ENDPOINT"),
            (at.to_vec(), &[], "ATELIER_S3_KEY"),
            (at.to_vec(), &KEY[..1], "Half a key"),
            (with(&["--s3-ca", "/nowhere/ca.pem"]), &KEY, "ATELIER_S3_CA"),
            (with(&["--s3-bucket-prefix", "Atelier_"]), &KEY, "ATELIER_S3_BUCKET_PREFIX"),
            (vec!["--store", "s3", "--s3-endpoint", "https://s3.example.org/bucket"], &KEY, "nothing behind"),
            (vec!["--s3-endpoint", "https://s3.example.org"], &[], "ATELIER_STORE=s3"),
            (vec!["--garage-admin-url", "http://127.0.0.1:3903"], &[], "ATELIER_STORE=s3"),
            (with(&["--garage-admin-url", "http://127.0.0.1:3903"]), &KEY, "ATELIER_GARAGE_ADMIN_TOKEN"),
            (with(&["--garage-admin-url", "http://127.0.0.1:3903", "--garage-admin-token", "/nowhere"]), &KEY, "/nowhere"),
        ] {
            let refused = settle(&flags, env).unwrap_err();
            assert!(refused.0.contains(names), "{flags:?}: {refused}");
        }
    }
}
