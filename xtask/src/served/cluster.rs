//! The portal on the cluster of `cluster up`: which of its parts it is told, and how. Nothing secret stands on its command line.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What `cluster up` says of itself in `cluster.json`, as far as a portal needs it.
#[derive(Deserialize)]
pub struct Description {
    kubeconfig: PathBuf,
    images: Images,
    keycloak: Keycloak,
    s3: S3,
    postgres: Postgres,
}

#[derive(Deserialize)]
struct Images {
    task: String,
    trainer: String,
    vllm: String,
}

#[derive(Deserialize)]
struct Keycloak {
    issuer: String,
    client_id: String,
    client_secret_file: PathBuf,
}

#[derive(Deserialize)]
struct S3 {
    endpoint: String,
    network: String,
    region: String,
    bucket_prefix: String,
    path_style: bool,
    portal_key_file: PathBuf,
    admin_endpoint: String,
    admin_token_file: PathBuf,
}

#[derive(Deserialize)]
struct Postgres {
    url: String,
}

impl Description {
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("{} cannot be read: is the cluster up?", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is of another version of this program", file.display()))
    }

    /// Through the environment, as a chart does it.
    pub fn tell(&self, portal: &mut Command) -> Result<()> {
        let secret = &self.keycloak.client_secret_file;
        let secret = fs::read_to_string(secret).with_context(|| format!("{} cannot be read", secret.display()))?;
        portal
            .env("ATELIER_ENGINE", "kubernetes")
            .env("ATELIER_KUBECONFIG", &self.kubeconfig)
            .env("ATELIER_TASK_IMAGE", &self.images.task)
            .env("ATELIER_TRAINER_IMAGE", &self.images.trainer)
            .env("ATELIER_VLLM_IMAGE", &self.images.vllm)
            .env("ATELIER_DATABASE_URL", &self.postgres.url)
            .env("ATELIER_STORE", "s3")
            .env("ATELIER_S3_ENDPOINT", &self.s3.endpoint)
            .env("ATELIER_STORE_NETWORKS", &self.s3.network)
            .env("ATELIER_S3_REGION", &self.s3.region)
            .env("ATELIER_S3_BUCKET_PREFIX", &self.s3.bucket_prefix)
            .env("ATELIER_S3_PATH_STYLE", self.s3.path_style.to_string())
            .env("ATELIER_S3_KEY", &self.s3.portal_key_file)
            .env("ATELIER_GARAGE_ADMIN_URL", &self.s3.admin_endpoint)
            .env("ATELIER_GARAGE_ADMIN_TOKEN", &self.s3.admin_token_file)
            .env("ATELIER_ISSUER", &self.keycloak.issuer)
            .env("ATELIER_CLIENT_ID", &self.keycloak.client_id)
            .env("ATELIER_CLIENT_SECRET", secret.trim())
            // Whoever is disabled there is out within a minute, also with a key.
            .env("ATELIER_PEOPLE_CHECK_SECONDS", "20");
        Ok(())
    }

    /// For the closing table.
    pub fn parts(&self) -> [(&'static str, String); 4] {
        [
            ("Kubernetes", format!("KUBECONFIG={}", self.kubeconfig.display())),
            ("Keycloak", self.keycloak.issuer.clone()),
            ("S3", format!("{}, buckets {}…", self.s3.endpoint, self.s3.bucket_prefix)),
            ("PostgreSQL", "its address is in cluster.json".into()),
        ]
    }
}
